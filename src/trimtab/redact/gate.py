"""One scan that says which matchers can find anything in a text, and where: most texts end here.

The patterns are wider than the matchers they stand for: a hit costs a look, a miss would be a leak. They run over
the text with every character outside ASCII turned into `?`, so that byte offsets are character offsets.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, NamedTuple

from trimtab.redact import account, context, opaque, secret, vendor

hyperscan: Any
try:
    hyperscan = import_module("hyperscan")
except ImportError:  # no wheel for this platform: the matchers look everywhere themselves
    hyperscan = None

__all__ = ["EVERYWHERE", "Family", "Gate", "Hits", "opened"]


class Family:
    """What a hit calls for, one bit each: most only that a matcher runs, those from VENDOR to OPAQUE also where."""

    AT: Final = 1 << 0
    SPELLED: Final = 1 << 1
    NUMBER: Final = 1 << 2
    IPV4: Final = 1 << 3
    COLON: Final = 1 << 4
    MAC: Final = 1 << 5
    SCHEME: Final = 1 << 6
    ESCAPE: Final = 1 << 7
    EXTRA: Final = 1 << 8
    TOLD: Final = 1 << 14
    FOREIGN: Final = 1 << 15
    VENDOR: Final = 1 << 9
    KEYED: Final = 1 << 10
    PARAMETER: Final = 1 << 11
    ACCOUNT: Final = 1 << 12
    OPAQUE: Final = 1 << 13


_FOREIGN: Final = Family.FOREIGN
_PLACED: Final = Family.VENDOR | Family.KEYED | Family.PARAMETER | Family.ACCOUNT | Family.OPAQUE


class Hits(NamedTuple):
    """What the gate saw: the bits of the families that may match, and the places of those that are matched in place.

    `places` is None when nothing was scanned: then every family may match, anywhere.
    """

    families: int
    places: dict[int, list[int]] | None

    def at(self, family: int) -> Sequence[int] | None:
        """Return where to try a family, in order; None for everywhere."""
        return None if self.places is None else sorted(self.places.get(family, ()))


EVERYWHERE: Final = Hits((1 << 15) - 1, None)


class _Pattern(NamedTuple):
    family: int
    expression: str
    caseless: bool
    back: int  # from the end of a match to the place its matcher starts at


_PATTERNS: Final[tuple[_Pattern, ...]] = (
    _Pattern(Family.AT, "@", caseless=False, back=0),
    _Pattern(
        Family.SPELLED,
        r"\bat[ \t\n]{1,2}[^ \t\n]{1,200}[ \t\n]{0,2}(?:[\[({<][ \t]?)?dot\b",
        caseless=True,
        back=0,
    ),
    _Pattern(Family.SPELLED, r"[\[({<][ \t]?at[ \t]?[\])}>]", caseless=True, back=0),
    _Pattern(Family.NUMBER, r"[0-9](?:[ .()/\t\r\n-]{0,4}[0-9]){5}", caseless=False, back=0),
    _Pattern(Family.IPV4, r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", caseless=False, back=0),
    _Pattern(Family.COLON, r":[0-9a-f]{0,4}:", caseless=True, back=0),
    _Pattern(Family.MAC, r"[0-9a-f]{2}-[0-9a-f]{2}-[0-9a-f]{2}-", caseless=True, back=0),
    _Pattern(Family.MAC, r"[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}:", caseless=True, back=0),
    _Pattern(Family.MAC, r"[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}", caseless=True, back=0),
    _Pattern(Family.SCHEME, "://", caseless=False, back=0),
    _Pattern(Family.ESCAPE, r"\\u00[2-7]|\\x[2-7]|%[2-7][0-9a-f]|&#|&[a-z]{2,7};", caseless=True, back=0),
    *(
        _Pattern(Family.VENDOR, "".join(f"\\x{ord(char):02x}" for char in prefix), caseless=False, back=len(prefix))
        for prefix in vendor.PREFIXES
    ),
    *(_Pattern(Family.KEYED, expression, caseless=True, back=0) for expression in secret.KEYED_GATES),
    *(_Pattern(Family.TOLD, expression, caseless=True, back=0) for expression in context.PHONE_GATES),
    _Pattern(Family.FOREIGN, "[?]", caseless=False, back=0),
    _Pattern(Family.PARAMETER, secret.PARAMETER_GATE, caseless=True, back=0),
    *(_Pattern(Family.ACCOUNT, expression, caseless=True, back=length) for expression, length in account.HEADS),
    _Pattern(
        Family.OPAQUE,
        rf"(?:^|[^A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{{{opaque.HEAD_CHARS}}}",
        caseless=False,
        back=opaque.HEAD_CHARS,
    ),
)


def opened(extra: tuple[str, ...] = ()) -> Gate | None:
    """Return a gate that works, or None where the scanner is not installed or cannot run on this processor."""
    if hyperscan is None:
        return None
    try:
        gate = Gate(extra)
        return gate if gate.scan("jane@example.com") is not None else None
    except hyperscan.error:
        return None


class Gate:
    """Scans texts for the families of patterns. Safe for threads: each has its own scratch space.

    `extra` are patterns of the project's policy; those that the scanner cannot stand in for make `certain` False,
    and then the matcher of extra patterns runs on every text.
    """

    def __init__(self, extra: tuple[str, ...] = ()) -> None:
        kept = tuple(pattern for pattern in extra if _fits(pattern))
        self.certain = len(kept) == len(extra)
        self._patterns, self._once, self._always = _compiled(kept)
        self._local = threading.local()
        self._families = [pattern.family for pattern in self._patterns]
        self._backs = [pattern.back for pattern in self._patterns]

    def scan(self, text: str) -> Hits | None:
        """Return what may be found in `text`; None for nothing."""
        seen: list[tuple[int, int]] = []
        self._once.scan(text.encode("ascii", "replace"), _note, context=seen, scratch=self._scratch()[0])
        if not seen:
            return None
        places: dict[int, list[int]] = {}
        families = 0
        names, backs = self._families, self._backs
        told = 0 if text.isascii() else Family.TOLD
        for pattern, end in seen:
            family = names[pattern]
            if family == _FOREIGN:  # a question mark, or what stands for a letter of a word outside ASCII
                family = told
            families |= family
            if family & _PLACED:
                places.setdefault(family, []).append(end - backs[pattern])
        # The words around a number matter to numbers alone.
        return Hits(families, places) if families & ~Family.TOLD else None

    def ends(self, text: str) -> list[int]:
        """Return where matches of any pattern end in `text`, which may be many texts in a row."""
        seen: list[tuple[int, int]] = []
        self._always.scan(text.encode("ascii", "replace"), _note, context=seen, scratch=self._scratch()[1])
        return [end for _, end in seen]

    def _scratch(self) -> tuple[Any, Any]:
        pair: tuple[Any, Any] | None = getattr(self._local, "pair", None)
        if pair is None:
            pair = self._local.pair = hyperscan.Scratch(self._once), hyperscan.Scratch(self._always)
        return pair


def _note(pattern: int, _start: int, end: int, _flags: int, seen: Any) -> None:
    seen.append((pattern, end))


def _fits(pattern: str) -> bool:
    """Return whether the scanner surely reports wherever Python's `re` matches `pattern` in a text of ASCII."""
    if not pattern.isascii() or any(mark in pattern for mark in ("^", "$", r"\A", r"\Z", r"\s", "(?")):
        return False
    try:
        _build((_Pattern(Family.EXTRA, pattern, caseless=False, back=0),), once=True)
    except hyperscan.error:
        return False
    return True


@lru_cache(maxsize=64)
def _compiled(extra: tuple[str, ...]) -> tuple[tuple[_Pattern, ...], Any, Any]:
    patterns = (*_PATTERNS, *(_Pattern(Family.EXTRA, one, caseless=False, back=0) for one in extra))
    counted = tuple(pattern for pattern in patterns if pattern.family not in (Family.TOLD, Family.FOREIGN))
    return patterns, _build(patterns, once=True), _build(counted, once=False)


def _build(patterns: tuple[_Pattern, ...], *, once: bool) -> Any:
    flags = []
    for pattern in patterns:
        flag = hyperscan.HS_FLAG_DOTALL if pattern.family != Family.EXTRA else 0
        flag |= hyperscan.HS_FLAG_CASELESS if pattern.caseless else 0
        flag |= hyperscan.HS_FLAG_SINGLEMATCH if once and not pattern.family & _PLACED else 0
        flags.append(flag)
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[pattern.expression.encode() for pattern in patterns], ids=list(range(len(patterns))), flags=flags
    )
    return database
