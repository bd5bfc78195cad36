"""Hot and lake as one history: every row once, whatever is shipped or purged while it is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trimtab.clock import to_micros
from trimtab.store.lake.port import HotRows, LakeStore, LakeTable, Span
from trimtab.store.ports import Stored

__all__ = ["after_of", "history", "is_within"]

_PAGE = 5000


def history(
    hot: HotRows, lake: LakeStore, table: LakeTable, span: Span, *, page_rows: int = _PAGE
) -> Iterator[list[Stored[Any]]]:
    """Yield every row of the span, in lists: first what the lake holds, in no order, then the hot rest by seq.

    The lake's cursor is the boundary. Before a page of hot rows is believed, the cursor is read again: only what lies
    at or below it may have been purged, so a page from above it is whole, and otherwise the lake is asked for what it
    has got meanwhile. Purging must take rows at or below the cursor only. An outcome that is rewritten meanwhile comes
    again under its new seq; its highest seq is the latest.
    """
    place = span.after
    end = span.upto
    after = after_of(hot, table)
    while end is None or place < end:
        held = lake.cursor(table)
        if held > place:
            upto = held if end is None else min(held, end)
            yield from lake.read(table, span._replace(after=place, upto=upto), batch_rows=page_rows)
            place = upto
            continue
        page = after(place, page_rows)
        if lake.cursor(table) > place:
            continue
        if not page:
            return
        found = [row for row in page if is_within(row, span)]
        if found:
            yield found
        place = page[-1].seq


def after_of(hot: HotRows, table: LakeTable) -> Any:
    """Return the hot store's reader of that table's rows in order of arrival."""
    return {"inferences": hot.inferences_after, "feedback": hot.feedback_after, "outcomes": hot.outcomes_after}[table]


def is_within(row: Stored[Any], span: Span) -> bool:
    """Say whether a row of the hot store lies in the span."""
    created = to_micros(row.record.created_at)
    return (
        (span.project_id is None or row.project_id == span.project_id)
        and (span.feature is None or row.record.feature == span.feature)
        and (span.since is None or created >= to_micros(span.since))
        and (span.until is None or created < to_micros(span.until))
        and (span.upto is None or row.seq <= span.upto)
    )
