"""A delivery as people read it: a title and a few lines, from the numbers and names in its body."""

from __future__ import annotations

from typing import Any, NamedTuple

from trimtab.records import Delivery

__all__ = ["Words", "worded"]

_TITLES = {
    "incident.opened": "incident",
    "incident.resolved": "incident over",
    "change.awaiting": "a change waits for approval",
    "change.canary": "a change is tried on some users",
    "change.paused": "a change is paused",
    "change.promoted": "a change is served to everyone",
    "change.rolled_back": "a change is rolled back",
    "review.added": "answers to review",
    "digest": "what changed",
}


class Words(NamedTuple):
    """One line, and the lines below it."""

    title: str
    text: str


def worded(delivery: Delivery) -> Words:
    """Return the words of a delivery.

    >>> from datetime import UTC, datetime
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> body = {"review": {"items": 3, "incident_id": None}}
    >>> ids = {"id": "0" * 8, "target": "ops", "state": "waiting"}
    >>> worded(Delivery(kind="review.added", created_at=at, next_at=at, feature="support", body=body, **ids))
    Words(title='support: answers to review', text='3 answers wait for a verdict')
    """
    title = _TITLES[delivery.kind]
    body = delivery.body
    lines: list[str] = []
    if "incident" in body:
        lines = _incident(body["incident"])
    elif "change" in body:
        change = body["change"]
        lines = [f"{change['kind']} change {change['id']}", change["reason"]]
    elif "review" in body:
        lines = [f"{body['review']['items']} answers wait for a verdict"]
    elif "lines" in body:
        lines = [str(line) for line in body["lines"]]
    text = "\n".join(line for line in lines if line)
    return Words(f"{delivery.feature}: {title}" if delivery.feature else title, text or title)


def _incident(incident: dict[str, Any]) -> list[str]:
    group = ", ".join(f"{key} {value}" for key, value in sorted(incident["segment"].items()))
    where = f"{incident['metric']} of {incident['version_id']}" + (f" ({group})" if group else "")
    what = "of inputs hold what is new" if incident["kind"] == "drift" else "bad"
    lines = [
        f"{where}: {incident['observed']:.1%} {what}, {incident['reference']:.1%} is normal",
        f"{incident['negatives']} of {incident['events']}, {incident['users']} people, since {incident['onset_at']}",
        f"incident {incident['id']}",
        incident["held"],
    ]
    if incident["resolution"]:
        lines.append(f"resolved: {incident['resolution']}")
    return lines
