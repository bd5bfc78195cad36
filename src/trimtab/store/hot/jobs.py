"""Training jobs and what came of them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement

from trimtab.records import Job, JobState
from trimtab.store.hot.page import Port, by_id, paged
from trimtab.store.ports import Page, Query
from trimtab.store.schema import JOBS

__all__ = ["Jobs"]


class Jobs(Port):
    """The verbs of `JobStore`; the contract stands there."""

    def job(self, project_id: str, job_id: str) -> Job | None:
        """Return one training job."""
        return by_id(self._database, JOBS, project_id, job_id)

    def jobs(self, project_id: str, query: Query, states: Sequence[JobState] = ()) -> Page[Job]:
        """Return one page of training jobs, of the given states if any."""
        columns = JOBS.table.c
        only: list[ColumnElement[bool]] = [columns.state.in_(states)] if states else []
        only += [columns.feature == query.feature] if query.feature else []
        return paged(self._database, JOBS, project_id, query, *only)
