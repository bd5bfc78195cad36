"""Six months at Brisk's support desk, over HTTP and through the SDK: a product team with Trimtab beside it.

Three desks answer the same questions of the same people. `static` was launched and left alone. At `human` somebody
labels a random sample once a month and ships the corrections by hand. `closed` leaves it to the loop. What the desks
know of right and wrong is what people tell them: most stay silent, some press a thumb, few write the right answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

from msgspec import Struct

from trimtab.act.runner import Runner
from trimtab.client import Client
from trimtab.clock import SetClock
from trimtab.study.product.brisk import FEATURE, WEEKS, Question, events, held_back, launch, questions, topics
from trimtab.study.product.desk_api import DeskApi

__all__ = ["ARMS", "START", "ArmTotals", "Day", "Desk", "People", "feature_of"]

START = datetime(2026, 1, 5, tzinfo=UTC)
ARMS = ("static", "human", "closed")


def feature_of(arm: str) -> str:
    """Return the feature under which an arm's desk is known to Trimtab."""
    return f"{FEATURE}-{arm}"


class People(Struct, frozen=True, kw_only=True):
    """How the simulated people behave. All of it is assumed; the report prints it."""

    users: int = 2000
    vote_if_bad: float = 0.30
    vote_if_good: float = 0.15
    honest_if_bad: float = 0.90
    honest_if_good: float = 0.96
    corrects: float = 0.40
    correction_wrong: float = 0.05
    sample_a_month: int = 40


class ArmTotals(Struct):
    """What one arm's desk has seen and done so far."""

    asked: list[int]
    right: list[int]
    fresh: list[float]
    labels: int = 0
    approvals: int = 0


class Day(Struct, frozen=True, kw_only=True):
    """One day gone by: what is new in the product, and what the loop did about it, in words."""

    number: int
    week: int
    product: list[str]
    loop: list[str]


class Desk:
    """The sample product with its people, talking to a Trimtab server whose clock can be set."""

    def __init__(
        self,
        api: DeskApi,
        client: Callable[[SetClock], Client],
        runner: Runner,
        *,
        per_week: int,
        seed: int,
        people: People,
    ) -> None:
        self._api = api
        self._clock = SetClock(START)
        self._client = client(self._clock)
        self._runner = runner
        self._per_week = per_week
        self._seed = seed
        self._people = people
        self._random = random.Random(seed)  # noqa: S311  a simulation, not a secret
        self._told: set[str] = set()
        self._seen: dict[str, list[tuple[str, Question]]] = {arm: [] for arm in ARMS}
        self.totals = {arm: ArmTotals(asked=[0] * WEEKS, right=[0] * WEEKS, fresh=[]) for arm in ARMS}

    def open(self) -> None:
        """Launch all desks with the same examples."""
        examples = [{"input": question, "output": answer} for question, answer in launch()]
        for arm in ARMS:
            self._api.serve(feature_of(arm), examples, note="launch")

    def close(self) -> None:
        """Deliver what is still in the SDK and close it."""
        self._client.close(10.0)

    def days(self, weeks: int = WEEKS) -> Iterator[Day]:
        """Live through the weeks, a day at a time."""
        for week in range(weeks):
            stream = list(questions(week, self._per_week, self._seed))
            for weekday in range(7):
                today = [item for item in stream if weekday <= item.after / timedelta(days=1) < weekday + 1]
                number = week * 7 + weekday
                self._api.set_clock(START + timedelta(days=number + 1))
                for arm in ARMS:
                    self._serve(arm, week, today)
                self._client.flush(30.0)
                if number % 28 == 27:
                    self._label(week)
                self._clock.set(START + timedelta(days=number + 1))
                self._api.tick()
                self._decide()
                yield Day(number=number, week=week, product=events(week) if weekday == 0 else [], loop=self._news())
            for arm in ARMS:
                self.totals[arm].fresh.append(self._fresh(arm, week))

    def _serve(self, arm: str, week: int, today: Sequence[Question]) -> None:
        """Answer the day's questions with what each person is served, and let the people react."""
        feature = feature_of(arm)
        self._api.until_current(self._client, feature)
        asked = [(item, f"person-{self._random.randrange(self._people.users)}") for item in today]
        by_version: dict[str, list[int]] = {}
        resolved = [self._client.resolve(feature, user=user) for _, user in asked]
        for place, served in enumerate(resolved):
            by_version.setdefault(served.version.id if served.version else "", []).append(place)
        outputs = [""] * len(asked)
        for version_id, places in by_version.items():
            version = self._api.version(feature, version_id)
            for place, output in zip(
                places, self._runner.answer(version, [asked[place][0].text for place in places]), strict=True
            ):
                outputs[place] = output
        totals = self.totals[arm]
        for (item, user), served, output in zip(asked, resolved, outputs, strict=True):
            good = says(output, item.right)
            totals.asked[week] += 1
            totals.right[week] += good
            at = self._at(week, item)
            inference_id = self._client.record(
                feature, input=item.text, output=output or "(no answer)", user=user, version=served, created_at=at
            )
            self._seen[arm].append((inference_id, item))
            self._react(inference_id, user, item, good=good, at=at + timedelta(minutes=1))

    def _react(self, inference_id: str, user: str, item: Question, *, good: bool, at: datetime) -> None:
        people, draw = self._people, self._random
        if draw.random() >= (people.vote_if_good if good else people.vote_if_bad):
            return
        honest = draw.random() < (people.honest_if_good if good else people.honest_if_bad)
        up = good if honest else not good
        self._client.thumb(inference_id, up=up, user=user, created_at=at)
        if not up and not good and draw.random() < people.corrects:
            wrong = draw.random() < people.correction_wrong
            text = draw.choice(list(topics().values())).answer if wrong else item.right
            self._client.correction(inference_id, text, user=user, created_at=at)

    def _label(self, week: int) -> None:
        """Let somebody label a random sample of the month by hand, and ship what they found."""
        seen = self._seen["human"]
        sample = self._random.sample(seen, min(self._people.sample_a_month, len(seen)))
        feature = feature_of("human")
        examples = [{"input": item.text, "output": topics()[item.topic].right(week)} for _, item in sample]
        self._api.serve(
            feature,
            self._api.examples(feature, examples, self._clock.now()),
            note=f"labelled by hand in week {week + 1}",
        )
        self.totals["human"].labels += len(sample)
        self._seen["human"] = []

    def _decide(self) -> None:
        """Ship what the loop paused and asked about, as a team would that sees no harm in it."""
        for change in self._api.undecided(feature_of("closed")):
            self._api.promote(change)
            self.totals["closed"].approvals += 1

    def _fresh(self, arm: str, week: int) -> float:
        """Return the share of questions nobody ever asked that the arm's served version answers right."""
        held = held_back(week)
        answers = self._runner.answer(self._api.served(feature_of(arm)), [question for question, _ in held])
        return sum(says(answer, right) for answer, (_, right) in zip(answers, held, strict=True)) / len(held)

    def _at(self, week: int, item: Question) -> datetime:
        return START + timedelta(weeks=week) + item.after

    def _news(self) -> list[str]:
        """Return what the loop did since the last look, in words."""
        return self._api.news(feature_of("closed"), self._told)


def says(answer: str, right: str) -> bool:
    """Say whether an answer says what is right; of a model's own wording, the known answer nearest to it counts."""
    known = _known()
    if answer == right or answer in known:
        return answer == right
    words = _words(answer)
    if not words:
        return False
    return max(known, key=lambda text: len(words & known[text]) / len(words | known[text])) == right


@cache
def _known() -> dict[str, frozenset[str]]:
    texts = [text for topic in topics().values() for text in (topic.answer, topic.changed_answer) if text]
    return {text: _words(text) for text in texts}


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip(".,;:!?()").casefold() for word in text.split()) - {""}
