"""What the engine asks of a feature when it must know itself how a Version would answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trimtab.records import Version

__all__ = ["Runner"]


class Runner(Protocol):
    """Answers inputs as one Version would. Used by the gate, the study and the demo; safe to call from any thread."""

    def answer(self, version: Version, inputs: Sequence[str]) -> list[str]:
        """Return one answer per input, in order. An input the version has no answer for gets ""."""
        ...
