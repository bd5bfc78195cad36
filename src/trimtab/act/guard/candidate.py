"""What a candidate may carry: nothing that orders the model about, nothing set aside, nothing past its time."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import msgspec

from trimtab.act.guard.lint import Linted, lint
from trimtab.config import Guard
from trimtab.records import Version

__all__ = ["admitted", "refusal"]

_SHOWN = 5


def admitted(version: Version, base: Version, *, aside: Collection[str], settings: Guard, now: datetime) -> Linted:
    """Return the candidate as it may go on, and what was refused in it.

    Where something new is left, what is older is looked at too: exemplars and knowledge whose correction was set aside
    since, and exemplars learned more than `guard.expires_days` ago, are left out.
    """
    linted = Linted(version, []) if settings.lint == "off" else lint(version, base)
    if linted.version.identified().id == base.identified().id:
        return linted
    oldest = now - timedelta(days=settings.expires_days) if settings.expires_days else None
    kept = [
        item
        for item in linted.version.exemplars
        if item.source_feedback_id not in aside
        and not (oldest and item.source_feedback_id and item.added_at and item.added_at < oldest)
    ]
    knowledge = [
        item
        for item in linted.version.knowledge
        if item.source_feedback_id not in aside and not (item.expires_at and item.expires_at <= now)
    ]
    return Linted(msgspec.structs.replace(linted.version, exemplars=kept, knowledge=knowledge), linted.refused)


def refusal(refused: list[str]) -> str:
    """Return one line that names what was refused."""
    more = f" and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
    return f"refused, it speaks to the model: {'; '.join(refused[:_SHOWN])}{more}"
