"""What is wrong with a JSON value, in words for the one who sent it: expected, got, what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from trimtab.errors import InvalidField

__all__ = ["explained", "field_names"]

_SHOWN = 60
_PATH = re.compile(r"^(?P<said>.*) - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`$", re.DOTALL)
_HINTS = (
    ("{12}$", "a UUID in lower case such as '01890a5d-ac96-774b-bcce-b302099a8057'", "send a UUID version 7"),
    ("[A-Za-z0-9_.:/@-]", "1 to 128 of the characters A-Z a-z 0-9 _ . : / @ -", "start with a letter or a digit"),
    ("{32}$", "32 lower-case hexadecimal digits", "send the W3C trace id"),
    ("{16}$", "16 lower-case hexadecimal digits", "send the W3C span id"),
)


def explained(error: msgspec.ValidationError, value: Any, kind: Any) -> InvalidField:
    """Return `error`, raised for `value` that should have been a `kind`, as an error of ours with its field named."""
    found = _PATH.match(str(error))
    said, path = (found["said"], found["path"].lstrip(".")) if found else (str(error), "")
    param = path or None
    if said.startswith("Object missing required field"):
        missing = said.split("`")[1]
        param = f"{path}.{missing}" if path else missing
        return InvalidField(f"expected the field {param!r}, got none; add it", param=param)
    if said.startswith("Object contains unknown field"):
        unknown = said.split("`")[1]
        param = f"{path}.{unknown}" if path else unknown
        return InvalidField(f"unknown field {param!r}; {_nearest(unknown, path, value, kind)}", param=param)
    if found and found["key"]:
        said += " as a key"
    where = f"{path}: " if path else ""
    expected, advice = _told(said, path, value, kind)
    return InvalidField(f"{where}{expected}{_got(expected, path, value)}{advice}", param=param)


def field_names(kind: Any, tag: object = None) -> Sequence[str]:
    """Return the JSON names of the fields of a struct, or of the member of a union that has this tag."""
    for part in get_args(kind) or (kind,):
        config = getattr(part, "__struct_config__", None)
        if config is not None and (config.tag is None or config.tag == tag or part is kind):
            names = [field.encode_name for field in msgspec.structs.fields(part)]
            return [config.tag_field, *names] if config.tag_field else names
    return ()


def _nearest(unknown: str, path: str, value: Any, kind: Any) -> str:
    tag = value.get("type") if isinstance(value, dict) else None
    names = () if path else field_names(kind, tag)
    near = difflib.get_close_matches(unknown, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known fields are {', '.join(names)}" if names else "remove it"


def _told(said: str, path: str, value: Any, kind: Any) -> tuple[str, str]:
    """Return what was expected, and what to do, for what msgspec says."""
    if "matching regex" in said:
        for mark, grammar, advice in _HINTS:
            if mark in said:
                return f"expected {grammar}", f"; {advice}"
    if "`datetime" in said or "RFC3339" in said:
        return "expected a time with its zone such as '2026-01-31T12:00:00Z'", ""
    if said.startswith("Invalid enum value"):
        return f"expected one of {', '.join(_choices(path, value, kind)) or 'a fixed set of values'}", ""
    if said.startswith("Invalid value"):
        return "expected 'inference' or 'feedback'", ""
    return said[:1].lower() + said[1:], ""


def _choices(path: str, value: Any, kind: Any) -> list[str]:
    """Return the values that the field at `path` may have, where it has a fixed set."""
    tag = value.get("type") if isinstance(value, dict) else None
    at = next((part for part in _members(kind) if part.__struct_config__.tag in (None, tag)), None) or kind
    for name in re.findall(r"[A-Za-z_]\w*", path):
        owner = next(iter(_members(at)), None)
        if owner is None:
            return []
        at = get_type_hints(owner).get(name)
    return [repr(choice) for choice in _literals(at)]


def _members(kind: Any) -> list[Any]:
    """Return the structs that a type is made of, lists and unions opened."""
    if hasattr(kind, "__struct_config__"):
        return [kind]
    return [member for part in get_args(kind) for member in _members(part)]


def _literals(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((found for part in get_args(kind) if (found := _literals(part))), ())


def _got(told: str, path: str, value: Any) -> str:
    if ", got " in told or not path or "as a key" in told:
        return ""
    for part in re.findall(r"[^.\[\]]+", path):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return ""
    shown = repr(value)
    return f", got {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'}"
