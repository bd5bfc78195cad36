"""What Prometheus reads. The numbers belong to one application: two in a process do not mix."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trimtab.enrich.rescan import KINDS
from trimtab.errors import Unavailable
from trimtab.runtime.assemble import Engine
from trimtab.runtime.workers import Workers
from trimtab.server.feed import Feed
from trimtab.server.pace import PaceGauges
from trimtab.store.ports import PurgedKind

__all__ = ["Metrics"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LOSS = re.compile(r"(?P<reason>[a-z_]{1,32})=(?P<count>\d{1,9})")
_LOSS_CHARS = 500
_MOST_REASONS = 20
_MOST_BACKFILLS = 10_000
_CURSORS: dict[str, PurgedKind] = {
    "enrich.inferences": "inferences",
    "enrich.feedback": "feedback",
    "detect": "outcomes",
    "act": "outcomes",
}


class Metrics:
    """Counts requests, and reads the engine's own counts whenever it is asked for all of them."""

    def __init__(self, engine: Engine, workers: Workers | None = None) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_EngineCounts(engine))
        self._registry.register(PaceGauges(engine))
        if workers is not None:
            self._registry.register(_StageFailures(workers))
        self._reasons: set[str] = set()
        labels = ("method", "route")
        self._seconds = Histogram(
            "trimtab_http_request_seconds", "Time to answer", labels, buckets=_BUCKETS, registry=self._registry
        )
        self._requests = Counter(
            "trimtab_http_requests", "Requests answered", (*labels, "status"), registry=self._registry
        )
        self._lost = Counter(
            "trimtab_client_lost_events",
            "Events that SDKs gave up, by their own word",
            ("reason",),
            registry=self._registry,
        )

    def watch(self, feed: Feed) -> None:
        """Tell from now on how many readers the feed has."""
        streams = Gauge("trimtab_open_streams", "Open streams of rollouts", registry=self._registry)
        streams.set_function(lambda: len(feed))

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request; `route` is the path's template, so that no id becomes a label."""
        known = method if method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH") else "other"
        self._seconds.labels(known, route).observe(seconds)
        self._requests.labels(known, route, str(status)).inc()

    def lost(self, told: str) -> None:
        """Count what an SDK says it gave up: `reason=count, ...`, as its header `Trimtab-Lost` has it.

        A sender's word: what is malformed is passed over, and reasons beyond the first few become "other".
        """
        for part in told[:_LOSS_CHARS].split(","):
            found = _LOSS.fullmatch(part.strip())
            if found is None:
                continue
            reason = found["reason"]
            if reason not in self._reasons and len(self._reasons) >= _MOST_REASONS:
                reason = "other"
            self._reasons.add(reason)
            self._lost.labels(reason).inc(int(found["count"]))

    def text(self) -> bytes:
        """Return everything in the Prometheus text format. Asks the store, so it may block."""
        return generate_latest(self._registry)


class _EngineCounts(Collector):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> list[Metric]:
        """Say nothing beforehand: the registry would otherwise read everything once to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the counts as they are now."""
        tally, journal = self._engine.intake.tally, self._engine.intake.journal
        events = CounterMetricFamily("trimtab_ingest_events", "Events answered as durable", labels=["result"])
        events.add_metric(["accepted"], tally.accepted)
        events.add_metric(["duplicate"], tally.duplicates)
        yield events
        rejected = CounterMetricFamily("trimtab_ingest_rejected", "Events and bodies refused", labels=["code"])
        for code, count in sorted(tally.rejected.items()):
            rejected.add_metric([code], count)
        yield rejected
        yield GaugeMetricFamily(
            "trimtab_ingest_queue_bytes", "Bodies taken and not yet durable", journal.in_flight_bytes
        )
        yield CounterMetricFamily("trimtab_ingest_groups", "Transactions that stored events", journal.groups)
        yield CounterMetricFamily(
            "trimtab_redaction_failures",
            "Texts replaced whole, not cleaned, and events stored without their words",
            self._engine.redactor.failures + tally.withheld,
        )
        try:
            of_store = [*self._of_store()]
        except Unavailable:  # what is known without the store is worth the more while it is away
            of_store = []
        yield GaugeMetricFamily("trimtab_store_readable", "Whether the store could be read for this", bool(of_store))
        yield from of_store

    def _of_store(self) -> Iterator[Metric]:
        aside = GaugeMetricFamily(
            "trimtab_set_aside_rows", "Rows that a stage could not handle and went on without", labels=["stage", "kind"]
        )
        for (stage, kind), count in sorted(self._engine.store.count_asides().items()):
            aside.add_metric([stage, kind], count)
        yield aside
        yield from self._rescan()
        yield self._lag()
        waiting = GaugeMetricFamily("trimtab_backfills", "Users and features whose outcomes are to be judged again")
        waiting.add_metric([], len(self._engine.store.backfills(_MOST_BACKFILLS)))
        yield waiting
        leaving = len(self._engine.store.working_erasures(_MOST_BACKFILLS))
        yield GaugeMetricFamily("trimtab_erasures_working", "People whose erasure is not done yet", leaving)
        yield from self._retention()
        yield from self._reviews()

    def _reviews(self) -> Iterator[Metric]:
        """How many answers wait for a reviewer, and since when the oldest of them does."""
        now = self._engine.clock.now()
        labels = ["project", "feature", "state"]
        items = GaugeMetricFamily("trimtab_review_items", "Review items that are not closed", labels=labels)
        oldest = GaugeMetricFamily(
            "trimtab_review_oldest_seconds", "Time since the oldest of them was put into the queue", labels=labels
        )
        for load in self._engine.store.review_load():
            told = [load.project_id, load.feature, load.state]
            items.add_metric(told, load.items)
            oldest.add_metric(told, max(0.0, (now - load.oldest).total_seconds()))
        yield items
        yield oldest

    def _retention(self) -> Iterator[Metric]:
        """Count what has left the hot store by age, and say how old the oldest row is that it holds."""
        store, now = self._engine.store, self._engine.clock.now()
        gone = CounterMetricFamily(
            "trimtab_retention_purged_rows", "Rows that left the hot store by age", labels=["kind"]
        )
        oldest = GaugeMetricFamily(
            "trimtab_hot_oldest_row_seconds", "Time since the oldest row in the hot store came in", labels=["kind"]
        )
        marks = store.purge_marks()
        for kind in get_args(PurgedKind):
            gone.add_metric([kind], marks[kind].rows if kind in marks else 0)
            since = store.hot_span(kind, count=False).oldest
            oldest.add_metric([kind], max(0.0, (now - since).total_seconds()) if since else 0)
        yield gone
        yield oldest

    def _rescan(self) -> Iterator[Metric]:
        """How far rows have been cleaned again since the rules of their project changed."""
        left = dict.fromkeys(KINDS, 0)
        rewritten = dict.fromkeys(KINDS, 0)
        for project in self._engine.store.projects():
            try:
                progress = self._engine.rescan.progress(project.id)
            except Unavailable:  # its settings cannot be used, which `blocked` says
                continue
            for one in progress:
                left[one.kind] = max(left[one.kind], one.last - one.seq)
                rewritten[one.kind] += one.rewritten
        lag = GaugeMetricFamily(
            "trimtab_rescan_lag_rows", "Rows not yet looked at since redaction rules changed", labels=["kind"]
        )
        changed = GaugeMetricFamily(
            "trimtab_rescan_rewritten_rows", "Rows that the redaction rules of now have changed", labels=["kind"]
        )
        for kind in KINDS:
            lag.add_metric([kind], left[kind])
            changed.add_metric([kind], rewritten[kind])
        yield lag
        yield changed
        blocked = self._engine.rescan.problem is not None
        yield GaugeMetricFamily("trimtab_rescan_blocked", "Whether rows wait because they cannot be cleaned", blocked)

    def _lag(self) -> Metric:
        """How many rows each stage has not read yet: the newest row's place less the stage's cursor."""
        store = self._engine.store
        # Places alone: a row that is damaged must not keep the metrics from being read.
        last = store.last_places()
        behind = {cursor: max(0, last[kind] - store.cursor(cursor)) for cursor, kind in _CURSORS.items()}
        for stage in self._engine.stages:
            told: Callable[[], dict[str, int]] | None = getattr(stage, "behind", None)
            behind |= told() if told is not None else {}
        lag = GaugeMetricFamily("trimtab_stage_lag_rows", "Rows a stage has not read yet", labels=["cursor"])
        for cursor, rows in behind.items():
            lag.add_metric([cursor], rows)
        return lag


class _StageFailures(Collector):
    """What the stages' thread knows; asks no store, so that it can be read while the store is away."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def describe(self) -> list[Metric]:
        """Say nothing beforehand, as `_EngineCounts`."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the counts as they are now."""
        failed = CounterMetricFamily("trimtab_stage_failures", "Ticks of a stage that raised", labels=["stage"])
        failing = GaugeMetricFamily(
            "trimtab_stage_failing", "Whether something keeps a stage from its work now", labels=["stage"]
        )
        troubled = {trouble.stage for trouble in self._workers.troubles}
        for stage, count in self._workers.failures.items():
            failed.add_metric([stage], count)
            failing.add_metric([stage], stage in troubled)
        yield failed
        yield failing
