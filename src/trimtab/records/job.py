"""Training jobs: what was trained on which set, how it went, which model came of it."""

from __future__ import annotations

from typing import Literal

from trimtab.records.field import Line, Name, Record, State, Time, Uuid

__all__ = ["Job", "JobState"]

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]


class Job(Record, frozen=True):
    """One fine-tuning job. `waiting`: its dataset is being built, or it is about to be started.

    `attempts` counts how often it was started; `progress` holds process ids and counts, of a job at an endpoint under
    `hosted` its ids and status there, `trained_tokens` and `cost_usd` (null: unknown); `model` is what came of it.
    """

    id: Uuid
    feature: Name
    kind: Literal["sft", "dpo"]
    state: JobState
    created_at: Time
    base_version_id: Name
    incident_id: Uuid | None = None
    dataset_id: Uuid | None = None
    model: Name | None = None
    attempts: int = 0
    started_at: Time | None = None
    ended_at: Time | None = None
    error: Line = ""
    progress: State = {}
