"""What share of all answers is bad, voted on or not, with how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from trimtab.enrich.audit import Audited, AuditStore, audit_of, weights_of
from trimtab.enrich.calibrate import LEAST_AUDITED
from trimtab.records import Calibration
from trimtab.stats.interval import wilson
from trimtab.stats.logistic import sigmoid
from trimtab.stats.prediction import prediction_powered
from trimtab.store.ports import VersionScores

__all__ = ["AmongVoters", "Dissatisfaction", "DissatisfactionStore", "Share", "dissatisfaction"]


class AmongVoters(Struct, frozen=True, kw_only=True):
    """The raw rate: `negatives` of `votes` answers that a user spoke about, its 95% Wilson interval.

    It says nothing of those who said nothing, so it is no estimate of dissatisfaction. `voters` are distinct people.
    """

    label: str = "among voters"
    votes: int
    negatives: float
    voters: int
    rate: float | None
    low: float
    high: float


class Share(Struct, frozen=True, kw_only=True):
    """The estimated share of bad answers among `n`, judged or not, its 95% interval, and what it stands on.

    `rate`, `low` and `high` are null while fewer than 30 answers are `audited`. `score` is the mean of the score on all
    answers (the base rate where no signal came): what the audit corrects.
    """

    version_id: str | None = None
    n: int
    audited: int
    rate: float | None
    low: float | None
    high: float | None
    score: float | None
    among_voters: AmongVoters


class Dissatisfaction(Struct, frozen=True, kw_only=True):
    """How many answers of a feature created in [since, until) are bad: of all versions, and of each.

    `calibrated` and `reason` are the badge of the feature's calibration: whether its score can be believed without the
    correction. The estimate itself needs the audit alone.
    """

    feature: str
    since: datetime
    until: datetime
    calibrated: bool
    reason: str
    overall: Share
    versions: list[Share]


class DissatisfactionStore(AuditStore, Protocol):
    """What the estimate needs of the store."""

    def scores(self, project_id: str, feature: str, since: datetime, until: datetime) -> list[VersionScores]:
        """Return sums per version over inferences created in [since, until), judged or not."""
        ...

    def voters(self, project_id: str, feature: str, since: datetime, until: datetime) -> dict[str | None, int]:
        """Return how many distinct people voted on answers created in [since, until), per version."""
        ...


def dissatisfaction(
    store: DissatisfactionStore, project_id: str, calibration: Calibration, since: datetime, until: datetime
) -> Dissatisfaction:
    """Return the prediction-powered estimates for the feature of `calibration`, beside what voters say.

    Each version's estimate is corrected by its own audited answers alone: another version may be off in another way.
    """
    feature, base = calibration.feature, sigmoid(calibration.base)
    rows = store.scores(project_id, feature, since, until)
    voters = store.voters(project_id, feature, since, until)
    drawn = audit_of(store, project_id, feature, since, until)
    return Dissatisfaction(
        feature=feature,
        since=since,
        until=until,
        calibrated=calibration.calibrated,
        reason=calibration.reason,
        overall=_share(rows, sum(voters.values()), drawn, base),
        versions=[
            _share(
                [row],
                voters.get(row.version_id, 0),
                [each for each in drawn if each.item.version_id == row.version_id],
                base,
                row.version_id,
            )
            for row in rows
        ],
    )


def _share(
    rows: Sequence[VersionScores], voters: int, drawn: Sequence[Audited], base: float, version_id: str | None = None
) -> Share:
    n = sum(row.inferences for row in rows)
    unsignalled = max(0, n - sum(row.judged for row in rows))
    total = sum(row.estimates for row in rows) + unsignalled * base
    squares = sum(row.squares for row in rows) + unsignalled * base * base
    pairs = [(base if each.estimate is None else each.estimate, each.bad) for each in drawn]
    enough = LEAST_AUDITED <= len(pairs) <= n
    found = prediction_powered(n, total, squares, pairs, weights=weights_of(drawn)) if enough else None
    return Share(
        version_id=version_id,
        n=n,
        audited=len(pairs),
        rate=found.value if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        score=total / n if n else None,
        among_voters=_voters(rows, voters),
    )


def _voters(rows: Sequence[VersionScores], voters: int) -> AmongVoters:
    votes, negatives = sum(row.votes for row in rows), sum(row.negatives for row in rows)
    rate = wilson(round(negatives), votes)
    return AmongVoters(
        votes=votes,
        negatives=negatives,
        voters=voters,
        rate=negatives / votes if votes else None,
        low=rate.low,
        high=rate.high,
    )
