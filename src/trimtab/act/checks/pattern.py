"""Regular expressions and JSON schemas of administrators, tried on answers in a process that can be killed.

`(a+)+$` on the wrong answer runs for years and holds Python's lock meanwhile.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Final

from trimtab.act.child import Child, ChildError

__all__ = ["PATTERNS", "Patterns", "serve"]

PATTERNS: Final = frozenset({"regex", "json_schema"})
"""The checks by name."""

_ENTRY: Final = "trimtab.act.checks.trying:serve"
_LIMIT_S: Final = 2.0
_FENCED: Final = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL)
_REFERENCES: Final = ("$ref", "$dynamicRef")


class Patterns:
    """Tries patterns in a process of its own, started when the first one is. Safe from any thread."""

    def __init__(self, *, limit_s: float = _LIMIT_S) -> None:
        self._child = Child(_ENTRY)
        self._limit_s = limit_s

    def holds(self, check: str, expected: str, answer: str) -> bool | None:
        """Say whether the answer passes; None where the pattern is broken, or takes too long on this answer."""
        try:
            found = self._child.ask({"check": check, "expected": expected, "answer": answer}, self._limit_s)
        except ChildError:
            return None
        return found if isinstance(found, bool) else None

    def fault(self, check: str, expected: str) -> str | None:
        """Return what is wrong with a pattern, None where nothing is."""
        try:
            found = self._child.ask({"check": check, "expected": expected}, self._limit_s)
        except ChildError as error:
            return f"it cannot be tried ({error.kind})"
        return str(found) if found else None

    def close(self) -> None:
        """End the process."""
        self._child.close()


def serve(question: dict[str, Any]) -> bool | str | None:
    """Be the child: try a pattern on the answer of the question, or without one say what is wrong with it."""
    check, expected = question["check"], question["expected"]
    if "answer" not in question:
        return _fault(check, expected)
    if check == "regex":
        return re.search(expected, question["answer"]) is not None
    validator = _validator(expected)
    try:
        value = json.loads(_bare(question["answer"]))
    except ValueError:
        return False
    return bool(validator.is_valid(value))


def _fault(check: str, expected: str) -> str | None:
    try:
        if check == "regex":
            re.compile(expected)
        else:
            _validator(expected)
    except re.error as error:
        return str(error)
    except json.JSONDecodeError as error:
        return f"not JSON: {error}"
    except ValueError as error:
        return str(error)
    return None


def _bare(answer: str) -> str:
    """Return an answer without the fence that models put around JSON."""
    fenced = _FENCED.fullmatch(answer.strip())
    return fenced[1] if fenced else answer


@lru_cache(maxsize=256)
def _validator(expected: str) -> Any:
    """Return what checks values against a schema. Raises ValueError saying what is wrong with it."""
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415  only where a schema is checked
    from jsonschema.validators import Draft202012Validator, validator_for  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    schema = json.loads(expected)
    if not isinstance(schema, dict | bool):
        raise ValueError("a JSON schema is an object")  # noqa: TRY004  all that is wrong with it is a ValueError
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"at {error.json_path}: {error.message[:200]}") from None
    for reference in _references(schema):
        if not _resolves(schema, reference):
            raise ValueError(f"$ref {reference[:100]!r} points to nothing inside the schema")
    return kind(schema, registry=Registry())  # nothing is ever fetched


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [found for part in schema for found in _references(part)]
    if not isinstance(schema, dict):
        return []
    own = [schema[name] for name in _REFERENCES if isinstance(schema.get(name), str)]
    return own + [found for part in schema.values() for found in _references(part)]


def _resolves(schema: Any, reference: str) -> bool:
    if reference == "#":
        return True
    if not reference.startswith("#/"):
        return False
    place: Any = schema
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(place, list) and name.isdigit() and int(name) < len(place):
            place = place[int(name)]
        elif isinstance(place, dict) and name in place:
            place = place[name]
        else:
            return False
    return True
