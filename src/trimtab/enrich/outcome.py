"""One Outcome from everything people said about one inference."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from trimtab.records import Evidence, Inference, Opinion, Outcome

__all__ = ["EXPLICIT", "judge", "latest", "spoken"]

EXPLICIT = frozenset({"thumb", "rating", "label", "accept", "reject", "outcome", "correction"})
"""The kinds in which a person or the app says outright whether an answer was right."""


def latest(opinions: Iterable[Opinion]) -> list[Opinion]:
    """Return one opinion for each (person, kind): the latest by (created_at, feedback_id), whatever the order given.

    Someone unknown counts as one person per kind.
    """
    kept: dict[tuple[str, str | None, str], Opinion] = {}
    for opinion in opinions:
        key = (opinion.source, opinion.user_id, opinion.kind)
        held = kept.get(key)
        if held is None or _order(held) < _order(opinion):
            kept[key] = opinion
    return sorted(kept.values(), key=_order)


def spoken(opinion: Opinion) -> float | None:
    """Return what one explicit opinion says alone: 0 good, 1 bad, between for ratings; None when it says neither."""
    value = opinion.value
    match opinion.kind:
        case "thumb" | "outcome":
            return None if value is None else 1.0 - value
        case "rating":
            return None if value is None or not opinion.best else (opinion.best - value) / (opinion.best - 1.0)
        case "accept":
            return 0.0
        case "reject" | "correction":
            return 1.0
        case _:
            return None


def judge(inference: Inference, opinions: Iterable[Opinion], now: datetime) -> Outcome | None:
    """Return the Outcome of an inference, or None while nobody has said anything explicit about it.

    A person's word is the mean of their votes, a correction standing for one only when they cast none; people weigh the
    same. Reviewers, who looked on purpose, decide over users. Where all was taken back, the Outcome says nothing.
    """
    held = [opinion for opinion in latest(opinions) if opinion.kind in EXPLICIT]
    if not held:
        return None
    words = [(opinion, x) for opinion in held if not opinion.retracted and (x := spoken(opinion)) is not None]
    used = _votes_first(words)
    reviewed = [(opinion, x) for opinion, x in used if opinion.source == "reviewer"]
    users = [(opinion, x) for opinion, x in used if opinion.source in ("user", "app")]
    deciding = reviewed or users or used
    weight = 1.0 / len(deciding) if deciding else 0.0
    last = users[-1][0] if users else None
    return Outcome(
        inference_id=inference.id,
        feature=inference.feature,
        version_id=inference.version_id,
        arm=inference.arm,
        user_id=inference.user_id,
        created_at=inference.created_at,
        judged_at=now,
        p_bad=_mean_by_person(deciding) if deciding else 0.5,
        confidence=1.0 if deciding else 0.0,
        tier="A",
        evidence=[
            Evidence(
                kind=opinion.kind,
                feedback_id=opinion.feedback_id,
                x=x,
                share=weight if (opinion, x) in deciding else 0.0,
            )
            for opinion, x in words
        ],
        vote=_mean_by_person(users) if users else None,
        voter_id=_voter(last, inference) if last else None,
        voted_at=last.created_at if last else None,
    )


def _order(opinion: Opinion) -> tuple[datetime, str]:
    return (opinion.created_at, opinion.feedback_id)


def _votes_first(words: list[tuple[Opinion, float]]) -> list[tuple[Opinion, float]]:
    """Drop the corrections of people who also voted: the vote is what they said, the correction is how to mend it."""
    voted = {(opinion.source, opinion.user_id) for opinion, _ in words if opinion.kind != "correction"}
    return [
        (opinion, x)
        for opinion, x in words
        if opinion.kind != "correction" or (opinion.source, opinion.user_id) not in voted
    ]


def _mean_by_person(words: list[tuple[Opinion, float]]) -> float:
    people: dict[str | None, list[float]] = {}
    for opinion, x in words:
        people.setdefault(opinion.user_id, []).append(x)
    return sum(sum(said) / len(said) for said in people.values()) / len(people)


def _voter(opinion: Opinion, inference: Inference) -> str:
    """Name the voter for the vote cap; someone unknown is told apart by session, then by inference."""
    known = opinion.user_id or inference.user_id
    return known or (f"session:{inference.session_id}" if inference.session_id else f"inference:{inference.id}")[:256]
