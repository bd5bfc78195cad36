"""Counters worked out from the records themselves, in plain Python: what a store's own must equal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from trimtab.clock import EPOCH
from trimtab.records import Feedback, Inference, Outcome
from trimtab.store.ports import Count, HotStore, Step

__all__ = ["METRICS", "differences", "recount"]

MEASURES = ("latency_ms", "input_tokens", "output_tokens", "cost_usd")
METRICS = (
    *("inferences", "errors", *MEASURES),
    *("judged", "negative", "voted", "vote_negative", "estimate", "estimate_squared"),
    *("feedback.thumb", "feedback.rating", "feedback.comment", "retracted.thumb"),
)
MINUTE = timedelta(minutes=1)
Said = tuple[datetime, str, str | None, str, str, float]  # time, feature, version, group value, metric, value


def recount(
    records: Iterable[Inference | Feedback | Outcome],
    since: datetime,
    until: datetime,
    step: Step,
    *,
    feature: str | None = None,
    group_by: str | None = None,
) -> list[Count]:
    """Return what `counts` is to return of these records for all METRICS."""
    edge = MINUTE if group_by is None else timedelta(hours=1)
    low, high = since - (since - EPOCH) % edge, until + (EPOCH - until) % edge
    found: dict[tuple[datetime, str, str, str, str], list[float]] = defaultdict(list)
    for at, name, version_id, group, metric, value in _said(records, group_by):
        if since < until and low <= at < high and feature in (None, name) and metric in METRICS:
            start = since if step == "all" else _floor(at, step)
            found[start, name, version_id or "", group, metric].append(value)
    return [
        Count(start, name, version_id or None, group, metric, len(values), sum(values))
        for (start, name, version_id, group, metric), values in sorted(found.items())
    ]


def differences(store: HotStore, project_id: str, expected: Iterable[Count], **asked: object) -> list[object]:
    """Return the counts that the store has and should not, or the other way round, whose total differs included."""
    found = store.counts(project_id, metrics=METRICS, **asked)  # type: ignore[arg-type]
    wanted = list(expected)
    if [each[:6] for each in found] != [each[:6] for each in wanted]:
        return [*sorted(set(found) ^ set(wanted), key=str), "or another order"]
    return [pair for pair in zip(found, wanted, strict=True) if abs(pair[0].total - pair[1].total) > 1e-9]


def _floor(at: datetime, step: str) -> datetime:
    if step == "day":
        return at.replace(hour=0, minute=0, second=0, microsecond=0)
    return at.replace(minute=0, second=0, microsecond=0) if step == "hour" else at.replace(second=0, microsecond=0)


def _said(records: Iterable[Inference | Feedback | Outcome], group_by: str | None) -> Iterator[Said]:
    for record in records:
        group = ""
        if group_by is not None:
            if not isinstance(record, Outcome) or group_by not in record.segments:
                continue
            group = record.segments[group_by]
        for metric, value in _metrics(record):
            version_id = None if isinstance(record, Feedback) else record.version_id
            yield record.created_at, record.feature or "", version_id, group, metric, value


def _metrics(record: Inference | Feedback | Outcome) -> Iterator[tuple[str, float]]:
    if isinstance(record, Inference):
        yield "inferences", 1.0
        if record.error is not None:
            yield "errors", 1.0
        yield from ((name, float(value)) for name in MEASURES if (value := getattr(record, name)) is not None)
    elif isinstance(record, Feedback):
        yield f"{'retracted' if record.retracted else 'feedback'}.{record.kind}", record.value or 0.0
    elif not record.withdrawn:
        yield "judged", 1.0
        if record.p_bad > 0.5:
            yield "negative", 1.0
        if record.vote is not None:
            yield "voted", record.vote
            if record.vote > 0.5:
                yield "vote_negative", 1.0
        if record.estimate is not None:
            yield "estimate", record.estimate
            yield "estimate_squared", record.estimate**2
