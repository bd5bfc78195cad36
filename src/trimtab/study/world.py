"""The world of a study: what users ask week by week, what would be right, how it drifts, and how users react.

Every random number of users is drawn with the stream, not with the answers, so that all arms live in the same world and
differ only by what they answer. Drift is injected where the data has no time of its own; reports say so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from trimtab.errors import InputError
from trimtab.study.data import Labelled, Table

__all__ = ["PILOT_WEEKS", "START", "Ask", "Dials", "Drift", "Hint", "Reaction", "World", "build", "react"]

START = datetime(2026, 1, 5, tzinfo=UTC)
PILOT_WEEKS = 26
_WEEK_S = 7 * 86_400
_DICE = 7
Share = Annotated[float, Meta(ge=0, le=1)]
Hint = Literal["rephrase", "copy"]


class Dials(Struct, frozen=True, kw_only=True):
    """Everything assumed about the world. Shares are probabilities; votes are right when they match the answer.

    From the start on (not in the calm time before it) feedback may be `shuffled` over the day's answers, or the users
    `silent`; in `poisoned_weeks` that many wrong right answers come with the reviewers' own. `reviewer_error` is the
    share of a reviewer's right answers that are another label's.
    """

    weeks: Annotated[int, Meta(ge=1, le=520)] = 26
    per_week: Annotated[int, Meta(ge=10)] = 1500
    seed: int = 0
    drift: Annotated[float, Meta(ge=0, le=4)] = 1.0
    launch_labels_share: Share = 110 / 150
    policy_changes: int = 6
    mix_step: float = 0.12
    launch_texts_per_label: Annotated[int, Meta(ge=1)] = 30
    fresh_texts_per_label: Annotated[int, Meta(ge=1)] = 20
    golden_texts_per_label: Annotated[int, Meta(ge=0)] = 2
    users_per_weekly_interaction: float = 0.5
    activity_sigma: float = 1.2
    votes_if_bad: Share = 0.05
    votes_if_good: Share = 0.02
    vote_right_if_bad: Share = 0.85
    vote_right_if_good: Share = 0.94
    corrects: Share = 0.15
    correction_wrong: Share = 0.10
    rephrases_if_bad: Share = 0.45
    rephrases_if_good: Share = 0.06
    copies_if_bad: Share = 0.10
    copies_if_good: Share = 0.35
    reviewer_error: Share = 0.0
    poisoned_weeks: Share = 0.0
    poisoned_words: Annotated[int, Meta(ge=0)] = 300
    shuffled: bool = False
    silent: bool = False


class Ask(NamedTuple):
    """One thing a user asks: when, who, the words, the answer that is right at that time, and the user's own dice."""

    at: datetime
    user_id: str
    text: str
    right: str
    dice: tuple[float, ...]


class Drift(NamedTuple):
    """One change of the world: an intent that appears, or a policy that gives an intent another right answer."""

    week: int
    kind: Literal["appears", "policy"]
    label: str
    answer: str


class Reaction(NamedTuple):
    """What a user does about an answer: a vote (1 up, 0 down) or none, perhaps the right answer in words, and hints."""

    vote: int | None
    correction: str | None = None
    hints: tuple[Hint, ...] = ()


class World(NamedTuple):
    """A whole stream. `pilot` is the calm time before the first week; `fresh` texts are never asked in the stream.

    `golden` are the cases that the product was launched with: no exemplar, never asked, right at launch. `labels_of`
    is each text's label, `calm` the pilot by week.
    """

    dials: Dials
    launch: list[Labelled]
    pilot: list[Ask]
    weeks: list[list[Ask]]
    drifts: list[Drift]
    fresh: dict[str, list[str]]
    labels: list[str]
    injected: bool
    golden: list[Labelled]
    labels_of: dict[str, str]
    calm: list[list[Ask]]

    def asks_of(self, week: int) -> list[Ask]:
        """Return what is asked in a week; the calm ones before the first are below 0."""
        return self.weeks[week] if week >= 0 else self.calm[week + PILOT_WEEKS]

    def right_at(self, text: str, when: datetime) -> str | None:
        """Return what is right for a text of the world at a time; None for any other text."""
        week = (when - START) / timedelta(weeks=1)
        answers = {drift.label: drift.answer for drift in self.drifts if drift.kind == "policy" and drift.week < week}
        label = self.labels_of.get(text)
        return None if label is None else answers.get(label, label)

    def fresh_cases(self, week: int) -> list[tuple[str, str]]:
        """Return the held-out (text, right answer) pairs of all intents alive in `week` (0 is the first)."""
        due = [drift for drift in self.drifts if drift.week <= week]
        alive = {row.label for row in self.launch} | {drift.label for drift in due if drift.kind == "appears"}
        answers = {drift.label: drift.answer for drift in due if drift.kind == "policy"}
        return [
            (text, answers.get(label, label)) for label in self.labels if label in alive for text in self.fresh[label]
        ]


def build(table: Table, dials: Dials, *, becomes: Mapping[str, str] | None = None) -> World:
    """Make a world of the labelled texts: in the file's own order where it tells times, else with injected drift.

    `becomes` says what each label's right answer is after its policy changed, in a week that is drawn; without it that
    is another label, and the changes are spread evenly.

    Raises InputError when the texts are too few to hold some out and still have a stream.
    """
    random = np.random.default_rng([dials.seed, 150])
    by_label: dict[str, list[Labelled]] = defaultdict(list)
    for row in table.rows:
        by_label[row.label].append(row)
    usable = {label: rows for label, rows in sorted(by_label.items()) if len(rows) >= 5}
    if len(usable) < 2:
        raise InputError(
            f"expected at least two labels with 5 texts each, got {len(usable)} of {len(by_label)} labels; "
            "a study holds some texts of each label out and needs the rest for its stream",
            param="data",
        )
    held: dict[str, list[str]] = {}
    rest: dict[str, list[Labelled]] = {}
    for label, rows in usable.items():
        order = random.permutation(len(rows))
        count = min(dials.fresh_texts_per_label, max(1, len(rows) // 5))
        held[label] = [rows[i].text for i in order[:count]]
        rest[label] = [rows[i] for i in (sorted(order[count:]) if table.timed else order[count:])]
    return _replayed(held, rest, dials, random) if table.timed else _injected(held, rest, dials, random, becomes)


def react(ask: Ask, answer: str, dials: Dials, labels: Sequence[str], *, bad: bool | None = None) -> Reaction:
    """Return what the user of `ask` does about `answer`; `bad` overrides the judgement (shuffled feedback)."""
    votes, verdict, corrects, wrong, other, rephrases, copies = ask.dice
    is_bad = answer != ask.right if bad is None else bad
    hints: list[Hint] = []
    if rephrases < (dials.rephrases_if_bad if is_bad else dials.rephrases_if_good):
        hints.append("rephrase")
    if copies < (dials.copies_if_bad if is_bad else dials.copies_if_good):
        hints.append("copy")
    if votes >= (dials.votes_if_bad if is_bad else dials.votes_if_good):
        return Reaction(None, None, tuple(hints))
    right = verdict < (dials.vote_right_if_bad if is_bad else dials.vote_right_if_good)
    if is_bad != right:
        return Reaction(1, None, tuple(hints))
    if corrects >= dials.corrects:
        return Reaction(0, None, tuple(hints))
    said = labels[int(other * len(labels))] if wrong < dials.correction_wrong else ask.right
    return Reaction(0, said, tuple(hints))


# ---------------------------------------------------------------- injected drift


def _injected(
    held: dict[str, list[str]],
    rest: dict[str, list[Labelled]],
    dials: Dials,
    random: np.random.Generator,
    becomes: Mapping[str, str] | None,
) -> World:
    labels = [str(label) for label in random.permutation(list(rest))]
    launched = max(2, round(len(labels) * dials.launch_labels_share))
    at_launch, reserve = labels[:launched], labels[launched:]
    appearing = reserve[: round(len(reserve) * min(dials.drift, 1.0))]
    first, last = min(2, dials.weeks - 1), max(min(2, dials.weeks - 1), dials.weeks - 2)
    drifts = [
        Drift(int(week), "appears", label, label)
        for week, label in zip(np.linspace(first, last, len(appearing)).round(), appearing, strict=True)
    ]
    # dice of their own, so that the calm time is the same whatever the drift
    drifts += _policies(at_launch, (first, last), dials, np.random.default_rng([dials.seed, 151]), becomes)
    drifts.sort(key=lambda drift: drift.week)
    launch = [Labelled(*row[:2]) for label in at_launch for row in rest[label][: _launch_count(rest[label], dials)]]
    pools = {label: [row.text for row in rows] for label, rows in rest.items()}
    golden: list[Labelled] = []
    for label in at_launch:
        left = rest[label][_launch_count(rest[label], dials) :]
        count = min(dials.golden_texts_per_label, len(left) // 3)
        golden += [Labelled(*row[:2]) for row in left[:count]]
        pools[label] = [row.text for row in left[count:]]
    streams = _draw_weeks(pools, at_launch, drifts, dials, random)
    known = sorted(labels)
    names = {row.text: label for label, rows in rest.items() for row in rows}
    names |= {text: label for label, texts in held.items() for text in texts}
    calm = _by_week(streams[0])
    return World(dials, launch, streams[0], streams[1:], drifts, held, known, True, golden, names, calm)  # noqa: FBT003


def _policies(
    at_launch: Sequence[str],
    span: tuple[int, int],
    dials: Dials,
    moved: np.random.Generator,
    becomes: Mapping[str, str] | None,
) -> list[Drift]:
    first, last = span
    wanted = round(dials.policy_changes * dials.drift)
    if becomes is not None:
        changed = [str(label) for label in moved.choice(at_launch, min(wanted, len(at_launch)), replace=False)]
        drawn = np.sort(moved.integers(first, last + 1, len(changed)))
        return [Drift(int(week), "policy", label, becomes[label]) for week, label in zip(drawn, changed, strict=True)]
    changes = min(wanted, len(at_launch) // 2)
    changed = [str(label) for label in moved.choice(at_launch, 2 * changes, replace=False)]
    return [
        Drift(int(week), "policy", label, answer)
        for week, label, answer in zip(
            np.linspace(first + 1, last, changes).round(), changed[:changes], changed[changes:], strict=True
        )
    ]


def _launch_count(rows: Sequence[Labelled], dials: Dials) -> int:
    return max(1, min(dials.launch_texts_per_label, len(rows) // 3))


def _draw_weeks(
    pools: dict[str, list[str]],
    at_launch: Sequence[str],
    drifts: Sequence[Drift],
    dials: Dials,
    random: np.random.Generator,
) -> list[list[Ask]]:
    """Return the pilot's asks, then each week's; of a label's texts, shuffled, none comes again before all came."""
    mix = {label: float(random.normal(0, 0.4)) for label in pools}
    queues: dict[str, list[str]] = {label: [] for label in pools}
    activity = _activity(dials, random)
    alive, answers = list(at_launch), {label: label for label in pools}
    weeks: list[list[Ask]] = []
    for week in range(-1, dials.weeks):
        for drift in drifts:
            if drift.week == week:
                answers[drift.label] = drift.answer
                if drift.kind == "appears":
                    alive.append(drift.label)
        weights = np.exp([mix[label] for label in alive])
        count = dials.per_week * (PILOT_WEEKS if week < 0 else 1)
        drawn = random.choice(len(alive), count, p=weights / weights.sum())
        said: list[tuple[str, str]] = []
        for index in drawn:
            label = alive[index]
            if not queues[label]:
                queues[label] = [pools[label][i] for i in random.permutation(len(pools[label]))]
            said.append((queues[label].pop(), answers[label]))
        span = (-PILOT_WEEKS, 0) if week < 0 else (week, week + 1)
        weeks.append(_asks(said, span, activity, random))
        if week >= 0:
            for label in mix:
                mix[label] += float(random.normal(0, dials.mix_step)) * dials.drift
    return weeks


def _by_week(pilot: Sequence[Ask]) -> list[list[Ask]]:
    found: list[list[Ask]] = [[] for _ in range(PILOT_WEEKS)]
    for ask in pilot:
        found[(ask.at - START) // timedelta(weeks=1) + PILOT_WEEKS].append(ask)
    return found


def _activity(dials: Dials, random: np.random.Generator) -> NDArray[np.float64]:
    users = max(20, round(dials.per_week * dials.users_per_weekly_interaction))
    weights = random.lognormal(0, dials.activity_sigma, users)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _asks(
    said: Sequence[tuple[str, str]],
    span: tuple[int, int],
    activity: NDArray[np.float64],
    random: np.random.Generator,
) -> list[Ask]:
    seconds = np.sort(random.uniform(span[0] * _WEEK_S, span[1] * _WEEK_S, len(said)))
    users = random.choice(len(activity), len(said), p=activity)
    dice = random.uniform(size=(len(said), _DICE))
    return [
        Ask(START + timedelta(seconds=float(when)), f"user-{user:05d}", text, right, tuple(d))
        for (text, right), when, user, d in zip(said, seconds, users, dice.tolist(), strict=True)
    ]


# ---------------------------------------------------------------- the file's own time


def _replayed(
    held: dict[str, list[str]], rest: dict[str, list[Labelled]], dials: Dials, random: np.random.Generator
) -> World:
    """Keep the file's own order: a first part launches, a calm part is the pilot, the rest is cut into equal weeks."""
    rows = sorted((row for part in rest.values() for row in part), key=lambda row: row.at or START)
    launched, piloted = len(rows) * 15 // 100, len(rows) * 25 // 100
    launch, pilot, later = rows[:launched], rows[launched:piloted], rows[piloted:]
    if len(later) < 2 * dials.weeks:
        raise InputError(
            f"expected at least {2 * dials.weeks} timed texts after launch for {dials.weeks} weeks, got {len(later)}; "
            "pass fewer --weeks or more data",
            param="data",
        )
    activity = _activity(dials, random)
    seen = {row.label for row in launch}
    drifts: list[Drift] = []
    weeks: list[list[Ask]] = []
    for week, part in enumerate(np.array_split(np.arange(len(later)), dials.weeks)):
        chosen = part
        if len(part) > dials.per_week:
            chosen = np.sort(random.choice(part, dials.per_week, replace=False))
        said = [(later[i].text, later[i].label) for i in chosen]
        weeks.append(_asks(said, (week, week + 1), activity, random))
        for label in dict.fromkeys(label for _, label in said):
            if label not in seen:
                seen.add(label)
                drifts.append(Drift(week, "appears", label, label))
    calm = _asks([(row.text, row.label) for row in pilot], (-PILOT_WEEKS, 0), activity, random)
    names = {row.text: row.label for row in rows} | {text: label for label, texts in held.items() for text in texts}
    return World(dials, launch, calm, weeks, drifts, held, sorted(held), False, [], names, _by_week(calm))  # noqa: FBT003
