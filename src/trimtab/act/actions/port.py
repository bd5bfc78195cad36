"""What every action is asked: what it would do, on which evidence, and to do it.

A *version action* proposes a candidate Version; the playbook then takes it through the gate to a canary, and rolling
back is the playbook's pointer switch. An *effect* does something beside the feature (tells people, asks them, starts a
job) by rows that are committed together with the step that says it was done; a stage of its own then carries them out,
so that a run never waits and nothing is done twice.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from trimtab.records import ChangeKind, Incident, Name, Version
from trimtab.records.field import Line, State
from trimtab.store.ports import Writes

__all__ = ["Effect", "Plan", "Proposal", "Situation", "VersionAction"]


class Situation(NamedTuple):
    """What an action looks at: an incident of a feature, and the version that everyone gets as of `now`."""

    project_id: str
    incident: Incident
    base: Version
    now: datetime
    run_id: str = ""


class Plan(Struct, frozen=True, kw_only=True):
    """What an action would do if it ran now. `policy`: it may run by itself, must ask, or must not.

    `detail` holds ids and counts.
    """

    action: Name
    possible: bool
    reason: Line
    policy: str = "auto"
    detail: State = {}


class Proposal(NamedTuple):
    """A candidate, not yet sealed; None with the `reason` why there is none. `detail` holds ids and counts."""

    version: Version | None
    reason: str = ""
    detail: dict[str, Any] = {}  # noqa: RUF012  never changed: a default of a tuple


class VersionAction(Protocol):
    """Makes a candidate. Every verb may be called again after a crash and from any thread."""

    kind: ChangeKind

    def plan(self, situation: Situation, tried: Collection[str] = ()) -> Plan:
        """Say whether there is evidence enough; `tried` are the ids that its latest attempt was built from.

        Reads rows only: it must be cheap enough to be asked at every tick while an incident is open.
        """
        ...

    def gather(self, situation: Situation) -> dict[str, Any]:
        """Choose the evidence: ids and counts, written down before anything is built. `corrections` names the ids."""
        ...

    def propose(self, situation: Situation, gathered: dict[str, Any]) -> Proposal:
        """Make the candidate from what was gathered, with nothing of the judge part in it.

        It may take long (a search over prompts); a crash starts it again. Raises Unavailable where a model that it
        needs cannot be asked; the run then fails and the next attempt begins anew.
        """
        ...


class Effect(Protocol):
    """Does something beside the feature."""

    name: str

    def plan(self, situation: Situation) -> Plan:
        """Say what would be done."""
        ...

    def apply(self, situation: Situation) -> tuple[Writes, dict[str, Any]]:
        """Return the rows that do it, with ids derived from the run, and what to write down of it."""
        ...

    def revert(self, situation: Situation, done: dict[str, Any]) -> Writes:
        """Return the rows that take it back as far as that is possible; `done` is what `apply` wrote down."""
        ...
