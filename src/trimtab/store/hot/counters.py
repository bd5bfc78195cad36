"""Counters: how many there were of what, by minute, hour and day, kept in step with the rows that they count.

Every transaction that writes rows sums up in a `Tally` what these change and adds it at its end, so that counters equal
a recount of the rows at any time. All three widths are kept, so that a long span is read in a few wide pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import case, func, literal_column, select

from trimtab.clock import from_micros, to_micros
from trimtab.store.hot.database import Database, Prepared, Snapshot, holes, prepare
from trimtab.store.hot.page import Port, chunks, within
from trimtab.store.ports import Count, Step, VersionScores, VersionSummary
from trimtab.store.schema import FEEDBACK, INFERENCES, OUTCOMES, counters

__all__ = [
    "COUNTED",
    "MINUTE",
    "Counters",
    "Tally",
    "count_feedback",
    "count_inferences",
    "count_outcome",
    "count_statement",
]

_SECOND = 1_000_000
MINUTE = 60 * _SECOND
_WIDTHS = (60, 3_600, 86_400)
_WIDEST: dict[Step, int] = {"minute": 60, "hour": 3_600, "day": 86_400, "all": 86_400}
_NAMES = ("project_id", "group_key", "width", "start", "metric", "feature", "version_id", "group_value")
_INSERTED = (*_NAMES, "count", "total")
_ALL = ("", "")
_MEASURES = ("latency_ms", "input_tokens", "output_tokens", "cost_usd")
COUNTED = ("feature", "version_id", "created_at", "p_bad", "vote", "estimate", "segments", "withdrawn")
"""The columns of an outcome that its counters come from."""
_INFERENCE = [
    INFERENCES.inserted.index(name) for name in ("project_id", "feature", "version_id", "arm", "created_at", "error")
]
_MEASURED = [(name, INFERENCES.inserted.index(name)) for name in _MEASURES]
_FEEDBACK = [
    FEEDBACK.inserted.index(name) for name in ("project_id", "feature", "created_at", "kind", "value", "retracted")
]
_SEGMENTS = msgspec.json.Decoder(dict[str, str])
_column = counters.c
_count, _total = counters.c["count"], counters.c["total"]
_outcome = OUTCOMES.table.c


class Tally:
    """What the rows of one transaction add to the counters, or take away."""

    def __init__(self) -> None:
        self._minutes: dict[tuple[str, str, int, str, str, str, str], tuple[int, float]] = {}

    def add(
        self,
        project_id: str,
        feature: str,
        version_id: str | None,
        at: int,
        metrics: Mapping[str, tuple[int, float]],
        *,
        groups: Mapping[str, str] | None = None,
    ) -> None:
        """Add the count and total of each metric, of what happened `at` (microseconds), over all and in each group."""
        start, version = at - at % MINUTE, version_id or ""
        for group_key, group_value in (_ALL, *(groups or {}).items()):
            for metric, (count, total) in metrics.items():
                key = (project_id, group_key, start, metric, feature, version, group_value)
                had = self._minutes.get(key)
                self._minutes[key] = (count, total) if had is None else (had[0] + count, had[1] + total)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows for `count_statement`, in one order for all writers, so that none wait crosswise."""
        sums: dict[tuple[Any, ...], tuple[int, float]] = {}
        for (project_id, group_key, start, *rest), (count, total) in self._minutes.items():
            if count or total:
                for width in _WIDTHS:
                    key = (project_id, group_key, width, start - start % (width * _SECOND), *rest)
                    had = sums.get(key)
                    sums[key] = (count, total) if had is None else (had[0] + count, had[1] + total)
        return sorted((*key, *added) for key, added in sums.items() if any(added))


def count_statement(database: Database) -> Prepared:
    """Return the statement that adds the rows of a `Tally` to the counters."""
    new = database.insert(counters).values(holes(_INSERTED))
    left = _count + new.excluded["count"]
    # What is left where nothing is left would be what rounding left.
    total = case((left == literal_column("0"), literal_column("0.0")), else_=_total + new.excluded["total"])
    statement = new.on_conflict_do_update(
        index_elements=list(counters.primary_key.columns), set_={"count": left, "total": total}
    )
    return prepare(statement, database.dialect, _INSERTED)


def count_inferences(tally: Tally, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Count rows of `INFERENCES.inserted`, and return the rows of `exposures` that they add."""
    alike: dict[tuple[Any, ...], list[Sequence[Any]]] = {}
    project, feature, version, arm, created, error = _INFERENCE
    for row in rows:
        key = (row[project], row[feature], row[created] // MINUTE, row[version] or "", row[arm] or "")
        alike.setdefault(key, []).append(row)
    for (project_id, name, minute, version_id, _), found in alike.items():
        metrics = {"inferences": (len(found), float(len(found)))}
        if failed := sum(row[error] is not None for row in found):
            metrics["errors"] = (failed, float(failed))
        for metric, place in _MEASURED:
            if told := [row[place] for row in found if row[place] is not None]:
                metrics[metric] = (len(told), float(sum(told)))
        tally.add(project_id, name, version_id, minute * MINUTE, metrics)
    return sorted((*key, len(found)) for key, found in alike.items())


def count_feedback(tally: Tally, rows: Iterable[Sequence[Any]]) -> None:
    """Count rows of `FEEDBACK.inserted`."""
    project, feature, created, kind, value, retracted = _FEEDBACK
    for row in rows:
        word, said = "retracted" if row[retracted] else "feedback", row[value]
        metrics = {f"{word}.{row[kind]}": (1, 0.0 if said is None else float(said))}
        tally.add(row[project], row[feature] or "", None, row[created], metrics)


def count_outcome(tally: Tally, project_id: str, row: Sequence[Any], *, sign: Literal[1, -1] = 1) -> None:
    """Count an outcome's columns `COUNTED`; sign -1 takes back what an earlier one counted."""
    feature, version_id, at, p_bad, vote, estimate, segments, withdrawn = row
    if withdrawn:
        return
    metrics = {"judged": (sign, float(sign))}
    if p_bad > 0.5:
        metrics["negative"] = (sign, float(sign))
    if vote is not None:
        metrics["voted"] = (sign, sign * vote)
        if vote > 0.5:
            metrics["vote_negative"] = (sign, float(sign))
    if estimate is not None:
        metrics["estimate"] = (sign, sign * estimate)
        metrics["estimate_squared"] = (sign, sign * estimate * estimate)
    tally.add(project_id, feature, version_id, at, metrics, groups=_SEGMENTS.decode(segments))


class _Run(NamedTuple):
    """Pieces of one width without a gap: from `low` (inclusive) to `high` (exclusive), in microseconds."""

    width: int
    low: int
    high: int

    def starts(self) -> Sequence[int]:
        return range(self.low, self.high, self.width * _SECOND)


class Counters(Port):
    """The verbs of `JudgementStore` that count; the contract stands there."""

    def counts(
        self,
        project_id: str,
        *,
        since: datetime,
        until: datetime,
        step: Step,
        metrics: Sequence[str],
        feature: str | None = None,
        group_by: str | None = None,
    ) -> list[Count]:
        """Return the counters of [since, until), in whole minutes, by step, feature, version, group and metric."""
        with self._database.snapshot() as view:
            found = self._counted(view, project_id, since, until, step, metrics, feature, group_by or "")
        return [
            Count(since if step == "all" else from_micros(start), name, version or None, value, metric, *summed)
            for (start, name, version, value, metric), summed in sorted(found.items())
        ]

    def summary(self, project_id: str, feature: str, since: datetime, until: datetime) -> list[VersionSummary]:
        """Return counts per version over inferences created in [since, until), in whole minutes."""
        by_version = self._by_version(project_id, feature, since, until, ("inferences", "judged", "negative"))
        return [
            VersionSummary(version_id, *(told.get(name, (0, 0.0))[0] for name in ("inferences", "judged", "negative")))
            for version_id, told in by_version.items()
        ]

    def scores(self, project_id: str, feature: str, since: datetime, until: datetime) -> list[VersionScores]:
        """Return sums per version over inferences created in [since, until), in whole minutes."""
        metrics = ("inferences", "estimate", "estimate_squared", "voted")
        found = []
        for version_id, told in self._by_version(project_id, feature, since, until, metrics).items():
            served, judged, squared, voted = (told.get(name, (0, 0.0)) for name in metrics)
            found.append(VersionScores(version_id, served[0], judged[0], judged[1], squared[1], voted[0], voted[1]))
        return found

    def voters(self, project_id: str, feature: str, since: datetime, until: datetime) -> dict[str | None, int]:
        """Return the distinct people who voted on answers created in [since, until), per version that any did on."""
        statement = (
            select(_outcome.version_id, func.count(_outcome.voter_id.distinct()))
            .where(
                _outcome.project_id == project_id,
                _outcome.feature == feature,
                _outcome.voter_id.is_not(None),
                *within(OUTCOMES.table.c.created_at, since, until),
            )
            .group_by(_outcome.version_id)
        )
        return {version_id: int(people) for version_id, people in self._database.rows(statement)}

    def _by_version(
        self, project_id: str, feature: str, since: datetime, until: datetime, metrics: Sequence[str]
    ) -> dict[str | None, dict[str, tuple[int, float]]]:
        counted = self.counts(project_id, since=since, until=until, step="all", metrics=metrics, feature=feature)
        found: dict[str | None, dict[str, tuple[int, float]]] = {}
        for each in counted:
            found.setdefault(each.version_id, {})[each.metric] = (each.count, each.total)
        return found

    def _counted(
        self,
        view: Snapshot,
        project_id: str,
        since: datetime,
        until: datetime,
        step: Step,
        metrics: Sequence[str],
        feature: str | None,
        group_key: str,
    ) -> dict[tuple[int, str, str, str, str], tuple[int, float]]:
        here = (_column.project_id == project_id, _column.group_key == group_key)
        days = select(_column.start).where(*here, _column.width == _WIDTHS[-1])
        first = view.rows(days.order_by(_column.start).limit(1))
        last = view.rows(days.order_by(_column.start.desc()).limit(1))
        if not first or not metrics or since >= until:
            return {}
        low = max(_minute_of(to_micros(since)), first[0][0])
        high = min(-_minute_of(-to_micros(until)), last[0][0] + _WIDTHS[-1] * _SECOND)
        bucket = _WIDEST[step] * _SECOND
        start = literal_column("0") if step == "all" else _column.start - _column.start % literal_column(str(bucket))
        keys = (_column.feature, _column.version_id, _column.group_value, _column.metric)
        by = keys if step == "all" else (start, *keys)
        found: dict[tuple[int, str, str, str, str], tuple[int, float]] = {}
        for run in _runs(low, high, _WIDEST[step]):
            for starts in chunks(run.starts()):
                statement = (
                    select(start, *keys, func.sum(_count), func.sum(_total))
                    .where(*here, _column.width == run.width, _column.start.in_(starts), _column.metric.in_(metrics))
                    .where(_count != literal_column("0"), *(() if feature is None else (_column.feature == feature,)))
                    .group_by(*by)
                )
                for *key, count, total in view.rows(statement):
                    had = found.get(tuple(key), (0, 0.0))
                    found[tuple(key)] = (had[0] + int(count), had[1] + float(total))
        return found


def _minute_of(at: int) -> int:
    return at - at % MINUTE


def _runs(low: int, high: int, widest: int) -> Iterator[_Run]:
    """Yield [low, high), whole minutes, in the fewest aligned pieces: narrow ones at the edges, wide ones between."""
    if low >= high:
        return
    size = widest * _SECOND
    inner_low, inner_high = -(-low // size) * size, high // size * size
    if widest == _WIDTHS[0]:
        yield _Run(widest, low, high)
    elif inner_low >= inner_high:
        yield from _runs(low, high, _WIDTHS[_WIDTHS.index(widest) - 1])
    else:
        narrower = _WIDTHS[_WIDTHS.index(widest) - 1]
        yield from _runs(low, inner_low, narrower)
        yield _Run(widest, inner_low, inner_high)
        yield from _runs(inner_high, high, narrower)
