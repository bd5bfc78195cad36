"""Brisk's support desk: topics, the questions people put, and what the right answer is in which week."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from importlib.resources import files

from msgspec import Struct, convert

__all__ = ["FEATURE", "WEEKS", "Question", "Topic", "events", "held_back", "launch", "questions", "topics"]

FEATURE = "support-answer"
WEEKS = 26

_KNOWN_AT_LAUNCH = 7  # questions of each topic that the team wrote an example for before launch
_HELD_BACK = 2  # questions of each topic that nobody ever asks: the measure of what was really learned


class Topic(Struct, frozen=True, forbid_unknown_fields=True):
    """Something people ask about: its answer, and the week from which it comes up or its answer is another one."""

    answer: str
    questions: list[str]
    week: int = 0
    changed_week: int | None = None
    changed_answer: str = ""

    def right(self, week: int) -> str:
        """Return what the right answer is in a week."""
        changed = self.changed_week is not None and week >= self.changed_week
        return self.changed_answer if changed else self.answer


class Question(Struct, frozen=True):
    """A question as a person puts it, with what it is about and the right answer when it was asked."""

    topic: str
    text: str
    right: str
    after: timedelta


@cache
def topics() -> dict[str, Topic]:
    """Return all topics by name, in the order of the file."""
    text = files(__package__).joinpath("topics.toml").read_text(encoding="utf-8")
    return convert(tomllib.loads(text), dict[str, Topic])


def launch() -> list[tuple[str, str]]:
    """Return (question, answer) of the examples that the product was launched with."""
    return [
        (question, topic.answer)
        for topic in topics().values()
        if topic.week == 0
        for question in topic.questions[:_KNOWN_AT_LAUNCH]
    ]


def held_back(week: int) -> list[tuple[str, str]]:
    """Return (question, right answer) of the questions that are never asked, for the topics alive in a week."""
    return [
        (question, topic.right(week))
        for topic in topics().values()
        if topic.week <= week
        for question in topic.questions[-_HELD_BACK:]
    ]


def questions(week: int, count: int, seed: int) -> Iterator[Question]:
    """Yield `count` questions of one week in the order they are asked, the same for the same seed.

    Interest differs by topic and wanders from week to week; a topic that is new is asked about a little less.
    """
    draw = random.Random(f"{seed}/{week}")  # noqa: S311  a simulation, not a secret
    alive = [(name, topic) for name, topic in topics().items() if topic.week <= week]
    weights = [
        random.Random(f"{seed}/{name}").uniform(0.5, 1.5) * draw.uniform(0.7, 1.3) * (0.8 if topic.week else 1.0)  # noqa: S311
        for name, topic in alive
    ]
    moments = sorted(draw.random() for _ in range(count))
    for moment, (name, topic) in zip(moments, draw.choices(alive, weights, k=count), strict=True):
        yield Question(name, draw.choice(topic.questions[:-_HELD_BACK]), topic.right(week), timedelta(weeks=moment))


def events(week: int) -> list[str]:
    """Return, in words, what is new in the product in a week: shown beside what the loop makes of it."""
    told = [f"people begin to ask about {name}" for name, topic in topics().items() if topic.week == week and week > 0]
    told += [f"the right answer to {name} changes" for name, topic in topics().items() if topic.changed_week == week]
    return told
