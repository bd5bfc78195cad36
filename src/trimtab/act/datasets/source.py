"""Where answers and the words on them come from: all history through the lake (`history.py`), or the hot store alone.

Both yield the same answers in the same order, the newest first (by `created_at`, then id), and hold a bounded part of
them in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from trimtab.act.datasets.order import newest_first
from trimtab.act.datasets.request import DatasetRequest
from trimtab.act.datasets.rule import Told, Word
from trimtab.clock import to_micros
from trimtab.records import Feedback, Inference, Outcome
from trimtab.store.ports import EventStore, JudgementStore

__all__ = ["HotSource", "HotWords", "Look", "Source", "is_within"]

_PAGE = 2000

Look = Callable[[str, int], None]
"""Told what is being done and how many rows of it are done so far; may raise to end it."""


class HotWords(EventStore, JudgementStore, Protocol):
    """The part of the hot store that words are read from."""


class Source(Protocol):
    """Where answers come from."""

    @property
    def name(self) -> str:
        """What the manifest calls it."""
        ...

    def told(self, project_id: str, request: DatasetRequest, folder: Path, look: Look) -> Iterator[Told]:
        """Yield the answers that the request asks about, the newest first; `folder` is for what does not fit memory."""
        ...

    def facts(self, project_id: str, request: DatasetRequest) -> dict[str, Any]:
        """Return what the manifest says of the source: its SQL and how far it reached, where it has such."""
        ...

    def cancel(self) -> None:
        """End what is being asked, from another thread; `told` then raises Unavailable."""
        ...


class HotSource:
    """The hot store alone, where there is no lake: feedback in order of arrival, sorted by runs on disk."""

    name = "hot"

    def __init__(self, store: HotWords) -> None:
        self._store = store
        self._reached = 0

    def told(self, project_id: str, request: DatasetRequest, folder: Path, look: Look) -> Iterator[Told]:
        """Read all feedback, assemble each answer once, sort."""
        lines = (msgspec.json.encode(told) + b"\n" for told in self._unsorted(project_id, request, look))
        yield from map(_told.decode, newest_first(lines, folder))

    def facts(self, project_id: str, request: DatasetRequest) -> dict[str, Any]:  # noqa: ARG002  as the lake's
        """Return the place up to which feedback was read."""
        return {"feedback_seq": self._reached}

    def cancel(self) -> None:
        """Do nothing: it is told by `look` soon enough."""

    def _unsorted(self, project_id: str, request: DatasetRequest, look: Look) -> Iterator[Told]:
        seq, done = 0, 0
        while page := self._store.feedback_after(seq, _PAGE):
            seq = self._reached = page[-1].seq
            done += len(page)
            said = {
                row.record.id: row.record
                for row in page
                if row.project_id == project_id and row.record.kind in request.words
            }
            if said:
                yield from self._assembled(project_id, request, said)
            look("reading feedback", done)

    def _assembled(self, project_id: str, request: DatasetRequest, said: dict[str, Feedback]) -> Iterator[Told]:
        """Yield the answers whose lowest-numbered word is among `said`: so each comes once, whatever page it is on."""
        joined = self._store.joined(project_id, list(said))
        about = sorted(set(joined.values()))
        chosen: dict[str, list[str]] = {}
        for inference_id, opinions in self._store.opinions(project_id, about).items():
            words = [
                opinion.feedback_id
                for opinion in opinions
                if opinion.kind in request.words and opinion.source in request.sources and not opinion.retracted
            ]
            if words and min(words) in said:
                chosen[inference_id] = words
        inferences = self._store.inferences(project_id, list(chosen))
        elsewhere = [one for words in chosen.values() for one in words if one not in said]
        texts = {**said, **self._store.feedback(project_id, elsewhere)}
        outcomes = self._store.outcomes(project_id, list(chosen)) if request.judged else {}
        for inference_id, words in chosen.items():
            inference = inferences.get(inference_id)
            if inference is None:
                continue
            told = _combined(inference, [texts[one] for one in words if one in texts], outcomes.get(inference_id))
            if _is_asked_for(inference, request) and is_within(told, request):
                yield told


_told: msgspec.json.Decoder[Told] = msgspec.json.Decoder(Told)


def _combined(inference: Inference, said: list[Feedback], outcome: Outcome | None) -> Told:
    words = [
        Word(
            feedback_id=one.id,
            kind=one.kind,
            said_us=to_micros(one.created_at),
            value=one.value,
            text=one.text,
            author_id=one.user_id,
        )
        for one in said
    ]
    words.sort(key=lambda word: (word.said_us, word.feedback_id))
    return Told(
        inference_id=inference.id,
        feature=inference.feature,
        created_us=to_micros(inference.created_at),
        input=inference.input,
        output=inference.output,
        words=words,
        version_id=inference.version_id,
        user_id=inference.user_id,
        confidence=outcome.confidence if outcome else None,
        segments=outcome.segments if outcome else {},
    )


def _is_asked_for(inference: Inference, request: DatasetRequest) -> bool:
    return (
        (not request.features or inference.feature in request.features)
        and (not request.version_ids or inference.version_id in request.version_ids)
        and (request.since is None or inference.created_at >= request.since)
        and (request.until is None or inference.created_at < request.until)
    )


def is_within(told: Told, request: DatasetRequest) -> bool:
    """Say whether the answer's judgement is as asked for; one without a judgement is sure of nothing."""
    if request.min_confidence > 0 and (told.confidence or 0.0) < request.min_confidence:
        return False
    return all(told.segments.get(key) == value for key, value in request.segments.items())
