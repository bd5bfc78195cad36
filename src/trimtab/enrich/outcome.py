"""One Outcome from everything said about one inference, and from what people did with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from trimtab.enrich.signals.sign import Sign
from trimtab.enrich.weights import CAPS, HINTS, weigh
from trimtab.records import Calibration, Evidence, Inference, Opinion, Outcome, Segments, Tier
from trimtab.stats.logistic import sigmoid

__all__ = ["EXPLICIT", "judge", "latest", "reviewed", "spoken", "strongest"]

EXPLICIT = frozenset({"thumb", "rating", "label", "accept", "reject", "outcome", "correction"})
"""The kinds in which a person or the app says outright whether an answer was right."""

_Words = list[tuple[Opinion, float]]


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


def strongest(signs: Iterable[Sign]) -> list[Sign]:
    """Return one sign of each kind: the one that says most, whatever the order given and however often.

    What was kept may be put together with what comes later: the result is that of all of them at once.
    """
    kept: dict[str, Sign] = {}
    for sign in signs:
        held = kept.get(sign.kind)
        if sign.kind in HINTS and (held is None or _strength(held) < _strength(sign)):
            kept[sign.kind] = sign
    return [kept[kind] for kind in HINTS if kind in kept]


def reviewed(opinions: Iterable[Opinion]) -> float | None:
    """Return what reviewers said of an answer, 0 good to 1 bad, as `judge` counts it; None where none did."""
    used = _votes_first(_words(latest(opinions)))
    said = [(opinion, x) for opinion, x in used if opinion.source == "reviewer"]
    return _mean_by_person(said) if said else None


def judge(
    inference: Inference,
    opinions: Iterable[Opinion],
    signs: Iterable[Sign],
    calibration: Calibration,
    *,
    now: datetime,
    segments: Segments | None = None,
    reliability: Mapping[str, float] | None = None,
) -> Outcome | None:
    """Return the Outcome of an inference, or None where there is neither a word nor a hint, or all was taken back.

    Words decide. A person's word is the mean of their votes, a correction standing for one only when they cast none;
    people weigh the same. Reviewers, who looked on purpose, decide over users, and judges only where nobody spoke.
    Confidence is then the mean `reliability` of who decided (1 for those it does not name).

    Without words p_bad = sigmoid(base + sum of the weights of the kinds of hints seen, each once); confidence is
    |2 p_bad - 1| times the cap of the best tier among them.

    The result depends on the opinions and signs alone, not on their order, number or on how they were split.
    """
    words, hints = _words(latest(opinions)), strongest(signs)
    if not words and not hints:
        return None
    used = _votes_first(words)
    users = [(opinion, x) for opinion, x in used if opinion.source in ("user", "app")]
    deciding = [(opinion, x) for opinion, x in used if opinion.source == "reviewer"] or users or used
    log_odds = calibration.base + weigh(calibration, (sign.kind for sign in hints))
    hinted = sigmoid(log_odds)
    p_bad, confidence, tier = _verdict(deciding, hints, hinted, reliability or {})
    last = users[-1][0] if users else None
    return Outcome(
        inference_id=inference.id,
        feature=inference.feature,
        version_id=inference.version_id,
        arm=inference.arm,
        user_id=inference.user_id,
        created_at=inference.created_at,
        judged_at=now,
        p_bad=p_bad,
        confidence=confidence,
        tier=tier,
        evidence=_evidence(words, deciding, hints, calibration),
        vote=_mean_by_person(users) if users else None,
        voter_id=_voter(last, inference) if last else None,
        voted_at=last.created_at if last else None,
        log_odds=log_odds,
        estimate=_mean_by_person(users) if users else hinted,
        calibrated=calibration.calibrated,
        calibration_id=calibration.id,
        segments=dict(segments or {}),
    )


def _verdict(
    deciding: _Words, hints: Sequence[Sign], hinted: float, reliability: Mapping[str, float]
) -> tuple[float, float, Tier]:
    """Return P(bad), the confidence in it and the tier it has."""
    if deciding:
        return _mean_by_person(deciding), _relied_on(deciding, reliability), "A"
    tier: Tier = min(HINTS[sign.kind] for sign in hints)
    return hinted, abs(2.0 * hinted - 1.0) * CAPS[tier], tier


def _evidence(words: _Words, deciding: _Words, hints: Sequence[Sign], calibration: Calibration) -> list[Evidence]:
    share = 1.0 / len(deciding) if deciding else 0.0
    said = [
        Evidence(
            kind=opinion.kind,
            feedback_id=opinion.feedback_id,
            x=x,
            share=share if (opinion, x) in deciding else 0.0,
        )
        for opinion, x in words
    ]
    done = [
        Evidence(
            kind=sign.kind,
            x=sign.x,
            weight=weigh(calibration, [sign.kind]),
            feedback_id=sign.feedback_id,
            turn_id=sign.turn_id,
            value=sign.value,
        )
        for sign in hints
    ]
    return said + done


def _order(opinion: Opinion) -> tuple[datetime, str]:
    return (opinion.created_at, opinion.feedback_id)


def _strength(sign: Sign) -> tuple[float, float, datetime, str, str, float]:
    """Say how much a sign says; what follows the first two only makes the choice between equals the same always."""
    measure = 0.0 if sign.value is None else sign.value
    return (abs(sign.x - 0.5), measure, sign.at, sign.feedback_id or "", sign.turn_id or "", sign.x)


def _words(held: Iterable[Opinion]) -> _Words:
    said = [(opinion, spoken(opinion)) for opinion in held if opinion.kind in EXPLICIT and not opinion.retracted]
    return [(opinion, x) for opinion, x in said if x is not None]


def _votes_first(words: _Words) -> _Words:
    """Drop the corrections of people who also voted: the vote is what they said, the correction is how to mend it."""
    voted = {(opinion.source, opinion.user_id) for opinion, _ in words if opinion.kind != "correction"}
    return [
        (opinion, x)
        for opinion, x in words
        if opinion.kind != "correction" or (opinion.source, opinion.user_id) not in voted
    ]


def _mean_by_person(words: _Words) -> float:
    people: dict[str | None, list[float]] = {}
    for opinion, x in words:
        people.setdefault(opinion.user_id, []).append(x)
    return sum(sum(said) / len(said) for said in people.values()) / len(people)


def _relied_on(words: _Words, reliability: Mapping[str, float]) -> float:
    people = {opinion.user_id for opinion, _ in words}
    return sum(reliability.get(person or "", 1.0) for person in people) / len(people)


def _voter(opinion: Opinion, inference: Inference) -> str:
    """Name the voter for the vote cap; someone unknown is told apart by session, then by inference."""
    known = opinion.user_id or inference.user_id
    return known or (f"session:{inference.session_id}" if inference.session_id else f"inference:{inference.id}")[:256]
