"""Calibration: each feature's weights from its votes, its level from its audit, and whether both can be believed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import msgspec

from trimtab.config import FeatureOverride, Outcomes
from trimtab.enrich.audit import Audited, AuditStore, audit_of, hints_of, weights_of
from trimtab.enrich.weights import HINTS, table, weigh
from trimtab.ids import derived_id
from trimtab.records import Calibration, Signal
from trimtab.stats.calibration import Measure, auc, ece, ece_by_chance
from trimtab.stats.logistic import fit_intercept, fit_slopes, sigmoid
from trimtab.store.ports import Backfill, CatalogStore, JudgementStore, LoopStore, Query, Writes

__all__ = ["LEAST_AUDITED", "CalibrateStage", "Labelled", "calibrate"]

LEAST_AUDITED = 30
"""With fewer audited answers their rate is not known at all; the level stays what the settings say."""

_LOOK = timedelta(hours=1)
_PAGE_ROWS = 1000
_MOST_PAGES = 200


class Labelled(NamedTuple):
    """An answer of which it was said how `bad` it is (0 to 1), and the kinds of hints seen on it.

    `weight`: for how many answers a drawn one stands.
    """

    hints: frozenset[Signal]
    bad: float
    weight: float = 1.0


class CalibrateStore(AuditStore, JudgementStore, LoopStore, CatalogStore, Protocol):
    """What this stage needs of the store."""


def calibrate(
    feature: str,
    labelled: Sequence[Labelled],
    audited: Sequence[Labelled],
    settings: Outcomes,
    now: datetime,
    *,
    override: FeatureOverride | None = None,
) -> Calibration:
    """Return what the feature's hints count for, learned from voted answers (`labelled`) and `audited` ones.

    From `min_votes` votes on the weights are the most probable ones with a Gaussian prior of `slope_sd` around the
    table. Who votes is not like who does not, so votes never set the level: the base is fitted to the audit alone, to
    answers drawn at random on which no user said a word, since the base speaks for exactly those.
    It is calibrated once `min_audit` of them show an ECE of at most `max_error`; `reason` says so in words.
    """
    first = table(feature, settings, override, now=now)
    weights = {kind: float(first.weights[kind]) for kind in HINTS}
    if len(labelled) >= settings.min_votes:
        weights = _slopes(labelled, weights, settings.slope_sd)
    fitted = msgspec.structs.replace(first, weights=dict(weights))
    offsets = [weigh(fitted, answer.hints) for answer in audited]
    truth = [answer.bad for answer in audited]
    stands = [answer.weight for answer in audited]
    base = fit_intercept(offsets, truth, weights=stands) if len(audited) >= LEAST_AUDITED else first.base
    scores = [sigmoid(base + offset) for offset in offsets]
    error = ece(scores, truth)
    calibrated = len(audited) >= settings.min_audit and error.value is not None and error.value <= settings.max_error
    return msgspec.structs.replace(
        fitted,
        id=derived_id("calibration", feature, now.isoformat()),
        base=base,
        votes=len(labelled),
        audited=len(audited),
        auc=auc(scores, truth).value,
        ece=error.value,
        calibrated=calibrated,
        reason=f"{_level(scores, error, settings)}; {_origin(len(labelled), settings)}",
    )


def _slopes(labelled: Sequence[Labelled], weights: Mapping[Signal, float], sd: float) -> dict[Signal, float]:
    kinds = list(weights)
    rows = [[float(kind in answer.hints) for kind in kinds] for answer in labelled]
    fit = fit_slopes(rows, [answer.bad for answer in labelled], centre=list(weights.values()), sd=sd)
    return dict(zip(kinds, fit.slopes, strict=True))


def _level(scores: Sequence[float], error: Measure, settings: Outcomes) -> str:
    if error.value is None:
        return "no answer was audited yet: draw some with POST /v1/audits and let a reviewer judge them"
    n, most = len(scores), settings.max_error
    if n < settings.min_audit:
        return f"{n} of {settings.min_audit} answers audited on which no user said a word"
    off = f"off by {error.value:.3f} on average ({error.low:.3f} to {error.high:.3f}) over {n} audited answers"
    if error.value <= most:
        return f"{off}, at most {most:g} is allowed"
    chance = ece_by_chance(scores)
    more = f"; chance alone shows {chance:.3f} among so few: audit more" if chance > most / 2 else ""
    return f"{off}, more than {most:g}{more}"


def _origin(votes: int, settings: Outcomes) -> str:
    if votes >= settings.min_votes:
        return f"weights from {votes} votes"
    return f"weights as set, until {settings.min_votes} answers have votes ({votes} now)"


class CalibrateStage:
    """Looks at each feature once an hour, and calibrates it anew when that says something else, at most once a day.

    A new calibration is committed together with the wish to go through the feature's outcomes again. One feature is
    handled per tick. When it last looked is kept in memory alone: after a restart it looks once more.
    """

    name = "calibrate"

    def __init__(
        self, store: CalibrateStore, settings: Outcomes, features: Mapping[str, FeatureOverride] | None = None
    ) -> None:
        self._store = store
        self._settings = settings
        self._features = features or {}
        self._due: deque[tuple[str, str]] = deque()
        self._looked_at: datetime | None = None

    def tick(self, now: datetime) -> int:
        """Handle at most one feature and return how many were."""
        if not self._due:
            if self._looked_at is not None and now < self._looked_at + _LOOK:
                return 0
            self._looked_at = now
            for project in self._store.projects():
                self._due += [(project.id, feature.name) for feature in self._store.features(project.id)]
        if not self._due:
            return 0
        self._refresh(*self._due[0], now)
        self._due.popleft()  # only now: what raised is tried again
        return 1

    def _refresh(self, project_id: str, feature: str, now: datetime) -> None:
        held = self._store.calibration(project_id, feature)
        if held is not None and now < held.created_at + timedelta(hours=self._settings.every_hours):
            return
        since = now - timedelta(days=self._settings.window_days)
        override = self._features.get(feature)
        drawn = audit_of(self._store, project_id, feature, since, None)
        fresh = calibrate(
            feature, self._voted(project_id, feature, since), _unvoted(drawn), self._settings, now, override=override
        )
        before = held or table(feature, self._settings, override, now=now)
        same_score = (fresh.base, fresh.weights, fresh.calibrated) == (before.base, before.weights, before.calibrated)
        if same_score and (fresh.votes, fresh.audited, fresh.ece) == (before.votes, before.audited, before.ece):
            return
        if held is None and same_score and not fresh.audited:
            return  # some votes, too few to learn from: still the table
        writes = Writes(calibrations=[msgspec.structs.replace(fresh, id=_id(project_id, fresh))])
        if not same_score:
            writes.backfills = [Backfill(project_id, "feature", feature, now)]
        self._store.commit({project_id: writes})

    def _voted(self, project_id: str, feature: str, since: datetime) -> list[Labelled]:
        """Return the voted answers among the newest 200,000 judged ones."""
        found: list[Labelled] = []
        after = None
        for _ in range(_MOST_PAGES):
            query = Query(feature=feature, since=since, limit=_PAGE_ROWS, after=after)
            page = self._store.list_outcomes(project_id, query)
            outcomes = [row.record for row in page.rows]
            found += [Labelled(hints_of(each), each.vote) for each in outcomes if each.vote is not None]
            after = page.next
            if after is None:
                break
        return found


def _unvoted(drawn: Sequence[Audited]) -> list[Labelled]:
    told = zip(drawn, weights_of(drawn), strict=True)
    return [Labelled(each.hints, each.bad, weight) for each, weight in told if each.vote is None]


def _id(project_id: str, calibration: Calibration) -> str:
    return derived_id("calibration", project_id, calibration.feature, calibration.created_at.isoformat())
