"""Network addresses: IPv4, IPv6, MAC."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from trimtab.redact.span import Span

__all__ = ["find_ipv4", "find_ipv6", "find_mac", "may_hold_ipv4", "may_hold_ipv6"]

_IPV4: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_])(?!\.[0-9])")
# Found by its dots: a pattern that begins with a mark is searched for ten times as fast as one that begins with digits.
_IPV4_DOTS: Final = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9A-Za-z_])(?!\.[0-9])")
_DIGIT_DOT: Final = re.compile(r"[0-9]\.")
_VERSION: Final = re.compile(
    r"\b(?:v|ver|version|release|build|chrome|firefox|safari|edge|firmware|oid|section)[ :=/]{0,2}\Z"
)
_MIN_COLONS: Final = 6  # in an IPv6 address without `::`
_THREE_DOTS: Final = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")
_MANY_COLONS: Final = re.compile(r"::|:(?:[0-9a-fA-F]{1,4}:){5}")
_COLON: Final = re.compile(r":[0-9a-fA-F]{0,4}:")
_BACKWARDS: Final = re.compile(r"[0-9a-fA-F:.]{1,48}")
_FORWARDS: Final = re.compile(r"[0-9a-fA-F:.]{1,48}")
_MAC: Final = re.compile(
    r"(?<![0-9A-Za-z:\-])(?:[0-9a-fA-F]{2}([:-])[0-9a-fA-F]{2}(?:\1[0-9a-fA-F]{2}){4}"
    r"|[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.[0-9a-fA-F]{4})(?![0-9A-Za-z:\-])"
)


def find_ipv4(text: str) -> list[Span]:
    """Return IPv4 addresses other than loopback and unspecified; a version of four numbers must be called one."""
    spans = []
    for found in _quads(text):
        if _is_part(text, found.start()):
            continue
        octets = [int(octet) for octet in found.group().split(".")]
        if max(octets) > 255 or octets[0] in {0, 127} or min(octets) == 255:
            continue
        if _VERSION.search(text[max(found.start() - 16, 0) : found.start()].lower()):
            continue
        spans.append(Span(found.start(), found.end(), "IP", ".".join(map(str, octets))))
    return spans


def _quads(text: str) -> Iterator[re.Match[str]]:
    """Yield the matches of four numbers with dots, as `_IPV4.finditer` would."""
    done = 0
    dots = _IPV4_DOTS.search(text)
    while dots is not None:
        first = dots.start()
        position = first + 1
        for start in range(max(first - 3, done), first):
            found = _IPV4.match(text, start)
            if found is not None:
                yield found
                done = position = found.end()
                break
        dots = _IPV4_DOTS.search(text, position)


def _is_part(text: str, start: int) -> bool:
    """Return whether what begins at `start` goes on from a word, a number or a longer row of numbers before it."""
    before = text[max(start - 2, 0) : start]
    return (
        before[-1:] == "_"
        or (before[-1:].isascii() and before[-1:].isalnum())
        or _DIGIT_DOT.fullmatch(before) is not None
    )


def may_hold_ipv4(text: str) -> bool:
    """Return whether a text, whatever is taken out of it, may hold an IPv4 address; quick, and seldom wrong."""
    return _THREE_DOTS.search(text) is not None


def may_hold_ipv6(text: str) -> bool:
    """Return whether a text, whatever is taken out of it, may hold an IPv6 address; quick, and seldom wrong."""
    return _MANY_COLONS.search(text) is not None


def find_ipv6(text: str) -> list[Span]:
    """Return IPv6 addresses in any spelling; their pseudonym stands for the shortest one."""
    spans: list[Span] = []
    if not may_hold_ipv6(text):
        return spans
    done = 0
    for colon in _COLON.finditer(text):
        if colon.start() < done:
            continue
        left = _BACKWARDS.match(text[max(colon.start() - 48, done) : colon.start()][::-1])
        start = colon.start() - (left.end() if left else 0)
        right = _FORWARDS.match(text, start)
        if right is None:
            continue
        end = right.end()
        while end > start and text[end - 1] in ".:" and not text.startswith("::", end - 2):
            end -= 1
        done = max(right.end(), done)
        if text[start - 1 : start].isalnum() or text[end : end + 1].isalnum():
            continue
        canonical = _ipv6(text[start:end])
        if canonical is not None:
            spans.append(Span(start, end, "IP", canonical))
    return spans


def _ipv6(found: str) -> str | None:
    if "::" not in found and found.count(":") < _MIN_COLONS:
        return None
    try:
        address = ipaddress.IPv6Address(found)
    except ValueError:
        return None
    groups = [group for group in found.split(":") if group]
    # `a::b` and `x[1::2]` are code; an address says more, or begins with a full group.
    if len(groups) < 3 and not (groups and len(groups[0]) == 4 and any(char.isdigit() for char in groups[0])):
        return None
    return None if address.is_loopback or address.is_unspecified else address.compressed


def find_mac(text: str) -> list[Span]:
    """Return hardware addresses with colons, hyphens or dots; one digit repeated is a placeholder."""
    return [
        Span(found.start(), found.end(), "MAC", digits)
        for found in _MAC.finditer(text)
        if len(set(digits := re.sub(r"[:.\-]", "", found.group()).lower())) > 1
    ]
