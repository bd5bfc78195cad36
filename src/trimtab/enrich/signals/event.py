"""What a person did with one answer, as the app reported it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from trimtab.config import Signals
from trimtab.enrich.signals.sign import Sign
from trimtab.records import Feedback, Inference, Opinion

__all__ = ["done"]


def done(
    inference: Inference, opinions: Iterable[Opinion], words: Mapping[str, Feedback], settings: Signals
) -> list[Sign]:
    """Return the signs among the opinions on an answer; `words` are their feedback by id, as far as it was read."""
    raise NotImplementedError
