"""Which answer each word is about, decided from all that is known: late answers move words that mean them.

A word names its target by an id, a name of the app's own, a trace, a span or a session. Where several answers share a
name, the latest of them is meant; of a session the answer that stood there when the word was said. Both depend only on
what was stored, never on the order in which it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from trimtab.enrich.join import names_of, target_of
from trimtab.enrich.recent import RecentInferences
from trimtab.records import Feedback, Inference
from trimtab.store.ports import EventStore, JudgementStore, Target, Turn

__all__ = ["Attribution", "attribute", "spoken_about", "turns_of"]


class AttributionStore(EventStore, JudgementStore, Protocol):
    """What finding each other needs of the store."""


@dataclass
class Attribution:
    """Who was found to mean what.

    `aims` are what the new feedback names; `pairs` new joins, in order of arrival; `left` the answers that lost a word
    to one of `gained`; `orphans` wait on. `known` holds every inference looked at, `names` the new ones' names.
    """

    aims: list[tuple[Feedback, Target]] = field(default_factory=list)
    pairs: list[tuple[Feedback, str]] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    gained: set[str] = field(default_factory=set)
    orphans: list[tuple[str, Target]] = field(default_factory=list)
    names: list[tuple[Target, str]] = field(default_factory=list)
    known: dict[str, Inference] = field(default_factory=dict)


def attribute(
    store: AttributionStore,
    recent: RecentInferences,
    project_id: str,
    inferences: Sequence[Inference],
    feedback: Sequence[Feedback],
) -> Attribution:
    """Pair the new feedback with what it is about, and the new inferences with all feedback that means them."""
    found = Attribution(known={inference.id: inference for inference in inferences})
    # Latest first: of several calls in one trace, feedback on the trace is about the last, as it is in the store.
    by_time = sorted(inferences, key=_place, reverse=True)
    found.names = [(target, inference.id) for inference in by_time for target in names_of(inference)]
    aims = found.aims = [(word, target_of(word)) for word in feedback]
    fresh = {word.id for word in feedback}
    sessions = [Target("session", each.session_id) for each in inferences if each.session_id]
    concerned = list(dict.fromkeys([*(target for target, _ in found.names), *sessions]))
    again = [(word, aim) for aim, word in store.aimed(project_id, concerned) if word.id not in fresh]
    ids = [Target("inference", inference.id) for inference in inferences]
    again += [(word, aim) for aim, word in store.waiting(project_id, ids) if word.id not in fresh]
    held = store.joined(project_id, [word.id for word, _ in again])
    meant = _meanings(store, recent, project_id, [*aims, *again], inferences, found)
    for (word, aim), about in zip([*aims, *again], meant, strict=True):
        before = held.get(word.id)
        if about is None:
            if word.id in fresh:
                found.orphans.append((word.id, aim))
        elif about != before:
            found.pairs.append((word, about))
            if before is not None:
                found.left.add(before)
                found.gained.add(about)
    return found


def turns_of(inferences: Iterable[Inference]) -> list[Turn]:
    """Return the places of the inferences that belong to a session."""
    return [
        Turn(inference.session_id, inference.created_at, inference.id, inference.feature)
        for inference in inferences
        if inference.session_id
    ]


def spoken_about(turns: Sequence[Turn], word: Feedback) -> str | None:
    """Return which answer of a session a word on the session is about: the last one given by then, else the first.

    Where the word names a feature that answered in this session, only that feature's answers count.
    """
    own = [turn for turn in turns if turn.feature == word.feature] or list(turns)
    given = [turn for turn in own if turn.created_at <= word.created_at]
    if given:
        return max(given, key=lambda turn: (turn.created_at, turn.inference_id)).inference_id
    return min(own, key=lambda turn: (turn.created_at, turn.inference_id)).inference_id if own else None


def _meanings(
    store: AttributionStore,
    recent: RecentInferences,
    project_id: str,
    aims: Sequence[tuple[Feedback, Target]],
    inferences: Sequence[Inference],
    found: Attribution,
) -> list[str | None]:
    known = found.known
    named = store.resolve(project_id, [aim for _, aim in aims if aim.kind not in ("inference", "session")])
    wanted = {*named.values(), *(aim.key for _, aim in aims if aim.kind == "inference")}
    known.update(recent.read(project_id, sorted(wanted - known.keys())))
    newest = _newest(found.names, known, {target: known[each] for target, each in named.items()})
    sessions = _sessions(store, project_id, [aim.key for _, aim in aims if aim.kind == "session"], inferences)
    meant: list[str | None] = []
    for word, aim in aims:
        if aim.kind == "inference":
            meant.append(aim.key if aim.key in known else None)
        elif aim.kind == "session":
            meant.append(spoken_about(sessions.get(aim.key, []), word))
        else:
            meant.append(newest[aim].id if aim in newest else None)
    return meant


def _sessions(
    store: AttributionStore, project_id: str, keys: Sequence[str], inferences: Sequence[Inference]
) -> dict[str, list[Turn]]:
    """Return the sessions' answers, those included that this batch brings."""
    if not keys:
        return {}
    found = store.turns(project_id, keys)
    for turn in turns_of(inferences):
        if turn.session_id in keys:
            held = found.setdefault(turn.session_id, [])
            if turn not in held:
                held.append(turn)
    return found


def _newest(
    names: Sequence[tuple[Target, str]], known: Mapping[str, Inference], held: Mapping[Target, Inference]
) -> dict[Target, Inference]:
    """Return what each name means: of inferences that share it the latest, as the store resolves it."""
    newest = dict(held)
    for target, inference_id in names:
        inference, other = known[inference_id], newest.get(target)
        if other is None or _place(other) < _place(inference):
            newest[target] = inference
    return newest


def _place(inference: Inference) -> tuple[datetime, str]:
    return (inference.created_at, inference.id)
