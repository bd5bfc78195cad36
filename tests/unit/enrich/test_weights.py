from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import get_args

import pytest

from trimtab.config import FeatureOverride, Outcomes
from trimtab.enrich.reliability import reliability
from trimtab.enrich.weights import CAPS, HINTS, Likelihood, likelihoods, table, weigh
from trimtab.records import Signal
from trimtab.stats.logistic import logit, sigmoid

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("objection", 2.71),
        ("regenerate", 1.83),
        ("edit", 1.14),
        ("rephrase", 1.25),
        ("abandon", 0.56),
        ("copy", -1.25),
        ("thanks", -2.30),
        ("dwell", 0.0),
    ],
)
def test_the_table_says_what_seeing_a_hint_is_evidence_of(kind: Signal, seen: float) -> None:
    assert likelihoods(Outcomes())[kind].seen == pytest.approx(seen, abs=0.006)


def test_base_and_weights_are_bayes_rule() -> None:
    settings = Outcomes()
    shares, found = likelihoods(settings), table("support", settings, now=NOW)
    for heard in ({"copy"}, {"objection", "rephrase"}, set(HINTS), set[str]()):
        odds = settings.bad_rate / (1 - settings.bad_rate)
        for kind, share in shares.items():
            odds *= share.bad / share.good if kind in heard else (1 - share.bad) / (1 - share.good)
        kinds = [kind for kind in HINTS if kind in heard]
        assert sigmoid(found.base + weigh(found, kinds)) == pytest.approx(odds / (1 + odds))


def test_a_weight_is_seen_less_unseen() -> None:
    share = Likelihood(0.25, 0.04)
    assert share.weight == pytest.approx(share.seen - share.unseen)
    assert share.weight == pytest.approx(logit(0.25) - logit(0.04))


def test_a_feature_has_its_own_shares_and_what_is_equal_counts_nothing() -> None:
    override = FeatureOverride(seen_copy=(0.3, 0.3), bad_rate=0.4)
    found = table("support", Outcomes(), override, now=NOW)
    other = table("support", Outcomes(), now=NOW)
    assert found.weights["copy"] == 0.0
    assert {**found.weights, "copy": 0} == {**other.weights, "copy": 0}
    assert found.base > other.base
    assert found.id != other.id == table("support", now=datetime(2027, 1, 1, tzinfo=UTC)).id


def test_every_hint_is_a_signal_with_a_setting_and_a_tier_that_never_reaches_a_word() -> None:
    assert set(HINTS) <= set(get_args(Signal))
    assert all(CAPS[tier] < CAPS["A"] for tier in HINTS.values())
    assert {f"seen_{kind}" for kind in HINTS} == {
        name for name in Outcomes.__struct_fields__ if name.startswith("seen_")
    }


def test_a_table_never_claims_to_be_calibrated() -> None:
    found = table("support", now=NOW)
    assert (found.calibrated, found.audited, found.auc, found.ece) == (False, 0, None, None)
    assert "assumptions" in found.reason


def test_a_kind_counts_once() -> None:
    found = table("support", now=NOW)
    assert weigh(found, ["copy", "copy", "comment"]) == pytest.approx(found.weights["copy"])


@pytest.mark.parametrize(("agreed", "compared", "weight"), [(0, 0, 1.0), (4, 4, 1.0), (0, 4, 0.5), (0, 1000, 0.3)])
def test_reliability_starts_full_and_sinks_to_a_floor(agreed: int, compared: int, weight: float) -> None:
    assert reliability(agreed, compared) == pytest.approx(weight)


def test_reliability_rises_with_each_agreement() -> None:
    weights = [reliability(agreed, 20) for agreed in range(21)]
    assert weights == sorted(weights)
    assert math.isclose(weights[-1], 1.0)
    with pytest.raises(ValueError, match="at most compared"):
        reliability(3, 2)
