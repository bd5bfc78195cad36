"""The digest as lines for a message."""

from __future__ import annotations

from datetime import timedelta

from trimtab.measure.digest import Digest, Finding

__all__ = ["lines_of"]

_WEEK = timedelta(days=7)


def lines_of(found: Digest, *, most: int = 10) -> list[str]:
    """Return the digest as lines for a message: names, ids and numbers, never a word that people wrote.

    Empty where nobody voted and nothing happened: there is nothing to tell.
    """
    did = found.happened
    if not found.votes and not any(getattr(did, name) for name in did.__struct_fields__):
        return []
    weeks = round((found.since - found.before_since) / _WEEK)
    span = f"{found.since:%Y-%m-%d} to {found.until:%Y-%m-%d} (UTC), against the {weeks} weeks before"
    loop = f"incidents: {did.incidents_opened} opened, {did.incidents_open} open now; fixes verified: "
    changes = f"changes: {did.changes_exposed} served, {did.changes_failed} of them failed"
    lines = [f"{span}; {found.votes:,} votes", f"{loop}{did.fixes_verified}; {changes}"]
    lines += [_line(finding) for finding in found.findings[:most]]
    if not found.findings:
        lines.append(f"nothing changed that {found.groups} comparisons can tell from chance")
    elif len(found.findings) > most:
        lines.append(f"and {len(found.findings) - most} more: GET /v1/digest")
    return lines


def _line(finding: Finding) -> str:
    group = [finding.feature]
    if finding.version_id is not None:
        group.append(f"version {finding.version_id}")
    if finding.topic_id is not None:
        group.append(f"topic {finding.topic_id}")
    group += [f"{key} {value}" for key, value in finding.segment.items()]
    than = "" if finding.against == "itself" else " with what was served then"
    return (
        f"{', '.join(group)}: {finding.direction} by at least {100 * finding.size:.1f} points: "
        f"{finding.now.value or 0.0:.1%} bad of {finding.now.n:,} people, {finding.before.value or 0.0:.1%} of "
        f"{finding.before.n:,} before{than}"
    )
