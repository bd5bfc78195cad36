"""Who sends, as far as that decides what is taken: the app, a page with a public key, or a token for one answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from trimtab.errors import ForbiddenKey
from trimtab.records import Event, Feedback

__all__ = ["APP", "Sender"]


def _free(_: int) -> None:
    """Charge nothing."""


class Sender(Struct, frozen=True, kw_only=True):
    """What a sender may send. One that is not `trusted` sends feedback alone and brings no feature with it.

    With `inference_id` the feedback must be on that inference; `user_id` then is who speaks, whatever the event says.
    `charge` is called once for each body with the number of events in it; it raises RateLimited when that is too many.
    """

    trusted: bool = True
    inference_id: str | None = None
    user_id: str | None = None
    charge: Callable[[int], None] = _free

    def refuse(self, event: Event) -> ForbiddenKey | None:
        """Return why this sender may not send the event, or None when it may."""
        if self.trusted:
            return None
        if not isinstance(event, Feedback):
            return ForbiddenKey("expected feedback, got an inference; a public key sends feedback only", param="type")
        if event.source not in ("user", "app"):
            return ForbiddenKey(
                f"expected source 'user' or 'app', got {event.source!r}; a page speaks for the people who use it, "
                "reviewers and judges write with an ingest key",
                param="source",
            )
        if self.inference_id is not None and event.inference_id != self.inference_id:
            return ForbiddenKey(
                f"expected feedback on inference {self.inference_id!r}, which this token is for, "
                f"got {event.inference_id!r}; ask the app for a token of that answer",
                param="inference_id",
            )
        return None

    def corrected(self, events: Sequence[tuple[int, Event]], now: datetime) -> list[tuple[int, Event]]:
        """Return the events with what an untrusted sender cannot know set right: the time, and who a token is for.

        People's clocks are not ours: a batch from one that is ahead is moved back as a whole, which keeps its order.
        """
        if self.trusted:
            return list(events)
        ahead = max((event.created_at - now for _, event in events), default=timedelta())
        back = max(ahead, timedelta())
        return [(index, self._own(event, event.created_at - back)) for index, event in events]

    def _own(self, event: Event, created_at: datetime) -> Event:
        user_id = event.user_id if self.user_id is None else self.user_id
        return replace(event, created_at=created_at, user_id=user_id)


APP = Sender()
"""The app's own side, with no limit."""
