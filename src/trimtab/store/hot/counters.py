"""Counters: how many there were of what, by minute, hour and day, kept in step with the rows that they count.

Every transaction that writes rows sums up in a `Tally` what these change and adds it at its end, so that counters equal
a recount of the rows at any time. All widths are kept, so that a long span is read in a few wide pieces.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import func, literal_column, select

from trimtab.clock import from_micros, to_micros
from trimtab.errors import InvalidField
from trimtab.store.hot.database import Snapshot
from trimtab.store.hot.page import Port, chunks, within
from trimtab.store.ports import Count, Step, VersionScores, VersionSummary
from trimtab.store.schema import FEEDBACK, INFERENCES, OUTCOMES, Noun, counters

__all__ = ["COUNTED", "MINUTE", "WIDTHS", "Counters", "Tally", "count_feedback", "count_inferences", "count_outcome"]

_Block = dict[tuple[str, str, str, str], tuple[int, float]]  # metric, feature, version, group value: count and total
_SECOND = 1_000_000
MINUTE = 60 * _SECOND
WIDTHS = (60, 3_600, 86_400)
_GROUPED = WIDTHS[1:]  # by the minute each answer would add dozens of rows, for every group it belongs to
_WIDEST: dict[Step, int] = {"minute": 60, "hour": 3_600, "day": 86_400, "all": 86_400}
_ALL = ("", "")
_MEASURES = ("latency_ms", "input_tokens", "output_tokens", "cost_usd")
COUNTED = ("feature", "version_id", "created_at", "p_bad", "vote", "estimate", "segments", "withdrawn")
"""The columns of an outcome that its counters come from."""


def _places(noun: Noun[Any], *names: str) -> itemgetter[tuple[Any, ...]]:
    return itemgetter(*(noun.inserted.index(name) for name in names))


_SERVED = _places(INFERENCES, "project_id", "feature", "version_id", "arm")
_CREATED = itemgetter(INFERENCES.inserted.index("created_at"))
_MEASURED = _places(INFERENCES, *_MEASURES, "error")
_SAID = _places(FEEDBACK, "project_id", "feature", "created_at", "kind", "value", "retracted")
_SEGMENTS = msgspec.json.Decoder(dict[str, str])
_column = counters.c
_count, _total = counters.c["count"], counters.c["total"]
_outcome = OUTCOMES.table.c


class Tally:
    """What the rows of one transaction add to the counters, or take away."""

    def __init__(self) -> None:
        self._finest: dict[tuple[str, str, int], _Block] = {}

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
        version = version_id or ""
        for group_key, group_value in (_ALL, *groups.items()) if groups else (_ALL,):
            block = self._finest.setdefault((project_id, group_key, _floor(at, _widths(group_key)[0])), {})
            for metric, added in metrics.items():
                _put(block, (metric, feature, version, group_value), added)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows for `Transaction.count`, in one order for all writers, so that none wait crosswise."""
        pieces: dict[tuple[str, str, int, int], list[_Block]] = {}
        for (project_id, group_key, start), block in self._finest.items():
            for width in _widths(group_key):
                pieces.setdefault((project_id, group_key, width, _floor(start, width)), []).append(block)
        found: list[tuple[Any, ...]] = []
        for place, blocks in sorted(pieces.items(), key=itemgetter(0)):
            summed = blocks[0] if len(blocks) == 1 else _merged(blocks)
            found += [(*place, *key, *added) for key, added in sorted(summed.items()) if any(added)]
        return found


def _widths(group_key: str) -> tuple[int, ...]:
    return _GROUPED if group_key else WIDTHS


def _floor(at: int, width: int) -> int:
    return at - at % (width * _SECOND)


def _put(block: _Block, key: tuple[str, str, str, str], added: tuple[int, float]) -> None:
    had = block.get(key)
    block[key] = added if had is None else (had[0] + added[0], had[1] + added[1])


def _merged(blocks: Sequence[_Block]) -> _Block:
    summed: _Block = {}
    for block in blocks:
        for key, added in block.items():
            _put(summed, key, added)
    return summed


def count_inferences(tally: Tally, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Count rows of `INFERENCES.inserted`, and return the rows of `exposures` that they add."""
    alike: defaultdict[tuple[Any, ...], list[Sequence[Any]]] = defaultdict(list)
    for row in rows:
        alike[_SERVED(row)].append(row)
    exposed = []
    for (project_id, feature, version_id, arm), served in alike.items():
        for minute, found in _by_minute(served).items():
            tally.add(project_id, feature, version_id, minute * MINUTE, _measured(found))
            exposed.append((project_id, feature, minute, version_id or "", arm or "", len(found)))
    return sorted(exposed)


def _by_minute(rows: list[Sequence[Any]]) -> dict[int, list[Sequence[Any]]]:
    created = [_CREATED(row) // MINUTE for row in rows]
    if min(created) == max(created):  # what comes in now, nearly always
        return {created[0]: rows}
    found: dict[int, list[Sequence[Any]]] = {}
    for minute, row in zip(created, rows, strict=True):
        found.setdefault(minute, []).append(row)
    return found


def _measured(rows: Sequence[Sequence[Any]]) -> dict[str, tuple[int, float]]:
    metrics = {"inferences": (len(rows), float(len(rows)))}
    *columns, errors = zip(*map(_MEASURED, rows), strict=True)
    for metric, column in zip(_MEASURES, columns, strict=True):
        lacking = column.count(None)
        if lacking < len(rows):
            total = sum(column) if not lacking else sum(value for value in column if value is not None)
            metrics[metric] = (len(rows) - lacking, float(total))
    if failed := len(rows) - errors.count(None):
        metrics["errors"] = (failed, float(failed))
    return metrics


def count_feedback(tally: Tally, rows: Iterable[Sequence[Any]]) -> None:
    """Count rows of `FEEDBACK.inserted`."""
    for project_id, feature, created, kind, value, retracted in map(_SAID, rows):
        metric = f"retracted.{kind}" if retracted else f"feedback.{kind}"
        tally.add(project_id, feature or "", None, created, {metric: (1, float(value or 0))})


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
    # JSON may hold a NUL, which PostgreSQL's text cannot: counters have the sign for what cannot be shown in its place.
    groups = _SEGMENTS.decode(segments.replace(r"\u0000", r"\ufffd"))
    tally.add(project_id, feature, version_id, at, metrics, groups=groups)


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
        if group_by is not None and step == "minute":
            raise InvalidField("step: expected 'hour', 'day' or 'all' with group_by, got 'minute'", param="step")
        with self._database.snapshot() as view:
            found = self._counted(view, project_id, since, until, step, metrics, feature, group_by or "")
        times = {start: since if step == "all" else from_micros(start) for start in {key[0] for key in found}}
        return [
            Count(times[start], name, version or None, value, metric, *summed)
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
        days = select(_column.start).where(*here, _column.width == WIDTHS[-1])
        first = view.rows(days.order_by(_column.start).limit(1))
        last = view.rows(days.order_by(_column.start.desc()).limit(1))
        if not first or not metrics or since >= until:
            return {}
        finest = _widths(group_key)[0]
        low = max(_floor(to_micros(since), finest), first[0][0])
        high = min(-_floor(-to_micros(until), finest), last[0][0] + WIDTHS[-1] * _SECOND)
        bucket = _WIDEST[step] * _SECOND
        start = literal_column("0") if step == "all" else _column.start - _column.start % literal_column(str(bucket))
        keys = (_column.feature, _column.version_id, _column.group_value, _column.metric)
        by = keys if step == "all" else (start, *keys)
        found: dict[tuple[int, str, str, str, str], tuple[int, float]] = {}
        for run in _runs(low, high, _WIDEST[step], finest):
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


def _runs(low: int, high: int, widest: int, finest: int) -> Iterator[_Run]:
    """Yield [low, high) in the fewest aligned pieces: narrow ones at the edges, wide ones between."""
    if low >= high:
        return
    inner_low, inner_high = -_floor(-low, widest), _floor(high, widest)
    if widest == finest:
        yield _Run(widest, low, high)
        return
    narrower = WIDTHS[WIDTHS.index(widest) - 1]
    if inner_low >= inner_high:
        yield from _runs(low, high, narrower, finest)
        return
    yield from _runs(low, inner_low, narrower, finest)
    yield _Run(widest, inner_low, inner_high)
    yield from _runs(inner_high, high, narrower, finest)
