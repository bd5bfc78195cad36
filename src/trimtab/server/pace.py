"""How fast each feature learns, as Prometheus gauges over the last 90 days; read anew once a minute at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trimtab.errors import Unavailable
from trimtab.measure.pace import History, Pace, pace_of, read_history
from trimtab.runtime.assemble import Engine

__all__ = ["PaceGauges"]

_SPAN = timedelta(days=90)
_FRESH_S = 60.0
_SHARE = 50.0  # so that a long history takes no more than a fiftieth of a core
_MOST_FEATURES = 200
_LABELS = ("project", "feature")
_MEDIANS = ("time_to_detect", "time_to_change", "time_to_verify", "time_to_verified_fix")
_NUMBERS = {
    "incidents": "Incidents detected",
    "open": "Incidents that are open",
    "fixes_verified": "Fixes that votes verified",
    "changes_exposed": "Changes that users were served",
    "changes_failed": "Changes that were rolled back or opened an incident",
}


class PaceGauges(Collector):
    """Velocity by project and feature. A median that the data do not reach yet is left out, never zero."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._held: list[tuple[str, Pace]] = []
        self._due = 0.0

    def describe(self) -> list[Metric]:
        """Say nothing beforehand: the registry would otherwise read everything once to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Tell what was last read; nothing while the store is away and nothing was."""
        try:
            told = self._paces()
        except Unavailable:
            return
        medians = GaugeMetricFamily(
            "trimtab_velocity_median_seconds", "Kaplan-Meier medians over 90 days", labels=(*_LABELS, "step")
        )
        for project, pace in told:
            for name in _MEDIANS:
                found = getattr(pace, name).seconds
                if found is not None:
                    medians.add_metric((project, pace.feature or "", name), found)
        yield medians
        for name, meaning in _NUMBERS.items():
            gauge = GaugeMetricFamily(f"trimtab_velocity_{name}", f"{meaning}, over 90 days", labels=_LABELS)
            for project, pace in told:
                gauge.add_metric((project, pace.feature or ""), getattr(pace, name))
            yield gauge

    def _paces(self) -> list[tuple[str, Pace]]:
        with self._lock:
            began = time.monotonic()
            if began >= self._due:
                self._held = self._read()
                took = time.monotonic() - began
                self._due = began + max(_FRESH_S, _SHARE * took)
            return self._held

    def _read(self) -> list[tuple[str, Pace]]:
        store, until = self._engine.store, self._engine.clock.now()
        found: list[tuple[str, Pace]] = []
        for project in store.projects():
            history = read_history(store, project.id, until, None)
            names = [feature.name for feature in store.features(project.id)]
            for name in names[: max(0, _MOST_FEATURES - len(found))]:
                mine = History(
                    [each for each in history.incidents if each.feature == name],
                    [each for each in history.changes if each.feature == name],
                    history.complete,
                )
                found.append((project.id, pace_of(mine, until - _SPAN, until, name)))
        return found
