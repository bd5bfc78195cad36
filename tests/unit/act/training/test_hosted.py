"""Training at an endpoint, over real HTTP: each thing made once, whatever is lost, killed or hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house.checkout import ROOT
from tests.training import Trained, hosted
from tests.training_endpoint import TrainingEndpoint
from tests.unit.act.datasets.world import PROJECT
from trimtab.errors import Conflict
from trimtab.store.ports import Query

Make = Callable[..., Trained]
CREATE, UPLOAD, LIST = "POST /fine_tuning/jobs", "POST /files", "GET /fine_tuning/jobs"


@pytest.fixture
def endpoint() -> Iterator[TrainingEndpoint]:
    with TrainingEndpoint() as running:
        yield running


@pytest.fixture
def make(tmp_path: Path, endpoint: TrainingEndpoint) -> Iterator[Make]:
    opened: list[Trained] = []

    def opener(**told: Any) -> Trained:
        opened.append(hosted(tmp_path, endpoint.url, **told))
        return opened[-1]

    yield opener
    for event in endpoint.hold.values():
        event.set()
    for each in opened:
        each.end()


def test_the_set_goes_up_a_job_is_created_and_its_model_is_the_jobs(
    make: Make, endpoint: TrainingEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    world = make()
    job = world.ended(world.order())
    assert (job.state, job.model, job.error, job.attempts) == ("done", "ft:small-1:acme::ftjob-0", "", 1)
    [there] = endpoint.jobs
    rows = [json.loads(line) for line in endpoint.contents[there["training_file"]].splitlines()]
    assert len(rows) >= 10
    assert all(row["messages"][-1]["role"] == "assistant" for row in rows)
    assert there["metadata"]["trimtab_job"].startswith(f"trimtab-{job.id}")
    assert endpoint.keys == {"Bearer sk-test"}
    store = world.engine.store
    assert [row.record.model for row in store.jobs(PROJECT, Query(feature="support"), ("done",)).rows] == [job.model]


def test_what_was_uploaded_is_deleted_when_it_is_over(make: Make, endpoint: TrainingEndpoint) -> None:
    world = make()
    job = world.put_away(world.ended(world.order()))
    assert (job.state, endpoint.files) == ("done", [])
    assert "POST /fine_tuning/jobs/ID/cancel" not in endpoint.said


@pytest.mark.parametrize(("price", "cost"), [(0.0, None), (25.0, 30.0)])
def test_cost_is_unknown_unless_a_price_is_named(
    make: Make, endpoint: TrainingEndpoint, price: float, cost: float | None
) -> None:
    world = make(usd_per_million_tokens=price)
    job = world.ended(world.order())
    told = job.progress["hosted"]
    assert (told["trained_tokens"], told["cost_usd"]) == (1_200_000, cost)
    assert endpoint.times(CREATE) == 1


@pytest.mark.parametrize("lost", [UPLOAD, CREATE, "GET /fine_tuning/jobs/ID", "GET /files"])
def test_a_lost_answer_makes_nothing_twice(make: Make, endpoint: TrainingEndpoint, lost: str) -> None:
    endpoint.lose = {lost}
    world = make()
    job = world.ended(world.order())
    assert (job.state, len(endpoint.jobs)) == ("done", 1)
    names = list(endpoint.contents)
    assert len(names) == len(set(names)) <= 2
    assert endpoint.times(UPLOAD) == len(names)


@pytest.mark.parametrize("at", [UPLOAD, CREATE])
def test_an_engine_killed_while_something_is_made_makes_it_once(
    tmp_path: Path, make: Make, endpoint: TrainingEndpoint, at: str
) -> None:
    endpoint.hold[at] = threading.Event()
    code = f"from tests.training import begin_hosted; begin_hosted({str(tmp_path)!r}, {endpoint.url!r})"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env) as engine:
        assert engine.stdout is not None
        job_id = next(line.split()[1] for line in engine.stdout if line.startswith("ordered"))
        assert endpoint.held.acquire(timeout=60)  # it is made, and nobody was told
        engine.kill()
    endpoint.hold.pop(at).set()
    uploaded = endpoint.times(UPLOAD)
    world = make()
    job = world.ended(world.job(job_id))
    assert (job.state, job.attempts, len(endpoint.jobs)) == ("done", 1, 1)
    assert endpoint.times(UPLOAD) - uploaded <= (1 if at == UPLOAD else 0)  # the other file, where there is one
    assert len({call["filename"] for call in endpoint.files}) == len(endpoint.files)


def test_where_jobs_cannot_be_listed_a_job_that_may_exist_is_not_created_again(
    tmp_path: Path, make: Make, endpoint: TrainingEndpoint
) -> None:
    endpoint.without = {LIST}
    endpoint.lose = {CREATE}
    job = (world := make()).ended(world.order())
    assert (job.state, len(endpoint.jobs)) == ("failed", 1)
    assert "whether there is one is not known" in job.error


def test_where_nothing_can_be_listed_a_job_is_trained_all_the_same(make: Make, endpoint: TrainingEndpoint) -> None:
    endpoint.without = {LIST, "GET /files"}
    job = (world := make()).ended(world.order())
    assert (job.state, len(endpoint.jobs)) == ("done", 1)


def test_an_endpoint_that_hangs_holds_nobody_up_and_its_error_is_shown(make: Make, endpoint: TrainingEndpoint) -> None:
    endpoint.hold["GET /files"] = threading.Event()
    world = make(timeout_s=0.2)
    job = world.running(world.order())
    told = world._until(job, lambda now: now.error != "")
    assert (told.state, told.error) == ("running", "no answer within 0.2 s")
    endpoint.hold.pop("GET /files").set()
    assert (world.ended(job).state, world.job(job.id).error) == ("done", "")


def test_an_endpoint_that_is_overloaded_is_asked_again(make: Make, endpoint: TrainingEndpoint) -> None:
    busy: tuple[int, dict[str, Any]] = (429, {"error": {"message": "slow down"}})
    endpoint.fail = {UPLOAD: [busy], CREATE: [busy, (503, {})], "GET /fine_tuning/jobs/ID": [(500, {})]}
    job = (world := make()).ended(world.order())
    assert (job.state, len(endpoint.jobs)) == ("done", 1)


def test_what_the_endpoint_refuses_ends_the_job_with_its_words_redacted(make: Make, endpoint: TrainingEndpoint) -> None:
    endpoint.fail = {CREATE: [(400, {"error": {"message": "no such model; ask jane.doe@example.com"}})]}
    job = (world := make()).ended(world.order())
    assert job.state == "failed"
    assert "was answered 400: no such model" in job.error
    assert "jane.doe" not in job.error
    assert world.put_away(job).state == "failed"
    assert endpoint.files == []


def test_a_job_that_fails_there_fails_here_with_its_reason(make: Make, endpoint: TrainingEndpoint) -> None:
    endpoint.outcome = {"status": "failed", "fine_tuned_model": None, "error": {"message": "row 7 is no chat"}}
    job = (world := make()).ended(world.order())
    assert (job.state, job.model) == ("failed", None)
    assert job.error == "the endpoint's job is failed: row 7 is no chat"


def test_a_job_that_names_no_model_fails(make: Make, endpoint: TrainingEndpoint) -> None:
    endpoint.outcome = {"status": "succeeded", "fine_tuned_model": "two words"}
    job = (world := make()).ended(world.order())
    assert (job.state, job.model) == ("failed", None)
    assert "names no model: got 'two words'" in job.error


def test_a_job_called_off_is_called_off_there(make: Make, endpoint: TrainingEndpoint) -> None:
    endpoint.polls = 10**9
    world = make()
    job = world.knows(world.order(), "job")
    world.engine.jobs.cancel(PROJECT, job.id, world.clock.now())
    job = world.put_away(job)
    assert (job.state, endpoint.jobs[0]["status"], endpoint.files) == ("cancelled", "cancelled", [])
    with pytest.raises(Conflict, match="already cancelled"):
        world.engine.jobs.cancel(PROJECT, job.id, world.clock.now())


def test_a_job_called_off_in_the_moment_it_is_created_is_called_off_there(
    make: Make, endpoint: TrainingEndpoint
) -> None:
    endpoint.polls, endpoint.hold[CREATE] = 10**9, threading.Event()
    world = make(timeout_s=0.3)
    job = world.knows(world.order(), "creating")
    world._wait(lambda: (world.engine.jobs.tick(world.clock.now()), endpoint.held.acquire(blocking=False))[1])
    world.engine.jobs.cancel(PROJECT, job.id, world.clock.now())
    endpoint.hold.pop(CREATE).set()
    job = world.put_away(job)
    assert (job.state, [each["status"] for each in endpoint.jobs]) == ("cancelled", ["cancelled"])


def test_a_job_called_off_whose_set_cannot_be_read_any_more_stops_nobody(
    make: Make, endpoint: TrainingEndpoint
) -> None:
    endpoint.hold["GET /files"] = threading.Event()
    world = make(timeout_s=30)
    job = world.running(world.order())
    world._wait(lambda: (world.engine.jobs.tick(world.clock.now()), endpoint.held.acquire(blocking=False))[1])
    world.engine.datasets.file(PROJECT, str(job.dataset_id), "train.jsonl").unlink()
    world.engine.jobs.cancel(PROJECT, job.id, world.clock.now())
    endpoint.hold.pop("GET /files").set()
    assert (world.put_away(job).state, endpoint.files) == ("cancelled", [])


def test_a_job_over_its_time_is_called_off(make: Make, endpoint: TrainingEndpoint) -> None:
    endpoint.polls = 10**9
    world = make(max_hours=0.0001)
    job = world.put_away(world.ended(world.order()))
    assert (job.state, "not done within" in job.error) == ("failed", True)
    assert all(each["status"] == "cancelled" for each in endpoint.jobs)


def test_a_private_address_is_refused_unless_allowed(make: Make, endpoint: TrainingEndpoint) -> None:
    job = (world := make(allow_private=False)).ended(world.order())
    assert (job.state, endpoint.said) == ("failed", [])
    assert "finetune.allow_private" in job.error
