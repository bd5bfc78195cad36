"""Who was erased, and what went with them: words that every place shares which may hold something of a person."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from trimtab.records import Feedback, Inference

__all__ = ["ERASED", "Erasable", "Gone", "Grave", "Removed", "names_of", "person"]

ERASED = "erased"
"""The cursor that rises whenever a person's rows have left the hot store: what was read before may hold their words."""

Grave = Literal["user", "inference", "feedback", "name"]
"""What a tombstone stands for; `name` is one that a feedback can call an erased inference by."""


class Gone(NamedTuple):
    """What is to go: a person under every form of their id, their inferences, all feedback by them or about those."""

    users: list[str]
    inferences: list[str]
    feedback: list[str]


class Removed(NamedTuple):
    """What a place removed, by kind, and lines for the receipt: ids, names and numbers, never words."""

    counts: Mapping[str, int]
    notes: Sequence[str] = ()


class Erasable(Protocol):
    """A place that may hold something of a person, or something made from it.

    The stage asks each place in turn, again and again until it says what it removed, also after a kill: whatever it
    does must be safe to do twice.
    """

    name: str

    def erase(self, project_id: str, gone: Gone) -> Removed | None:
        """Remove it; return what went, or None while something is still to come: nobody is to wait in here.

        What was removed must be off the disk when this returns counts. Raises a TrimtabError to be asked again later.
        """
        ...


def person(project_id: str, user_id: str) -> str:
    """Return the hash that stands for a user of a project, or for anything else of theirs that has an id."""
    return hashlib.sha256(f"{project_id}\x00{user_id}".encode()).hexdigest()


def names_of(event: Inference | Feedback) -> list[str]:
    """Return the names by which a feedback may call an inference without knowing its id."""
    told = []
    if event.external_id:
        told.append(f"external\x00{event.external_id}")
    if event.trace_id:
        told.append(f"trace\x00{event.trace_id}")
    if event.session_id:
        told.append(f"session\x00{event.session_id}")
    return told
