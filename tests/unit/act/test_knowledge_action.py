"""What becomes knowledge is what the documents lacked, said by the build part of people, not for ever."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from tests.loop import FEATURE, PROJECT, START, LoopWorld
from trimtab.act.actions.knowledge import KnowledgeAction
from trimtab.act.actions.port import Situation
from trimtab.act.evidence import Evidence, part_of
from trimtab.config import Knowledge as KnowledgeSettings
from trimtab.config import Settings
from trimtab.errors import Unavailable
from trimtab.ids import derived_id
from trimtab.records import Chunk, Feedback, Incident, Inference, Knowledge, Version
from trimtab.redact.wall import seal_all
from trimtab.store.ports import Arrival

RIGHT, WRONG = "Returns are possible within 14 days.", "Returns are possible within 30 days."
STALE = [Chunk(id="doc-1", text=WRONG)]
GAP = [Chunk(id="doc-2", text="The shop has parking for customers.")]
HEEDLESS = [Chunk(id="doc-3", text=RIGHT)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LoopWorld]:
    made = LoopWorld(tmp_path)
    made.launch()
    yield made
    made.close()


def corrected(world: LoopWorld, context: list[Chunk], *, people: int = 20, asked: str = "Until when?") -> None:
    """Let people be given the wrong answer with this context, and correct it."""
    now, name = world.clock.now(), context[0].id
    events: list[Inference | Feedback] = []
    for at in range(people):
        made, user = derived_id("i", name, str(at)), f"u-{name}-{at}"
        answer = Inference(
            id=made, feature=FEATURE, created_at=now, input=f"{asked} {at}", output=WRONG, user_id=user, context=context
        )
        word = Feedback(
            id=derived_id("c", made), kind="correction", created_at=now, inference_id=made, user_id=user, text=RIGHT
        )
        events += [answer, word]
    sealed = seal_all(world.redactor, events)
    world.store.append([Arrival(PROJECT, event, now) for event in sealed])
    while world.stages[0].tick(now):
        pass


def situation(world: LoopWorld, base: Version | None = None) -> Situation:
    served = Evidence(world.store, Settings()).served(PROJECT, FEATURE)
    incident = Incident(
        id=derived_id("incident"), feature=FEATURE, version_id=served.id, monitor_id=derived_id("m"), state="firing",
        onset_at=START, first_signal_at=START, detected_at=START, reference=0.1, observed=0.4, events=9, negatives=9,
        users=9, log_evidence=5.0, log_threshold=3.0,
    )  # fmt: skip
    return Situation(PROJECT, incident, base or served, world.clock.now())


class Deep:
    """An index that has the right text further down, or is away."""

    def __init__(self, *, away: bool = False) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self._away = away

    def retrieve(self, feature: str, query: str, k: int) -> list[Chunk]:
        self.asked.append((feature, query, k))
        if self._away:
            raise Unavailable("the app's index cannot be reached")
        return [Chunk(id="doc-9", text=RIGHT)]


def test_a_stale_document_is_named_by_the_entries_that_correct_it(world: LoopWorld) -> None:
    corrected(world, STALE)
    action = KnowledgeAction(Evidence(world.store, Settings(knowledge=KnowledgeSettings(max_entries=5))))
    now = situation(world)
    assert action.plan(now).possible
    gathered = action.gather(now)
    version = action.propose(now, gathered).version
    assert version is not None
    assert {item.source_id for item in version.knowledge} == {"doc-1"}
    assert {item.text for item in version.knowledge} == {RIGHT}
    assert len(version.knowledge) == 5  # one batch at a time
    assert {item.expires_at for item in version.knowledge} == {now.now + timedelta(days=90)}
    said = Evidence(world.store, Settings()).corrections(PROJECT, FEATURE, now.now)
    built = {word.feedback_id for word in said if part_of(word) == "build"}
    assert set(gathered["corrections"]) <= built


def test_what_the_model_did_not_heed_is_left_to_others(world: LoopWorld) -> None:
    corrected(world, HEEDLESS)
    action = KnowledgeAction(Evidence(world.store, Settings()))
    plan = action.plan(situation(world))
    assert not plan.possible
    assert "generation_miss (left to examples and rules)" in plan.reason
    assert action.propose(situation(world), action.gather(situation(world))).version is None


@pytest.mark.parametrize(("away", "cause"), [(False, "ranking_miss"), (True, "retrieval_miss")])
def test_the_index_is_asked_when_nothing_shown_says_it(world: LoopWorld, away: bool, cause: str) -> None:
    corrected(world, GAP, people=6)
    deep = Deep(away=away)
    action = KnowledgeAction(Evidence(world.store, Settings()), retriever=deep)
    assert action.plan(situation(world)).possible
    assert deep.asked == []  # a plan is asked for at every tick: it reads rows only
    gathered = action.gather(situation(world))
    assert set(gathered["causes"]) == {cause}
    assert {k for _, _, k in deep.asked} == {50}
    version = action.propose(situation(world), gathered).version
    assert version is not None
    assert {item.source_id for item in version.knowledge} == {None}


def test_old_entries_go_when_they_expire_or_their_document_is_mended(world: LoopWorld) -> None:
    corrected(world, GAP, people=9)
    corrected(world, HEEDLESS, people=1, asked="And now?")
    old = [
        Knowledge(id="k_over", question="a?", text="over", expires_at=START),
        Knowledge(id="k_mended", question="b?", text=RIGHT, source_id="doc-3"),
        Knowledge(id="k_stays", question="c?", text=RIGHT, source_id="doc-2"),
    ]
    base = msgspec.structs.replace(situation(world).base, knowledge=old)
    action = KnowledgeAction(Evidence(world.store, Settings()))
    now = situation(world, base)
    proposal = action.propose(now, action.gather(now))
    assert proposal.version is not None
    kept = {item.id for item in proposal.version.knowledge} & {item.id for item in old}
    assert kept == {"k_stays"}
    assert proposal.detail["dropped"] == 2
