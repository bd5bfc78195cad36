"""Why an incident waits for people, as far as the guards say so; what others hold it for is not theirs to lift."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trimtab.act.guard.agreement import Agreement
from trimtab.records import Incident

__all__ = ["by_guard", "set_aside", "stops", "told"]

_MARK = "held_by"
_GUARD = "guard"


def by_guard(incident: Incident) -> bool:
    """Say whether it was a guard that held the incident."""
    return bool(incident.held) and incident.detail.get(_MARK) == _GUARD


def stops(incident: Incident) -> bool:
    """Say whether nothing may change by itself: a guard only says what it set aside, the rest may go on."""
    return bool(incident.held) and not by_guard(incident)


def told(incident: Incident, reason: str) -> Incident | None:
    """Return the incident with a guard's `reason` on it ("": none any more), None where that changes nothing."""
    if stops(incident) or incident.held == reason:
        return None
    detail = {key: value for key, value in incident.detail.items() if key != _MARK}
    return msgspec.structs.replace(incident, held=reason, detail={**detail, _MARK: _GUARD} if reason else detail)


def set_aside(agreements: Sequence[Agreement]) -> str:
    """Return one line on what is set aside, "" where nothing is."""
    if not agreements:
        return ""
    many = sum(len(each.corrections) for each in agreements)
    more = f" and {len(agreements) - 1} more such" if len(agreements) > 1 else ""
    return f"{many} corrections are set aside (GET /v1/quarantine): {agreements[0].reason}{more}"
