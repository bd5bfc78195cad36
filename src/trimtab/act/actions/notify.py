"""The notify action: tells every target about an incident when its first run starts."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.act.actions.port import Plan, Situation
from trimtab.act.notices import Notices
from trimtab.store.ports import HotStore, Writes

__all__ = ["NotifyEffect"]


class NotifyEffect:
    """Tells all targets of the feature, whatever kinds they named; one that was told already is not told again."""

    name = "notify"

    def __init__(self, store: HotStore, notices: Notices) -> None:
        self._store = store
        self._notices = notices

    def plan(self, situation: Situation) -> Plan:
        """Name the targets."""
        names = self._names(situation)
        reason = f"tells {', '.join(names)}" if names else "no target in [notify] takes this feature"
        return Plan(action=self.name, possible=bool(names), reason=reason[:2000], detail={"targets": names})

    def apply(self, situation: Situation) -> tuple[Writes, dict[str, Any]]:
        """Write a delivery for each target."""
        found = self._notices.of_incident("incident.opened", situation.incident, situation.now, to_all=True)
        return Writes(deliveries=found), {"deliveries": [each.id for each in found]}

    def revert(self, situation: Situation, done: dict[str, Any]) -> Writes:
        """Hold back what was not sent yet."""
        read = [self._store.delivery(situation.project_id, each) for each in done["deliveries"]]
        waiting = [each for each in read if each is not None and each.state == "waiting"]
        return Writes(delivered=[msgspec.structs.replace(each, state="failed", error="taken back") for each in waiting])

    def _names(self, situation: Situation) -> list[str]:
        return list(self._notices.targets("incident.opened", situation.incident.feature, to_all=True))
