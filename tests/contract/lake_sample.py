"""A small history with every kind of opinion in it, and what the views must say of it, reckoned in plain Python."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from tests.contract import hot_store_sample as a
from trimtab.clock import to_micros
from trimtab.ids import derived_id
from trimtab.records import Feedback, Inference, Outcome
from trimtab.store.lake.told import Wanted, told_sql
from trimtab.store.ports import Stored

__all__ = ["QUERIES", "History", "answers", "sample"]

PROJECTS = ("p", "q")
TRACES = [f"{number:032x}" for number in range(1, 6)]
SPANS = [f"{number:016x}" for number in range(1, 3)]


class History(NamedTuple):
    inferences: list[Stored[Inference]]
    feedback: list[Stored[Feedback]]
    outcomes: list[Stored[Outcome]]


def sample(seed: int, size: int = 60) -> History:
    """Return a history of that many inferences; the same seed makes the same one."""
    dice = random.Random(seed)
    served = [Stored(n + 1, dice.choice(PROJECTS), _inference(dice, n)) for n in range(size)]
    said = [Stored(n + 1, dice.choice(PROJECTS), _word(dice, n, served)) for n in range(size * 3)]
    judged = [
        Stored(n + 1, row.project_id, a.outcome(row.record, p_bad=dice.randrange(5) / 4, withdrawn=dice.random() < 0.2))
        for n, row in enumerate(dice.choices(served, k=size))
    ]
    return History(served, said, judged)


def _inference(dice: random.Random, number: int) -> Inference:
    return a.inference(
        id=derived_id("served", str(number)),
        feature=dice.choice(["answer", "search"]),
        created_at=a.NOW + timedelta(hours=dice.randrange(24 * 10)),
        input=f"question {number % 7}",
        user_id=dice.choice([None, "u1", "u2", "u'3"]),
        external_id=dice.choice([None, "e1", "e2", "e3"]),
        session_id=dice.choice([None, "s1", "s2"]),
        trace_id=dice.choice([None, *TRACES]),
        span_id=dice.choice([None, *SPANS]),
    )


def _word(dice: random.Random, number: int, served: list[Stored[Inference]]) -> Feedback:
    about: dict[str, Any] = dice.choice(
        [
            {"inference_id": dice.choice(served).record.id},
            {"external_id": dice.choice(["e1", "e2", "e9"])},
            {"trace_id": dice.choice(TRACES), "span_id": dice.choice([None, *SPANS])},
            {"trace_id": dice.choice(TRACES), "external_id": "e1"},
            {"session_id": dice.choice(["s1", "s9"]), "feature": dice.choice([None, "search", "other"])},
            {"session_id": "s2"},
        ]
    )
    kind: dict[str, Any] = dice.choice(
        [
            {"kind": "thumb", "value": float(dice.randrange(2))},
            {"kind": "rating", "value": float(dice.randrange(1, 6)), "best": 5.0},
            {"kind": "correction", "value": None, "text": f"right {number}"},
            {"kind": "comment", "value": None, "text": "so"},
            {"kind": "accept", "value": None},
        ]
    )
    return Feedback(
        id=derived_id("said", str(number)),
        created_at=a.NOW + timedelta(hours=dice.randrange(-5, 24 * 11)),
        user_id=dice.choice([None, "u1", "u2", "reviewer"]),
        source=dice.choice(["user", "reviewer"]),
        retracted=dice.random() < 0.2,
        **about,
        **kind,
    )


TOLD = Wanted(
    "p",
    kinds=("correction", "thumb"),
    sources=("user", "reviewer"),
    features=("answer",),
    since=a.NOW + timedelta(days=1),
    until=a.NOW + timedelta(days=8),
    judged=True,
)
QUERIES: dict[str, str] = {
    "outcomes": "SELECT project_id, inference_id, p_bad, seq FROM outcomes_latest ORDER BY seq",
    "joined": "SELECT project_id, id, about_id FROM feedback_joined ORDER BY project_id, id, about_id",
    "opinions": "SELECT project_id, about_id, id FROM opinions_latest ORDER BY project_id, about_id, id",
    "judged": (
        "SELECT project_id, id, p_bad, thumbs_up, thumbs_down, ratings, rating, comments, correction_id, correction "
        "FROM judged ORDER BY project_id, id"
    ),
    "rate": (
        "SELECT feature, day, COUNT(*) AS n, SUM(CASE WHEN p_bad > 0.5 THEN 1 ELSE 0 END) AS bad "
        "FROM judged WHERE project_id = 'p' AND p_bad IS NOT NULL GROUP BY feature, day ORDER BY feature, day"
    ),
    "split": (
        "SELECT id, CASE WHEN SUBSTR(input_hash, 1, 1) < '8' THEN 'build' ELSE 'judge' END AS part FROM judged "
        "WHERE correction IS NOT NULL ORDER BY id"
    ),
    "span": (
        f"SELECT id FROM inferences WHERE created_us >= {to_micros(a.NOW + timedelta(days=1))} "
        f"AND created_us < {to_micros(a.NOW + timedelta(days=3))} ORDER BY id"
    ),
    "told": (
        "SELECT inference_id, feedback_id, kind, text, p_bad FROM (" + told_sql(TOLD) + ") told "
        "ORDER BY inference_id, feedback_id"
    ),
    "with": "WITH users AS (SELECT DISTINCT user_id FROM judged) SELECT COUNT(*) AS n FROM users",
}
"""Queries as callers write them; each answers the same on every engine."""


def answers(history: History) -> dict[str, list[tuple[Any, ...]]]:
    """Return what each of QUERIES must answer."""
    latest: dict[tuple[str, str], Stored[Outcome]] = {}
    for row in history.outcomes:
        latest[row.project_id, row.record.inference_id] = row
    latest = {key: row for key, row in latest.items() if not row.record.withdrawn}
    joined = _joined(history)
    opinions = _opinions(joined)
    votes: dict[tuple[str, str], list[Feedback]] = defaultdict(list)
    for project, about, word in opinions:
        votes[project, about].append(word)
    judged = [_judged(row, latest.get((row.project_id, row.record.id)), votes) for row in history.inferences]
    return {
        "outcomes": sorted(
            ((key[0], key[1], row.record.p_bad, row.seq) for key, row in latest.items()), key=lambda one: one[3]
        ),
        "joined": sorted((project, word.id, about) for project, about, word in joined),
        "opinions": sorted((project, about, word.id) for project, about, word in opinions),
        "judged": sorted((told[1:] for told in judged), key=lambda one: (one[0], one[1])),
        "rate": _rate(judged),
        "split": sorted(
            (told[2], "build" if _hash(told[0]) < "8" else "judge") for told in judged if told[-1] is not None
        ),
        "span": sorted(
            (row.record.id,)
            for row in history.inferences
            if a.NOW + timedelta(days=1) <= row.record.created_at < a.NOW + timedelta(days=3)
        ),
        "told": _told(history, opinions, latest),
        "with": [(len({row.record.user_id for row in history.inferences}),)],
    }


def _told(
    history: History, opinions: list[tuple[str, str, Feedback]], latest: dict[tuple[str, str], Stored[Outcome]]
) -> list[tuple[Any, ...]]:
    asked = {
        row.record.id
        for row in history.inferences
        if row.project_id == "p"
        and row.record.feature == "answer"
        and a.NOW + timedelta(days=1) <= row.record.created_at < a.NOW + timedelta(days=8)
    }
    found = []
    for project, about, word in opinions:
        if project == "p" and about in asked and word.kind in TOLD.kinds and word.source in TOLD.sources:
            outcome = latest.get((project, about))
            found.append((about, word.id, word.kind, word.text, outcome.record.p_bad if outcome else None))
    return sorted(found)


def _hash(record: Inference) -> str:
    return hashlib.sha256(msgspec.json.encode(record.input, order="deterministic")).hexdigest()


def _joined(history: History) -> list[tuple[str, str, Feedback]]:
    own = {(row.project_id, row.record.id) for row in history.inferences}
    named: dict[tuple[str, str, str], Inference] = {}
    for row in sorted(history.inferences, key=lambda row: (row.record.created_at, row.record.id)):
        one = row.record
        for kind, key in _names(one):
            named[row.project_id, kind, key] = one
    found = []
    for _, project, word in history.feedback:
        if word.inference_id:
            if (project, word.inference_id) in own:
                found.append((project, word.inference_id, word))
            continue
        aim = _aim(word)
        about = named.get((project, *aim)) if aim else _spoken_about(history, project, word)
        if about is not None:
            found.append((project, about.id, word))
    return found


def _spoken_about(history: History, project: str, word: Feedback) -> Inference | None:
    turns = [
        row.record
        for row in history.inferences
        if row.project_id == project and word.session_id and row.record.session_id == word.session_id
    ]
    own = [turn for turn in turns if turn.feature == word.feature] or turns
    ordered = sorted(own, key=lambda turn: (turn.created_at, turn.id))
    given = [turn for turn in ordered if turn.created_at <= word.created_at]
    return given[-1] if given else next(iter(ordered), None)


def _names(one: Inference) -> list[tuple[str, str]]:
    names = [("external", one.external_id)] if one.external_id else []
    if one.trace_id:
        names.append(("trace", one.trace_id))
        if one.span_id:
            names.append(("span", f"{one.trace_id}/{one.span_id}"))
    return [(kind, str(key)) for kind, key in names]


def _aim(word: Feedback) -> tuple[str, str] | None:
    if word.trace_id and word.span_id:
        return "span", f"{word.trace_id}/{word.span_id}"
    if word.external_id:
        return "external", word.external_id
    return ("trace", word.trace_id) if word.trace_id else None


def _opinions(joined: list[tuple[str, str, Feedback]]) -> list[tuple[str, str, Feedback]]:
    latest: dict[tuple[Any, ...], tuple[str, str, Feedback]] = {}
    for project, about, word in sorted(joined, key=lambda one: (one[2].created_at, one[2].id)):
        latest[project, about, word.kind, word.source, word.user_id] = (project, about, word)
    return [one for one in latest.values() if not one[2].retracted]


def _judged(
    row: Stored[Inference], outcome: Stored[Outcome] | None, votes: dict[tuple[str, str], list[Feedback]]
) -> tuple[Any, ...]:
    words = votes.get((row.project_id, row.record.id))
    counts: tuple[Any, ...] = (None,) * 5
    last: Feedback | None = None
    if words is not None:
        rates = [word for word in words if word.kind == "rating"]
        rated = [(word.value - 1) / (word.best - 1) for word in rates if word.value and word.best]
        counts = (
            sum(word.kind == "thumb" and word.value == 1 for word in words),
            sum(word.kind == "thumb" and word.value == 0 for word in words),
            len(rated),
            sum(rated) / len(rated) if rated else None,
            sum(word.kind == "comment" for word in words),
        )
        told = [word for word in words if word.kind == "correction"]
        last = max(told, key=lambda word: (word.created_at, word.id), default=None)
    p_bad = outcome.record.p_bad if outcome else None
    return (
        row.record,
        row.project_id,
        row.record.id,
        p_bad,
        *counts,
        last.id if last else None,
        last.text if last else None,
    )


def _rate(judged: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    counted: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for told in judged:
        if told[1] == "p" and told[3] is not None:
            pair = counted[told[0].feature, f"{told[0].created_at:%Y-%m-%d}"]
            pair[0] += 1
            pair[1] += told[3] > 0.5
    return sorted((feature, day, n, bad) for (feature, day), (n, bad) in counted.items())
