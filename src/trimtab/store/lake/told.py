"""What people said of answers, out of all history: the query that every set of training rows is made from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from trimtab.clock import to_micros

__all__ = ["Wanted", "told_sql"]


class Wanted(NamedTuple):
    """Which answers and which words: answers of these features and versions (none: of all), given in [since, until)."""

    project_id: str
    kinds: Sequence[str]
    sources: Sequence[str]
    features: Sequence[str] = ()
    versions: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    judged: bool = False


def told_sql(wanted: Wanted) -> str:
    """Return the SELECT with one row per latest word on an answer, in no order: sorting wide rows takes too much.

    Columns are those of the answer, `feedback_id`, `kind`, `value`, `text`, `author_id`, `said_us` of the word and,
    where `judged`, `confidence`, `segments` and `p_bad` of the newest judgement.
    """
    conditions = [
        f"w.project_id = {_quoted(wanted.project_id)}",
        f"w.kind IN ({_listed(wanted.kinds)})",
        f"w.source IN ({_listed(wanted.sources)})",
    ]
    if wanted.features:
        conditions.append(f"i.feature IN ({_listed(wanted.features)})")
    if wanted.versions:
        conditions.append(f"i.version_id IN ({_listed(wanted.versions)})")
    if wanted.since is not None:
        conditions += [f"i.day >= '{wanted.since:%Y-%m-%d}'", f"i.created_us >= {to_micros(wanted.since)}"]
    if wanted.until is not None:
        conditions += [f"i.day <= '{wanted.until:%Y-%m-%d}'", f"i.created_us < {to_micros(wanted.until)}"]
    judgement = ", o.confidence AS confidence, o.segments AS segments, o.p_bad AS p_bad" if wanted.judged else ""
    joined = (
        "\nLEFT JOIN outcomes_latest o ON o.project_id = i.project_id AND o.inference_id = i.id"
        if wanted.judged
        else ""
    )
    return f"""
SELECT i.id AS inference_id, i.feature AS feature, i.version_id AS version_id, i.created_us AS created_us,
  i.user_id AS user_id, i.input AS input, i.output AS output,
  w.id AS feedback_id, w.kind AS kind, w.value AS value, w.text AS text, w.user_id AS author_id,
  w.created_us AS said_us{judgement}
FROM opinions_latest w
JOIN inferences i ON i.project_id = w.project_id AND i.id = w.about_id{joined}
WHERE {" AND ".join(conditions)}""".strip()


def _listed(values: Sequence[str]) -> str:
    return ", ".join(map(_quoted, values))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
