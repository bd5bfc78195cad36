"""A second look for what patterns cannot find (names, addresses): an operator's own model, after the first write.

A model takes milliseconds per text where patterns take microseconds, so it does not stand before the first write. It
sees texts that patterns have cleaned already, and never the network.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from trimtab.errors import Unavailable
from trimtab.redact.entity import FAILED, TOKEN
from trimtab.redact.known import KnownValue
from trimtab.redact.walk import Leaves
from trimtab.redact.wall import Cleaner

__all__ = ["Detector", "Found", "SecondLook"]

_LABEL: Final = re.compile(r"[A-Z][A-Z_]{0,31}")
# What this module leaves in a text are labels of any detector, beside the marks of patterns.
_MARK: Final = re.compile(rf"{TOKEN.pattern}|<[A-Z][A-Z_]{{0,31}}>")
_PROBE: Final = "The order arrived on time."


class Found(NamedTuple):
    """`text[start:end]` is a `label`, in capital letters: PERSON, LOCATION, ORGANIZATION."""

    start: int
    end: int
    label: str


class Detector(Protocol):
    """Finds spans in texts; what it is and which model it uses is in its `version`, kept on every row it looked at."""

    @property
    def version(self) -> str:
        """Name of the detector and of its model: changes whenever the same text could come out differently."""
        ...

    def detect(self, texts: Sequence[str]) -> list[list[Found]]:
        """Return what is found in each text, by position. May raise anything."""
        ...


class SecondLook:
    """Puts a detector behind the patterns of any project.

    It fails closed: a text at which the detector raises, or answers with what is no span of it, becomes
    `<REDACTION_FAILED>`. A detector that cannot even read a plain sentence is broken as a whole; then Unavailable is
    raised instead, so that a missing model does not blacken every text, and rows wait as they are.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._lock = threading.Lock()
        self.failures = 0

    def after(self, first: Cleaner) -> Cleaner:
        """Return a cleaner that lets patterns look, and then the detector."""
        return _Thorough(self, first)

    def named(self, rules: str) -> str:
        """Return the rules of a row that went through the patterns of `rules` and this detector."""
        return f"{rules}+{self._detector.version}"

    def cleaned(self, texts: Sequence[str]) -> list[str]:
        """Return the texts with what the detector finds replaced. Raises Unavailable when it is broken as a whole."""
        worth = [place for place, text in enumerate(texts) if any(part.strip() for part in _MARK.split(text))]
        clean = list(texts)
        for place, after in zip(worth, self._looked([texts[place] for place in worth]), strict=True):
            clean[place] = after
        return clean

    def _looked(self, texts: Sequence[str]) -> list[str]:
        if not texts:
            return []
        try:
            return self._replaced(texts)
        except Exception:  # noqa: BLE001 -- one odd text must not cost the others
            return [self._alone(text) for text in texts]

    def _alone(self, text: str) -> str:
        try:
            return self._replaced([text])[0]
        except Exception:  # noqa: BLE001 -- whatever went wrong, the text must not count as looked at
            self._require_working()
            with self._lock:
                self.failures += 1
            return FAILED

    def _require_working(self) -> None:
        try:
            self._replaced([_PROBE])
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is broken
            # Its type only: a message could carry the words it was given.
            raise Unavailable(
                f"the detector {self._detector.version!r} fails at every text ({type(error).__name__}); "
                "check the model directory in ner.model; texts wait until it works"
            ) from None

    def _replaced(self, texts: Sequence[str]) -> list[str]:
        found = self._detector.detect(texts)
        return [_without(text, spans) for text, spans in zip(texts, found, strict=True)]


class _Thorough:
    """The patterns of a project, then the detector."""

    def __init__(self, second: SecondLook, first: Cleaner) -> None:
        self._second = second
        self._first = first
        self.version = second.named(first.version)

    def batch(self, texts: Sequence[str], known: Sequence[KnownValue] = ()) -> list[str]:
        """Return the texts redacted, in order."""
        return self._second.cleaned(self._first.batch(texts, known))

    def value(self, value: Any, known: Sequence[KnownValue] = ()) -> Any:
        """Return a JSON value redacted leaf by leaf; keys are left to the patterns."""
        first = self._first.value(value, known)
        leaves = Leaves(first)
        return leaves.rebuilt(self._second.cleaned(leaves.texts))

    def identifier(self, text: str) -> str:
        """Return an id as the patterns leave it: ids are no sentences."""
        return self._first.identifier(text)


def _without(text: str, spans: Sequence[Found]) -> str:
    """Return the text with the spans replaced by their labels; marks of ours are left whole.

    Raises ValueError for what is no span of the text.
    """
    tokens = [token.span() for token in _MARK.finditer(text)]
    parts: list[str] = []
    position = 0
    for start, end, label in sorted(spans):
        if not 0 <= start < end <= len(text) or _LABEL.fullmatch(label) is None:
            raise ValueError("expected spans inside of the text, with a label in capital letters")
        for first, last in _apart(max(start, position), end, tokens):
            parts += (text[position:first], f"<{label}>")
            position = last
    return "".join([*parts, text[position:]])


def _apart(start: int, end: int, tokens: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what is left of a span when marks of ours are taken out of it."""
    found = []
    for first, last in tokens:
        if last <= start or first >= end:
            continue
        if first > start:
            found.append((start, first))
        start = max(start, last)
    if start < end:
        found.append((start, end))
    return found
