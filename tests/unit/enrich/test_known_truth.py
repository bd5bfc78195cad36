"""A product whose truth is known: the estimate finds it where the votes are off by twice."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from benches.outcome_world import BAD_RATE, KINDS, audit, labelled, made, scores
from trimtab.config import Outcomes
from trimtab.enrich.calibrate import calibrate
from trimtab.enrich.outcome import judge
from trimtab.enrich.signals.sign import Sign
from trimtab.enrich.weights import table
from trimtab.ids import derived_id
from trimtab.records import Inference
from trimtab.stats.calibration import auc, ece
from trimtab.stats.prediction import prediction_powered

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SETTINGS = Outcomes()
TABLE = table("support", SETTINGS, now=NOW)


def test_estimate_covers_the_truth_as_often_as_it_says_while_votes_are_off_by_twice() -> None:
    held, voters, estimates = 0, [], []
    for seed in range(200):
        world = made(seed, 3000)
        score = scores(world, TABLE, votes=True)
        drawn = [(float(score[place]), float(world.bad[place])) for place in audit(world, 150, seed)]
        found = prediction_powered(3000, float(score.sum()), float((score**2).sum()), drawn)
        held += found.low <= world.bad.mean() <= found.high
        estimates.append(found.value)
        voters.append(world.bad[world.voted].mean())
    assert 180 <= held <= 199  # 95% of 200, give or take three standard errors
    assert np.mean(estimates) == pytest.approx(BAD_RATE, abs=0.006)
    assert 1.8 * BAD_RATE < np.mean(voters) < 2.3 * BAD_RATE


def test_audit_makes_the_level_honest_and_votes_alone_do_not() -> None:
    table_gap, fitted_gap, errors = [], [], []
    for seed in range(12):
        world = made(seed, 30_000)
        votes = labelled(world, np.flatnonzero(world.voted).tolist())
        drawn = labelled(world, [place for place in audit(world, 300, seed) if not world.voted[place]])
        by_votes = calibrate("support", votes, [], SETTINGS, NOW)
        by_both = calibrate("support", votes, drawn, SETTINGS, NOW)
        assert by_votes.votes > 300
        score, truth = scores(world, by_both), world.bad.astype(float)
        table_gap.append(abs(scores(world, TABLE).mean() - truth.mean()))
        fitted_gap.append(abs(score.mean() - truth.mean()))
        errors.append(ece(score.tolist(), truth.tolist(), draws=0).value or 0.0)
        ranks = [auc(each.tolist(), truth.tolist(), draws=0).value for each in (score, scores(world, TABLE))]
        assert ranks[0] is not None
        assert ranks[1] is not None
        assert 0.75 < ranks[1] - 0.01 < ranks[0] < 0.9  # learning hardly changes who ranks before whom
    assert np.mean(fitted_gap) < np.mean(table_gap)
    assert np.mean(errors) < 0.03


def test_the_world_s_scores_are_those_that_judge_gives() -> None:
    world = made(7, 300)
    score = scores(world, TABLE)
    for place in range(300):
        answer = Inference(id=derived_id("a", str(place)), feature="support", created_at=NOW, input="?")
        signs = [Sign(kind, answer.id, NOW) for kind in world.hints(place)]
        outcome = judge(answer, [], signs, TABLE, now=NOW)
        if outcome is None:
            assert not world.seen[place].any()
        else:
            assert outcome.estimate == pytest.approx(score[place])


def test_hints_come_together_through_their_users() -> None:
    world = made(1, 60_000)
    good = world.seen[~world.bad]
    for one, other in ((KINDS.index("copy"), KINDS.index("rephrase")), (KINDS.index("edit"), KINDS.index("abandon"))):
        assert np.corrcoef(good[:, one], good[:, other])[0, 1] > 0.02
