"""The OpenAPI document, made from the routes' contracts and the records. Checked in as docs/openapi.json."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler

from trimtab.server.contract import Contract
from trimtab.server.problems import Problem
from trimtab.server.query import PARAMETERS

__all__ = ["document", "encoded"]

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+):str\}")


def encoded(routes: Iterable[HTTPRouteHandler], version: str) -> bytes:
    """Return the document as it is served and checked in: readable, ending in a line break."""
    return msgspec.json.format(msgspec.json.encode(document(routes, version)), indent=2) + b"\n"


def document(routes: Iterable[HTTPRouteHandler], version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these routes."""
    handlers = list(routes)
    contracts: list[Contract] = [handler.opt["contract"] for handler in handlers]
    kinds = [Problem, *(one.answer for one in contracts), *(one.body for one in contracts if one.body is not None)]
    kinds += [PARAMETERS[name][0] for one in contracts for name in one.query]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schema_of = {repr(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for handler, one in zip(handlers, contracts, strict=True):
        (path,) = handler.paths
        (method,) = handler.http_methods
        operation = _operation(handler, one, path, schema_of)
        paths.setdefault(_PARAMETER.sub(r"{\1}", path), {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trimtab",
            "version": version,
            "description": "The feedback-loop engine for AI products: capture signals, find what got worse, "
            "ship a proven fix.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
        },
    }


def _operation(handler: HTTPRouteHandler, one: Contract, path: str, schema_of: dict[str, Any]) -> dict[str, Any]:
    summary, _, more = inspect.cleandoc(handler.fn.__doc__ or "").partition("\n\n")
    allowed = f"Keys: {', '.join(sorted(one.keys))}." if one.keys else "No key is needed."
    if one.guest:
        allowed = "The token of a review link takes the place of a key."
    operation: dict[str, Any] = {
        "operationId": handler.fn.__name__,
        "summary": " ".join(summary.split()),
        "description": f"{' '.join(more.split())} {allowed}".strip(),
        "security": [{"key": []}] if one.keys or one.guest else [],
        "x-key-kinds": sorted(one.keys),
    }
    parameters = [_path_parameter(name) for name in _PARAMETER.findall(path)]
    parameters += [_query_parameter(name, schema_of) for name in one.query]
    if parameters:
        operation["parameters"] = parameters
    if one.body is not None:
        content = {kind: {"schema": schema_of[repr(one.body)]} for kind in one.body_types}
        operation["requestBody"] = {"required": one.body_required, "content": content}
    answer = {"description": "Done.", "content": {one.answer_type: {"schema": schema_of[repr(one.answer)]}}}
    operation["responses"] = {str(one.status): answer, "default": _problem(schema_of)}
    if path.endswith("/rollout"):
        operation["responses"]["304"] = {"description": "Nothing has changed since the revision in If-None-Match."}
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    schema = {"type": "string"} if name == "feature" else {"type": "string", "format": "uuid"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameter(name: str, schema_of: dict[str, Any]) -> dict[str, Any]:
    kind, told = PARAMETERS[name]
    return {"name": name, "in": "query", "description": told, "schema": schema_of[repr(kind)]}


def _problem(schema_of: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema_of[repr(Problem)]}}
    return {"description": "An error, always of this one shape.", "content": content}
