"""What a policy finds in a text or a JSON value, each finding with its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from trimtab.redact.entity import TOKEN, Entity
from trimtab.redact.matcher import Matcher
from trimtab.redact.policy import Policy
from trimtab.redact.walk import drops

__all__ = ["Finding", "findings_in"]

_MAX_DEPTH: Final = 64


class Finding(NamedTuple):
    """Characters `start` to `end` of the string at `path` (a JSON pointer, "" for the whole) are an `entity`.

    A finding in a key has the path of its object and `key` true; one under a key such as `password` is the whole value.
    """

    path: str
    entity: Entity
    start: int
    end: int
    key: bool = False


def findings_in(policy: Policy, value: Any) -> list[Finding]:
    """Return what `policy` finds in a text or a JSON value, in order of place."""
    return list(_walked(Matcher(policy, None), value, "", 0))


def _walked(matcher: Matcher, value: Any, path: str, depth: int) -> Iterator[Finding]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        yield from _in_text(matcher, value, path)
    elif isinstance(value, dict) and depth <= _MAX_DEPTH:
        for key, item in value.items():
            yield from (found._replace(key=True) for found in _in_text(matcher, key, path))
            below = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if item is not None and not isinstance(item, bool) and drops(key):
                yield Finding(below, "SECRET", 0, len(item) if isinstance(item, str) else 0)
            else:
                yield from _walked(matcher, item, below, depth + 1)
    elif isinstance(value, list) and depth <= _MAX_DEPTH:
        for place, item in enumerate(value):
            yield from _walked(matcher, item, f"{path}/{place}", depth + 1)


def _in_text(matcher: Matcher, text: str, path: str) -> list[Finding]:
    """Return the findings in one string: like the redactor, look at what is left between findings until it is clean."""
    found: list[Finding] = []
    pieces = [(0, len(text))]
    position = 0
    for token in TOKEN.finditer(text):
        pieces[-1:] = [(position, token.start()), (token.end(), len(text))]
        position = token.end()
    while pieces:
        start, end = pieces.pop()
        spans = matcher.find(text[start:end])
        found += (Finding(path, span.entity, start + span.start, start + span.end) for span in spans)
        if spans:
            edges = [start, *(start + edge for span in spans for edge in (span.start, span.end)), end]
            pieces += [piece for piece in zip(edges[::2], edges[1::2], strict=True) if piece[0] < piece[1]]
    return sorted(found, key=lambda one: one.start)
