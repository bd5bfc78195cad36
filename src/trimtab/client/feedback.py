"""The kinds of feedback as verbs, on top of the one call that sends any of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

from trimtab.client.distance import edit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Unpack

    from trimtab.client.inference import Handle

__all__ = ["KINDS", "SOUND", "Kind", "Source", "Verbs", "Where", "aimless", "fault"]

Kind = Literal[
    "thumb", "rating", "label", "correction", "comment", "accept", "reject",
    "edit", "copy", "regenerate", "rephrase", "click", "dwell", "abandon",
    "outcome",
]  # fmt: skip
Source = Literal["user", "reviewer", "app", "judge"]
KINDS = frozenset(get_args(Kind))
SOUND = frozenset(
    {("thumb", 0), ("thumb", 1), ("outcome", 0), ("outcome", 1)}
    | {(kind, None) for kind in ("accept", "reject", "copy", "regenerate", "rephrase", "click", "abandon")}
)
"""The commonest kinds with their values: nothing can be wrong with these."""


class Where(TypedDict, total=False):
    """What feedback is about, if not an inference id, and who gives it."""

    external_id: str
    """The app's own id of the response."""
    trace_id: str | int
    """W3C trace id, of any tracing tool."""
    span_id: str | int
    """W3C span id, with its trace."""
    session: str
    """The session as a whole; taken from the context when no other target is given."""
    feature: str
    user: str
    """Who speaks; taken from the context."""
    created_at: datetime
    """When it was said; now by default."""
    source: Source
    """The role in which that is said; "user" by default."""


class Verbs(ABC):
    """One method per kind.

    The target is an inference id or its handle; None means the inference at hand, or what the keywords name.
    """

    @abstractmethod
    def feedback(
        self,
        target: str | Handle | None,
        kind: Kind,
        *,
        value: float | None = None,
        best: float | None = None,
        label: str | None = None,
        text: str | None = None,
        retracted: bool = False,
        **where: Unpack[Where],
    ) -> str:
        """Send one signal and return its id."""

    def thumb(self, target: str | Handle | None, *, up: bool, **where: Unpack[Where]) -> str:
        """Thumb up or down."""
        return self.feedback(target, "thumb", value=1 if up else 0, **where)

    def rating(self, target: str | Handle | None, value: float, *, best: float = 5, **where: Unpack[Where]) -> str:
        """Give `value` from 1 to `best` stars."""
        return self.feedback(target, "rating", value=value, best=best, **where)

    def label(self, target: str | Handle | None, label: str, **where: Unpack[Where]) -> str:
        """Put a name on the response: "wrong tone", "outdated"."""
        return self.feedback(target, "label", label=label, **where)

    def correction(self, target: str | Handle | None, text: str, **where: Unpack[Where]) -> str:
        """Say what the right output would have been."""
        return self.feedback(target, "correction", text=text, **where)

    def comment(self, target: str | Handle | None, text: str, **where: Unpack[Where]) -> str:
        """Say something about the response in free words."""
        return self.feedback(target, "comment", text=text, **where)

    def accept(self, target: str | Handle | None, **where: Unpack[Where]) -> str:
        """Tell that the response was taken."""
        return self.feedback(target, "accept", **where)

    def reject(self, target: str | Handle | None, **where: Unpack[Where]) -> str:
        """Tell that the response was turned down."""
        return self.feedback(target, "reject", **where)

    def edit(self, target: str | Handle | None, shown: str, kept: str, **where: Unpack[Where]) -> str:
        """Tell what was kept of what was shown: the normalised distance, and the kept text."""
        return self.feedback(target, "edit", value=edit(shown, kept), text=kept, **where)

    def copy(self, target: str | Handle | None, **where: Unpack[Where]) -> str:
        """Tell that the response was copied."""
        return self.feedback(target, "copy", **where)

    def outcome(self, target: str | Handle | None, *, reached: bool, **where: Unpack[Where]) -> str:
        """Tell whether what the response was for came about: the ticket stayed closed, the order was placed."""
        return self.feedback(target, "outcome", value=1 if reached else 0, **where)

    def retract(self, target: str | Handle | None, kind: Kind, **where: Unpack[Where]) -> str:
        """Take back the same person's feedback of `kind` on the same target."""
        return self.feedback(target, kind, retracted=True, **where)


def fault(said: Mapping[str, Any]) -> str | None:
    """Return what the server would refuse in the words of a feedback event, None when they fit."""
    kind = said["kind"]
    if kind not in KINDS:
        return f"expected a kind of feedback, one of {', '.join(sorted(KINDS))}, got {kind!r}"
    return None if said["retracted"] else _value_fault(kind, said["value"], said)


def aimless(event: Mapping[str, Any]) -> str | None:
    """Return what is wrong when a feedback event names nothing that it is about."""
    if any(event.get(name) for name in ("inference_id", "external_id", "trace_id", "session_id")):
        return None
    return "expected a target: an inference id, external_id=, trace_id= or session="


def _value_fault(kind: str, value: Any, event: Mapping[str, Any]) -> str | None:
    if kind in ("thumb", "outcome"):
        return None if value in (0, 1) else f"expected value 1 or 0 for {kind!r}, got {value!r}"
    best = event["best"]
    number = isinstance(value, (int, float))
    if kind == "rating" and not (number and best is not None and best >= 2 and 1 <= value <= best):
        return f"expected best >= 2 and value from 1 to best for 'rating', got value {value!r} and best {best!r}"
    if kind == "edit" and not (number and 0 <= value <= 1):
        return f"expected value, the normalised distance in [0, 1], for 'edit', got {value!r}"
    if kind == "dwell" and not (number and value >= 0):
        return f"expected value, seconds >= 0, for 'dwell', got {value!r}"
    if kind in ("correction", "comment") and not event["text"]:
        return f"expected text for {kind!r}, got none"
    if kind == "label" and not event["label"]:
        return "expected label for 'label', got none"
    return None
