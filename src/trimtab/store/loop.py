"""What the engine asks of a hot store about the loop's own state, and how it writes; a part of `HotStore`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from trimtab.records import (
    Case,
    CaseAnswer,
    Change,
    ChangeState,
    Incident,
    Monitor,
    MonitorRule,
    Run,
    Silence,
)
from trimtab.store.exchange import Page, Query, Writes

__all__ = ["LoopStore"]


class LoopStore(Protocol):
    """The loop's own state, and the one verb by which everything but events is written.

    `on_switched`, where set, is called after each commit with a switch in it, in the thread that committed.
    """

    on_switched: Callable[[], None] | None

    def commit(self, writes: Mapping[str, Writes], *, cursors: Mapping[str, int] | None = None) -> None:
        """Write all or nothing, durably: for each project its Writes, for each stage in `cursors` where it stands now.

        A cursor only ever rises; a lower one is ignored. Raises `Conflict`, with nothing written, when a switch's
        expected revision has moved on, and `WallBreach` when a record with words in it did not come from the redactor.
        """
        ...

    def cursor(self, stage: str) -> int:
        """Return where the stage stands (0 at first)."""
        ...

    def votes(self, consumer_id: str, user_ids: Sequence[str]) -> Mapping[str, datetime]:
        """Return when each of these users was last counted by this consumer."""
        ...

    def votes_of(self, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], datetime]:
        """Return when each user was last counted by each consumer, for pairs of (consumer, user)."""
        ...

    def monitors(self, project_id: str, feature: str | None, rule: str = "votes") -> list[Monitor]:
        """Return the monitors of a rule, of one feature or of all, oldest first."""
        ...

    def rules(self, project_id: str) -> list[MonitorRule]:
        """Return the watches declared through the API, by name."""
        ...

    def silences(self, project_id: str, now: datetime) -> list[Silence]:
        """Return the silences that last beyond `now`, oldest first."""
        ...

    def released(self, project_id: str) -> set[str]:
        """Return the ids of the corrections that were set aside and that a person released."""
        ...

    def incident(self, project_id: str, incident_id: str) -> Incident | None:
        """Return one incident."""
        ...

    def incidents(self, project_id: str, query: Query, states: Sequence[str] = ()) -> Page[Incident]:
        """Return one page of incidents, of these states if any are given; times are compared with `detected_at`."""
        ...

    def change(self, project_id: str, change_id: str) -> Change | None:
        """Return one change."""
        ...

    def changes(self, project_id: str, query: Query, states: Sequence[ChangeState] = ()) -> Page[Change]:
        """Return one page of changes, of these states if any are given; the version is the candidate."""
        ...

    def cases(self, project_id: str, feature: str, *, retired: bool = False) -> list[Case]:
        """Return the feature's golden cases, oldest first; those that were retired are among them only if asked for."""
        ...

    def case_answer(self, project_id: str, answer_id: str) -> CaseAnswer | None:
        """Return one answer to a golden case."""
        ...

    def case_answers(
        self,
        project_id: str,
        query: Query,
        *,
        runner: str | None = None,
        ruled: bool | None = None,
        judged: bool | None = None,
    ) -> Page[CaseAnswer]:
        """Return one page of answers to golden cases.

        `ruled`: those a person has ruled on, or the others; `judged`: those a judging model has seen, or the others.
        """
        ...

    def run(self, project_id: str, run_id: str) -> Run | None:
        """Return one run with its steps in order of their start."""
        ...

    def runs(self, project_id: str, query: Query, states: Sequence[str] = ()) -> Page[Run]:
        """Return one page of runs without their steps, of these states if any are given.

        Times are compared with `started_at`; the version is the candidate of the run's change.
        """
        ...
