"""The inbox: what people said that somebody should read, beside the answer it is about and all else they said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from trimtab.measure.search import contains, terms_of
from trimtab.records import Feedback, FeedbackKind, Inference, Opinion, Outcome
from trimtab.store.exchange import cursor_behind
from trimtab.store.ports import EventStore, JudgementStore, Query

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
        room = query.limit - len(items)
        asked = msgspec.structs.replace(query, after=after, limit=_SOUGHT_AT_ONCE if terms else room)
        page = store.inbox(project_id, asked, kind=kind, negative=negative)
        sought = [row for row in page.rows if contains(row.record, terms)]
        after = page.next
        if len(sought) > room:
            last = sought[room - 1]
            after = cursor_behind(last.record.created_at, last.seq)
        items += _shown(store, project_id, [row.record for row in sought[:room]])
        looked_enough = len(page.rows) < asked.limit  # the store itself ended there
        if after is None or looked_enough or len(items) >= query.limit:
            break
    return InboxPage(items, None if after is None else str(after))


def told(store: InboxStore, project_id: str, inference_id: str) -> Told | None:
    """Return one answer with all that was said of it, None for one that is not kept."""
    inference = store.inferences(project_id, [inference_id]).get(inference_id)
    if inference is None:
        return None
    return Told(
        inference=inference,
        feedback=store.joined_to(project_id, [inference_id]).get(inference_id, []),
        opinions=store.opinions(project_id, [inference_id]).get(inference_id, []),
        outcome=store.outcomes(project_id, [inference_id]).get(inference_id),
    )


def _shown(store: InboxStore, project_id: str, said: Sequence[Feedback]) -> list[InboxItem]:
    about = store.joined(project_id, [word.id for word in said])
    ids = list(dict.fromkeys(about.values()))
    answers, outcomes = store.inferences(project_id, ids), store.outcomes(project_id, ids)
    opinions, words = store.opinions(project_id, ids), store.joined_to(project_id, ids)
    items = []
    for word in said:
        inference_id = about.get(word.id, "")
        others = [other for other in words.get(inference_id, []) if _same_person(other, word) and other.id != word.id]
        if _stands(word, opinions.get(inference_id, []), others):
            items.append(
                InboxItem(
                    feedback=word,
                    inference=answers.get(inference_id),
                    outcome=outcomes.get(inference_id),
                    others=others,
                )
            )
    return items


def _stands(word: Feedback, opinions: Sequence[Opinion], others: Sequence[Feedback]) -> bool:
    """Say whether a feedback is still to be read: not taken back, and no bare vote that another word speaks for."""
    worded = _has_words(word)
    for opinion in opinions:
        if (opinion.kind, opinion.source, opinion.user_id) == (word.kind, word.source, word.user_id):
            if opinion.retracted and opinion.created_at >= word.created_at:
                return False
            if not worded and opinion.feedback_id != word.id:
                return False
    return worded or not any(_has_words(other) and not other.retracted for other in others)


def _has_words(word: Feedback) -> bool:
    return word.kind != "edit" and bool(word.text or word.label)


def _same_person(one: Feedback, other: Feedback) -> bool:
    return (one.source, one.user_id) == (other.source, other.user_id)
