"""Long unreadable tokens: base64 that hides something, and random strings that look like keys."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from typing import Final

from trimtab.redact.span import Span

__all__ = ["BEFORE", "HEAD_CHARS", "find", "is_content"]

HEAD_CHARS: Final = 16
BEFORE: Final = 16
_TOKEN: Final = re.compile(r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{16,}={0,2}")
_MAX_RANDOM: Final = 200
_MIN_RANDOM: Final = 20
_TO_STANDARD: Final = str.maketrans("-_", "+/")
_RUNS: Final = re.compile(r"[a-z]+|[A-Z]+|[0-9]+")
_UPPER_HEX: Final = re.compile(r"[0-9A-F]+")
_HEXES: Final = re.compile(r"[0-9a-f\-]+")  # a hash or UUID; base64 of text is never so poor
_CONTENT: Final = re.compile(r"(?:base64,|\bsha(?:1|256|384|512)[-:]|\bintegrity=\"?|\bmd5[-:])\Z")


def find(text: str, starts: Iterable[int] | None, hides: Callable[[str], bool], *, strict: bool) -> list[Span]:
    """Return base64 tokens whose content `hides` something and, when strict, random-looking tokens.

    `starts` are where a token begins, or None for anywhere.
    """
    spans: list[Span] = []
    for found in _TOKEN.finditer(text) if starts is None else _at(text, starts):
        token = found.group()
        if _HEXES.fullmatch(token):
            continue
        plain = _decoded(token)
        if plain is not None and hides(plain):
            spans.append(Span(*found.span(), "BASE64_PII"))
        elif strict and _is_random(token) and not is_content(text, found.start()):
            spans.append(Span(*found.span(), "SECRET"))
    return spans


def is_content(text: str, start: int) -> bool:
    """Return whether the characters before a token name it as a checksum or an inlined file."""
    return _CONTENT.search(text[max(start - BEFORE, 0) : start]) is not None


def _at(text: str, starts: Iterable[int]) -> Iterable[re.Match[str]]:
    done = 0
    for start in starts:
        if start >= done and (found := _TOKEN.match(text, start)) is not None:
            done = found.end()
            yield found


def _decoded(token: str) -> str | None:
    """Return the text that `token` is the base64 of, or None when it is no base64 of a text."""
    bare = token.rstrip("=")
    if len(bare) % 4 == 1:
        return None
    try:
        raw = base64.b64decode(bare.translate(_TO_STANDARD) + "=" * (-len(bare) % 4))
        plain = raw.decode()
    except (binascii.Error, ValueError):
        return None
    printable = plain.replace("\n", " ").replace("\r", " ").replace("\t", " ")
    return plain if printable.isprintable() else None


def _is_random(token: str) -> bool:
    """Return whether a token changes between lower case, upper case and digits as often as chance would.

    In random base62 text 62% of neighbours differ in class; names in code stay far below (camelCase about 35%, with few
    digits), so more than 40% with at least three digits, none of them in one run only, is taken for a key.
    """
    bare = token.rstrip("=")
    if not _MIN_RANDOM <= len(bare) <= _MAX_RANDOM or _UPPER_HEX.fullmatch(bare):
        return False
    segments = re.split(r"[-_/+]", bare)
    longest = max(segments, key=len)
    if len(longest) < HEAD_CHARS and sum(map(len, segments)) / len(segments) < 8:
        return False
    runs = _RUNS.findall(bare)
    kinds = [(run[0].isdigit(), run[0].isupper()) for run in runs]
    digit_runs = sum(kind[0] for kind in kinds)
    digits = sum(len(run) for run in runs if run[0].isdigit())
    if digits < 3 or digit_runs < 2 or len(set(kinds)) < 3:
        return False
    return len(runs) > 0.4 * len(bare)
