"""What each hint counts for before anything is learned: a table of assumptions, as log-odds.

A hint seen on a share `bad` of bad answers and on a share `good` of good ones counts log(bad / good) when it is seen
and log((1 - bad) / (1 - good)) when it is not. The second is the same for every answer without it, so it is folded into
the base together with the prior, and a seen hint adds the difference of both, logit(bad) - logit(good).
Assumption: given whether the answer is bad, hints come independently (naive Bayes). Nobody has published shares that
hold for other products; these are ours, set in `[outcome]`, and calibration replaces what they lead to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from trimtab.config import FeatureOverride, Outcomes
from trimtab.ids import derived_id
from trimtab.records import Calibration, Signal, Tier
from trimtab.stats.logistic import logit

__all__ = ["CAPS", "HINTS", "Likelihood", "likelihoods", "table", "weigh"]

HINTS: Final[Mapping[Signal, Tier]] = {
    "objection": "B",
    "regenerate": "B",
    "edit": "B",
    "rephrase": "C",
    "abandon": "C",
    "copy": "C",
    "click": "C",
    "dwell": "C",
    "thanks": "C",
}
"""The signals that hint, and how far each can be trusted at most."""

CAPS: Final[Mapping[Tier, float]] = {"A": 1.0, "B": 0.8, "C": 0.5}
"""The highest confidence of an outcome, by the tier of its strongest signal."""


class Likelihood(NamedTuple):
    """On which share of bad answers, and of good ones, a hint is seen; both strictly between 0 and 1."""

    bad: float
    good: float

    @property
    def seen(self) -> float:
        """The log-likelihood ratio of seeing it."""
        return math.log(self.bad / self.good)

    @property
    def unseen(self) -> float:
        """The log-likelihood ratio of not seeing it."""
        return math.log1p(-self.bad) - math.log1p(-self.good)

    @property
    def weight(self) -> float:
        """What seeing it adds to the log-odds: `seen` - `unseen`."""
        return self.seen - self.unseen


def likelihoods(settings: Outcomes, override: FeatureOverride | None = None) -> dict[Signal, Likelihood]:
    """Return the shares of every hint, those of the feature before those of all."""
    found: dict[Signal, Likelihood] = {}
    for kind in HINTS:
        own = getattr(override, f"seen_{kind}", None)
        found[kind] = Likelihood(*(own or getattr(settings, f"seen_{kind}")))
    return found


def table(
    feature: str, settings: Outcomes | None = None, override: FeatureOverride | None = None, *, now: datetime
) -> Calibration:
    """Return the weights of a feature as the settings have them: what holds until it has a calibration of its own."""
    settings = settings or Outcomes()
    shares = likelihoods(settings, override)
    prior = (override.bad_rate if override else None) or settings.bad_rate
    base = logit(prior) + math.fsum(share.unseen for share in shares.values())
    weights: dict[str, float] = {kind: share.weight for kind, share in shares.items()}
    content = msgspec.json.encode([base, weights], order="deterministic").decode()
    return Calibration(
        id=derived_id("calibration", feature, content),
        feature=feature,
        created_at=now,
        base=base,
        weights=weights,
        reason="these weights are assumptions; no answer was audited",
    )


def weigh(calibration: Calibration, kinds: Iterable[Signal]) -> float:
    """Return what the hints add to the log-odds together, each kind counted once."""
    return math.fsum(float(calibration.weights.get(kind, 0.0)) for kind in set(kinds))
