"""The inbox: what people said that somebody should read, beside the answer it is about and all else they said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from trimtab.measure.search import matches, terms_of
from trimtab.records import Feedback, FeedbackKind, Inference, Opinion, Outcome
from trimtab.store.ports import EventStore, JudgementStore, Page, Query

__all__ = ["InboxItem", "InboxPage", "InboxStore", "Told", "inbox", "told"]

_ROUNDS = 4  # pages of the store read for one of ours, where most of what it has is not to be shown
_SOUGHT_AT_ONCE = 1_000


class InboxItem(Struct, frozen=True, kw_only=True):
    """One thing to read: the feedback, the answer it is about, how that was judged, the same person's other words.

    `inference` is null for an answer that is no longer kept, `outcome` while there is none.
    """

    feedback: Feedback
    inference: Inference | None
    outcome: Outcome | None
    others: list[Feedback]


class InboxPage(Struct, frozen=True):
    """A page of the inbox; `next` is the cursor to send as `after`, null at the end. A page may be short of `limit`."""

    items: list[InboxItem]
    next: str | None = None


class Told(Struct, frozen=True, kw_only=True):
    """One answer and all that was said of it: every word in order of arrival, what stands of them, the judgement."""

    inference: Inference
    feedback: list[Feedback]
    opinions: list[Opinion]
    outcome: Outcome | None


class InboxStore(EventStore, JudgementStore, Protocol):
    """What the inbox reads."""


def inbox(
    store: InboxStore,
    project_id: str,
    query: Query,
    *,
    kind: FeedbackKind | None = None,
    negative: bool | None = None,
    q: str = "",
) -> InboxPage:
    """Return one page of what to read.

    What its author took back is left out; so is a vote that its author gave another one instead of, or said more about
    in words: the words stand there, and the vote beside them. `q` are words that must all occur in the feedback, of
    which so many are looked at for one page.
    """
    terms = terms_of(q)
    items: list[InboxItem] = []
    after = query.after
    for _ in range(_ROUNDS):
        asked = _SOUGHT_AT_ONCE if terms else query.limit - len(items)
        page = store.inbox(
            project_id, msgspec.structs.replace(query, after=after, limit=asked), kind=kind, negative=negative
        )
        sought = [row for row in page.rows if matches(row.record, terms)]
        room = query.limit - len(items)
        after = page.next
        items += _shown(store, project_id, [row.record for row in sought[:room]])
        if len(sought) > room:
            after = store.cursor_of(sought[room - 1])
        if after is None or len(items) >= query.limit:
            break
    return InboxPage(items, None if after is None else str(after))
