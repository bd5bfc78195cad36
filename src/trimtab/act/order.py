"""What a run was started for, as it is kept in the workflow's own database."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

import msgspec

__all__ = ["NOTICE", "REVIEWED", "Order", "Step"]

NOTICE = "notice"
"""The name of a run that changes nothing: it only tells people, or asks them."""

REVIEWED = "reviewed"
"""The name of a run that learns what reviewers said, with or without an incident."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was started for. Nothing but ids, names and a time: it is kept in the workflow's own database.

    `action` may change the feature (NOTICE: none does), `effects` are done beside it. Both are fixed when the run
    starts, so that a run cut off by a restart ends as it began whatever the settings say by then. Without an
    incident ("") it brings a change that a person proposed through gate and canary, or is REVIEWED.
    """

    project_id: str
    run_id: str
    feature: str
    incident_id: str
    now: datetime
    action: str = "exemplar"
    effects: tuple[str, ...] = ()


class Step(Protocol):
    """One step of a playbook: does its work for an order and returns ids and counts as plain JSON."""

    def __call__(self, order: Order) -> dict[str, Any]:
        """Do the step, or return what it did before."""
        ...
