"""The part of `trimtab report` that says whether votes can open an incident yet."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.detect.watching import Watched
from trimtab.measure.report.parts import Grid, Section

__all__ = ["watching_section"]

_MOST = 10  # features told of one by one


def watching_section(found: Sequence[Watched]) -> Section:
    """Return of each feature whether votes on it are watched, and of those that are not yet, what to set."""
    learning = [each for each in found if each.state == "learning"]
    lead = [f"{each.feature}: {each.told}. {each.mend[0].upper()}{each.mend[1:]}" for each in learning[:_MOST]]
    if len(learning) > _MOST:
        lead.append(f"{len(learning) - _MOST} more features are still learned.")
    rows = [
        [
            each.feature,
            each.state,
            f"{each.votes:,} of {each.needed:,} votes" if each.reference is None else f"up to {each.reference:.1%} bad",
        ]
        for each in found
    ]
    grid = Grid(columns=["feature", "votes on it", "what is usual"], rows=rows)
    return Section(
        key="watching",
        title="What is watched",
        data=list(found),
        lead=lead or ["Votes on every feature are watched." if found else "There is no feature yet."],
        grids=[grid] if rows else [],
    )
