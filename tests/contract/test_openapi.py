"""The OpenAPI document that is checked in is the one the code makes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from trimtab.server.app import API_VERSION, ROUTES
from trimtab.server.openapi import document, encoded

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"
DOCUMENT = document(ROUTES, API_VERSION)


def refs(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if "$ref" in value else set()
        return found.union(*(refs(part) for part in value.values()))
    return set().union(*(refs(part) for part in value)) if isinstance(value, list) else set()


def test_the_checked_in_document_is_fresh() -> None:
    # To renew it: write what `encoded` returns to docs/openapi.json, or save GET /schema of a running server.
    assert FILE.read_bytes() == encoded(ROUTES, API_VERSION)


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert {ref.removeprefix("#/components/schemas/") for ref in refs(DOCUMENT)} <= set(schemas)


def test_every_route_is_described_with_its_keys() -> None:
    for route in ROUTES:
        (path,), (method,) = route.paths, route.http_methods
        operation = DOCUMENT["paths"][re.sub(":str", "", path)][method.lower()]
        assert operation["summary"].endswith(".")
        assert operation["x-key-kinds"] == sorted(route.opt["contract"].keys)
        assert "default" in operation["responses"]


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def test_the_document_is_plain_json() -> None:
    assert json.loads(FILE.read_text("utf-8"))["openapi"] == "3.1.0"
