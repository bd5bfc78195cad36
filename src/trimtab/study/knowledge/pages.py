"""Brisk's help pages: what they say at launch, what people ask about them, and what each becomes."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from msgspec import Struct

from trimtab.study.data import Labelled, Table
from trimtab.study.product.brisk import topics
from trimtab.study.world import World

__all__ = ["Page", "becomes", "pages", "table"]


class Page(Struct, frozen=True):
    """One document: its title, what it says, and the words it is found by, from the log of what people asked."""

    title: str
    answer: str
    asked: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What a reader is shown."""
        return f"{self.title}: {self.answer}"


def table() -> Table:
    """Return every question with the answer that is right at launch."""
    rows = [Labelled(question, topic.answer) for topic in topics().values() for question in topic.questions]
    return Table(rows, {"text": "question", "label": "answer"}, 0)


@cache
def becomes() -> dict[str, str]:
    """Return what each answer becomes when its policy changes."""
    text = files("trimtab.study.product").joinpath("policies.toml").read_text(encoding="utf-8")
    changed: dict[str, str] = tomllib.loads(text)
    return {topic.answer: changed[name] for name, topic in topics().items()}


def pages(world: World) -> dict[str, Page]:
    """Return the pages a world's product is launched with, by id.

    Each is found by the questions that were asked about it before, which are all that the stream holds: held-out ones
    find it only by likeness.
    """
    held = {text for texts in world.fresh.values() for text in texts}
    asked: dict[str, list[str]] = {}
    for text, answer in world.labels_of.items():
        if text not in held:
            asked.setdefault(answer, []).append(text)
    return {
        name: Page(name.replace("-", " ").capitalize(), topic.answer, tuple(asked[topic.answer]))
        for name, topic in topics().items()
    }
