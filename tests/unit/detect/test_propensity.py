"""The watch on voting itself, over a real store and its counters."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.config import Monitoring
from trimtab.detect.propensity import RULE, PropensityStage
from trimtab.detect.stage import DetectStage
from trimtab.ids import new_id
from trimtab.records import Feature, Incident, Inference, Outcome, Project, Redacted
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, Query, Writes

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
FEATURE = "support"
SETTINGS = Monitoring(reference_rate=0.3)


class World:
    """Hours of answers, some of them voted on."""

    def __init__(self, folder: Path, seed: int = 5) -> None:
        self.store = open_sqlite(folder / "trimtab.db")
        feature = Redacted(Feature(name=FEATURE, created_at=START), "test")
        self.store.commit({"p": Writes(projects=[Project(id="p", created_at=START)], features=[feature])})
        self.now = START
        self.chance = random.Random(seed)
        self.stage = PropensityStage(self.store, SETTINGS)
        self.detect = DetectStage(self.store, SETTINGS)

    def live(self, hours: int, *, votes: float, bad: float = 0.2, answers: int = 40) -> None:
        for _ in range(hours):
            arrivals, outcomes = [], []
            for place in range(answers):
                at = self.now + timedelta(seconds=60 * place)
                one = Inference(id=new_id(at), feature=FEATURE, created_at=at, input="q", version_id="v1")
                arrivals.append(Arrival("p", Redacted(one, "test"), at))
                if self.chance.random() < votes:
                    said = float(self.chance.random() < bad)
                    outcomes.append(
                        Outcome(
                            inference_id=one.id,
                            feature=FEATURE,
                            created_at=at,
                            judged_at=at,
                            p_bad=said,
                            confidence=1.0,
                            tier="A",
                            evidence=[],
                            version_id="v1",
                            vote=said,
                            voter_id=f"u{self.chance.randrange(10**6)}",
                            voted_at=at,
                        )
                    )
            self.store.append(arrivals)
            self.store.commit({"p": Writes(outcomes=outcomes)})
            self.now += HOUR
            self.stage.tick(self.now)
            self.detect.tick(self.now)

    def incidents(self, rule: str) -> list[Incident]:
        return [row.record for row in self.store.incidents("p", Query()).rows if row.record.rule == rule]


def test_voting_that_stays_as_it_is_is_no_news(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.live(24 * 7 + 200, votes=0.05)
    assert world.incidents(RULE) == []
    assert {monitor.reference_kind for monitor in world.store.monitors("p", FEATURE, RULE)} == {"baseline"}


@pytest.mark.parametrize(("votes", "side"), [(0.3, "more"), (0.002, "less")])
def test_voting_that_moves_is_found_either_way(tmp_path: Path, votes: float, side: str) -> None:
    world = World(tmp_path)
    world.live(24 * 7 + 2, votes=0.05)
    world.live(60, votes=votes)
    [found] = world.incidents(RULE)
    assert (found.kind, found.segment, found.state) == ("propensity", {"side": side}, "firing")


def test_vote_incidents_are_for_people_while_voting_has_moved(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.live(24 * 7 + 2, votes=0.05)
    world.live(10, votes=0.4)
    world.live(10, votes=0.4, bad=0.9)
    [found] = world.incidents("votes")
    assert "more people vote" in found.held


def test_voting_that_is_as_before_again_ends_the_incident(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.live(24 * 7 + 2, votes=0.05)
    world.live(12, votes=0.4)
    world.live(120, votes=0.05)
    [found] = world.incidents(RULE)
    assert (found.state, found.resolution) == ("resolved", "verified")


def test_hours_are_heard_once_whatever_the_ticks(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.live(30, votes=0.05)
    heard = [monitor.votes for monitor in world.store.monitors("p", FEATURE, RULE)]
    for _ in range(3):
        PropensityStage(world.store, SETTINGS).tick(world.now)
    assert [monitor.votes for monitor in world.store.monitors("p", FEATURE, RULE)] == heard
    assert set(heard) == {29 * 40}  # the hour under way and the one before it are too young


def test_voting_that_a_person_accepts_is_learned_as_normal(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.live(24 * 7 + 2, votes=0.05)
    world.live(60, votes=0.3)
    [found] = world.incidents(RULE)
    over: dict[str, Any] = {"state": "resolved", "resolution": "manual", "resolved_at": world.now}
    world.store.commit({"p": Writes(incidents=[msgspec.structs.replace(found, **over)])})
    world.live(24 * 8 + 50, votes=0.3)
    assert [each.resolution for each in world.incidents(RULE)] == ["manual"]
    [more] = [each for each in world.store.monitors("p", FEATURE, RULE) if each.segment == {"side": "more"}]
    assert more.reference is not None
    assert more.reference > 0.5
