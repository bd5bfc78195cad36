"""Training jobs with real processes: begun once, followed, called off, found again after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from tests.house.checkout import ROOT
from tests.training import SLOW, TRAINER, Trained, trained
from tests.unit.act.datasets.world import NOW, PROJECT
from trimtab.act.actions.finetune import FinetuneAction, TrainEffect
from trimtab.act.actions.port import Situation
from trimtab.errors import Conflict
from trimtab.ids import derived_id
from trimtab.records import Incident, Job
from trimtab.stats.bucket import split_part

Make = Callable[[str], Trained]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    opened: list[Trained] = []

    def opener(script: str, **told: float) -> Trained:
        opened.append(trained(tmp_path, script, **told))
        return opened[-1]

    yield opener
    for each in opened:
        each.end()


def test_command_is_given_the_set_and_its_last_line_names_the_model(make: Make) -> None:
    world = make(TRAINER)
    job = world.ended(world.order())
    assert (job.state, job.error, job.attempts) == ("done", "", 1)
    rows = int(world.engine.store.dataset(PROJECT, str(job.dataset_id)).rows["train"])  # type: ignore[union-attr]
    assert job.model == f"shop-{rows}"
    assert rows > 20


def test_nobody_who_judges_changes_is_trained_on(make: Make) -> None:
    world = make(TRAINER)
    job = world.ended(world.order())
    lineage = world.engine.datasets.file(PROJECT, str(job.dataset_id), "lineage.jsonl").read_bytes().splitlines()
    asked = {msgspec.json.decode(line)["inference_id"] for line in lineage}
    people = {world.asker[answer] for answer in asked}
    assert people
    assert {split_part(user) for user in people} == {"build"}
    assert {split_part(user) for user in world.asker.values()} == {"build", "judge"}


def test_command_that_fails_is_tried_again_and_then_given_up(make: Make) -> None:
    world = make('import sys; print(\'{"model": "never"}\'); sys.exit(3)')
    job = world.ended(world.order())
    assert (job.state, job.model, job.attempts) == ("failed", None, 2)
    assert "code 3" in job.error


@pytest.mark.parametrize("script", ["print('no model')", 'print(\'{"model": "two words"}\')', ""])
def test_command_that_names_no_model_fails(make: Make, script: str) -> None:
    job = (world := make(script)).ended(world.order())
    assert (job.state, job.model) == ("failed", None)
    assert "does not name a model" in job.error


def test_too_few_rows_are_not_trained_on(make: Make) -> None:
    world = make(TRAINER, min_rows=1000)  # type: ignore[call-arg]
    job = world.ended(world.order())
    assert (job.state, job.attempts) == ("failed", 0)
    assert "finetune.min_rows asks 1000" in job.error


def test_job_called_off_ends_with_all_its_processes(make: Make) -> None:
    world = make(SLOW)
    job = world.running(world.order())
    child = world.told(job)
    assert world.engine.jobs.cancel(PROJECT, job.id, NOW).state == "cancelled"
    world.gone(job, child)
    assert world.job(job.id).state == "cancelled"
    with pytest.raises(Conflict, match="already cancelled"):
        world.engine.jobs.cancel(PROJECT, job.id, NOW)


def test_process_that_will_not_end_is_killed(make: Make) -> None:
    world = make("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLOW)
    job = world.running(world.order())
    child = world.told(job)
    world.engine.jobs.cancel(PROJECT, job.id, NOW)
    world.gone(job, child, step=timedelta(seconds=6))


def test_job_over_its_time_is_ended(make: Make) -> None:
    world = make(SLOW)
    job = world.running(world.order())
    child = world.told(job)
    world.clock.advance(timedelta(hours=25))
    world.engine.tick()
    assert (world.job(job.id).state, "24 hours" in world.job(job.id).error) == ("failed", True)
    world.gone(job, child)


def test_one_job_of_a_feature_at_a_time(make: Make) -> None:
    world = make(SLOW)
    world.running(world.order())
    with pytest.raises(Conflict, match="under way"):
        world.order()


@pytest.mark.parametrize("survives", [True, False])
def test_training_is_found_again_after_the_engine_was_killed(tmp_path: Path, make: Make, survives: bool) -> None:
    code = f"from tests.training import begin; begin({str(tmp_path)!r})"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env) as engine:
        assert engine.stdout is not None
        job_id, group = next(line.split()[1:] for line in engine.stdout if line.startswith("running"))
        engine.kill()
    if not survives:
        os.killpg(int(group), signal.SIGKILL)
    else:
        (tmp_path / "jobs" / job_id / "go").touch()
    world = make(TRAINER)
    world.engine.tick()
    job = world.ended(world.job(job_id))
    assert (job.state, job.attempts) == ("done", 1 if survives else 2)
    assert (job.model == "late") is survives


def test_model_that_was_trained_is_proposed_once(make: Make) -> None:
    world = make(TRAINER)
    store = world.engine.store
    rollout = store.rollout(PROJECT, "support")
    assert rollout is not None
    base = store.version(PROJECT, "support", rollout.stable_version_id)
    assert base is not None
    incident = Incident(
        id=derived_id("i"), feature="support", version_id=base.id, monitor_id=derived_id("m"), state="firing",
        onset_at=NOW, first_signal_at=NOW, detected_at=NOW, reference=0.1, observed=0.4, events=50, negatives=20,
        users=15, log_evidence=5.0, log_threshold=3.0,
    )  # fmt: skip
    situation = Situation(PROJECT, incident, base, NOW, derived_id("run"))
    action, effect = FinetuneAction(store), TrainEffect(store, world.engine.settings)
    assert not action.plan(situation).possible
    writes, told = effect.apply(situation)
    store.commit({PROJECT: writes})
    assert effect.apply(situation)[1]["job"] is None  # one is under way
    job: Job = world.ended(world.job(told["job"]))
    assert action.plan(situation).possible
    gathered = action.gather(situation)
    proposal = action.propose(situation, gathered)
    assert proposal.version is not None
    assert (proposal.version.model, proposal.detail["job"]) == (job.model, job.id)
    assert not action.plan(situation, gathered["corrections"]).possible
