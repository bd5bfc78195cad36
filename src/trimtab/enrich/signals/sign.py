"""One hint about an answer, as it was found."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from trimtab.records import Signal

__all__ = ["Sign"]


class Sign(NamedTuple):
    """A hint of `kind` about the answer `about`: `x` is what it says alone (1 = bad), `value` the measure behind it.

    `turn_id` is the later answer of the session in which it was heard, `feedback_id` the feedback that it is.
    """

    kind: Signal
    about: str
    at: datetime
    value: float | None = None
    turn_id: str | None = None
    feedback_id: str | None = None
    x: float = 1.0
