"""The contract of the catalog, the loop's state and the whole hot store, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import SESSION, P, ids
from trimtab.errors import Conflict, Unavailable, WallBreach
from trimtab.ids import new_id
from trimtab.records import Project, Release, RunStep
from trimtab.store.ports import HotStore, Page, Query, Switch, Vote, Writes

# ---------------------------------------------------------------- catalog


def test_the_catalog_comes_back_as_it_was_written(store: HotStore) -> None:
    version, project, key = a.version(), Project(id=P, created_at=a.NOW), a.key()
    features = [a.feature("b"), a.feature("a", description="what it does")]
    store.commit(
        {
            P: Writes(
                projects=[project],
                keys=[a.sealed(key)],
                features=[a.sealed(item) for item in features],
                versions=[a.sealed(version)],
            )
        }
    )
    assert store.projects() == [project]
    assert store.keys(P) == [key]
    assert store.find_key(key.sha256) == key
    assert store.find_key("1" * 64) is None
    assert store.features(P) == [features[1], features[0]]
    assert store.version(P, "answer", version.id) == version
    assert store.versions(P, "answer") == [version]
    assert store.version(P, "other", version.id) is None


def test_what_is_written_once_does_not_change(store: HotStore) -> None:
    version, case, feature = a.version(), a.case(), a.feature()
    run, step = a.run(), RunStep(name="gather", started_at=a.NOW, ended_at=a.NOW)
    for note in ("first", "second"):
        told = msgspec.structs.replace(version, note=note)
        shown = msgspec.structs.replace(feature, description=note)
        asked = msgspec.structs.replace(case, expected=note)
        done = msgspec.structs.replace(step, detail={"note": note})
        each = Writes(versions=[a.sealed(told)], features=[a.sealed(shown)], cases=[a.sealed(asked)], runs=[run])
        store.commit({P: msgspec.structs.replace(each, steps=[(run.id, done)])})
    assert [item.note for item in store.versions(P, "answer")] == ["first"]
    assert [item.description for item in store.features(P)] == ["first"]
    assert [item.expected for item in store.cases(P, "answer")] == ["first"]
    stored = store.run(P, run.id)
    assert stored is not None
    assert [item.detail for item in stored.steps] == [{"note": "first"}]


def test_a_key_can_be_revoked_and_stays_revoked(store: HotStore) -> None:
    key = a.key()
    store.commit({P: Writes(keys=[a.sealed(key)])})
    for revoked_at in (a.NOW + a.SECOND, a.NOW, None):
        store.commit({P: Writes(keys=[a.sealed(msgspec.structs.replace(key, revoked_at=revoked_at, label="new"))])})
    found = store.find_key(key.sha256)
    assert found == msgspec.structs.replace(key, revoked_at=a.NOW + a.SECOND)


def test_a_switch_is_written_only_on_the_revision_it_expects(store: HotStore) -> None:
    first, second = a.rollout(1), a.rollout(2, candidate_version_id="v2", share=0.1)
    store.commit({P: Writes(switches=[Switch(first, 0)])})
    store.commit({P: Writes(switches=[Switch(second, 1)])})
    for stale in (0, 1, 3):
        with pytest.raises(Conflict, match="revision"):
            store.commit({P: Writes(switches=[Switch(a.rollout(stale + 1), stale)])})
    assert store.rollout(P, "answer") == second
    assert store.rollout_history(P, "answer") == [first, second]
    other, elsewhere = a.rollout(1, feature="other"), a.rollout(1, stable_version_id="v9")
    store.commit({P: Writes(switches=[Switch(other, 0)]), "q": Writes(switches=[Switch(elsewhere, 0)])})
    assert store.rollouts(P) == {"answer": second, "other": other}
    assert store.rollouts("nobody") == {}
    with pytest.raises(ValueError, match="revision"):
        store.commit({P: Writes(switches=[Switch(a.rollout(2), 2)])})


def test_switches_of_all_projects_are_read_on_behind_a_place(store: HotStore, reopen: Callable[[], HotStore]) -> None:
    assert (store.last_rollout(), store.rollouts_after(0, 10)) == (0, [])
    told: list[str] = []
    store.on_switched = lambda: told.append("switched")
    store.commit({P: Writes(switches=[Switch(a.rollout(1), 0)])})
    store.commit({P: Writes(cases=[a.sealed(a.case())])})
    assert told == ["switched"]
    place = store.last_rollout()
    store = reopen()
    second = a.rollout(2, holdback_version_id="v0", holdback_share=0.05)
    store.commit({P: Writes(switches=[Switch(second, 1)])})
    store.commit({"q": Writes(switches=[Switch(a.rollout(1, feature="other"), 0)])})
    found = store.rollouts_after(place, 10)
    assert [(row.project_id, row.record.feature, row.record.revision) for row in found] == [
        (P, "answer", 2),
        ("q", "other", 1),
    ]
    assert found[0].record == second
    assert found[-1].seq == store.last_rollout()
    assert len(store.rollouts_after(place, 1)) == 1


def test_votes_are_counted_by_arm(store: HotStore) -> None:
    outcomes = []
    for arm, votes in (("stable", (0.0, 1.0, 0.5, None)), ("holdback", (1.0, 0.6)), (None, (1.0,))):
        outcomes += [a.outcome(a.inference(), arm=arm, vote=vote) for vote in votes]
    outcomes.append(a.outcome(a.inference(), arm="stable", vote=1.0, withdrawn=True))
    outcomes.append(a.outcome(a.inference(created_at=a.NOW - a.SECOND), arm="stable", vote=1.0))
    outcomes.append(a.outcome(a.inference(feature="other"), arm="stable", vote=1.0))
    store.commit({P: Writes(outcomes=outcomes)})
    found = {each.arm: (each.voted, each.negative) for each in store.arm_votes(P, "answer", a.NOW)}
    assert found == {"stable": (3, 1), "holdback": (2, 2), None: (1, 1)}
    assert store.arm_votes("q", "answer", a.NOW) == []


def test_of_two_who_switch_at_once_one_wins(store: HotStore) -> None:
    def switch(_: int) -> bool:
        try:
            store.commit({P: Writes(switches=[Switch(a.rollout(1), 0)])})
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(switch, range(4))) == 1


# ---------------------------------------------------------------- loop


def everything(run_id: str) -> Writes:
    served, said = a.inference(), a.feedback(user_id="u")
    return Writes(
        joined=[(said.id, served.id)],
        orphans=[(a.feedback().id, SESSION)],
        targets=[(SESSION, served.id)],
        opinions=[a.opinion(said, served)],
        outcomes=[a.outcome(served)],
        votes=[Vote("monitor", "u", a.NOW)],
        monitors=[a.monitor()],
        incidents=[a.incident()],
        changes=[a.change()],
        runs=[a.run(id=run_id)],
        steps=[(run_id, RunStep(name="gather", started_at=a.NOW, ended_at=a.NOW))],
        versions=[a.sealed(a.version())],
        cases=[a.sealed(a.case())],
        features=[a.sealed(a.feature())],
        keys=[a.sealed(a.key())],
        projects=[Project(id=P, created_at=a.NOW)],
    )


def contents(store: HotStore, run_id: str) -> dict[str, Any]:
    query = Query()
    return {
        "targets": store.resolve(P, [SESSION]),
        "outcomes": [row.record for row in store.outcomes_after(0, 10)],
        "votes": store.votes("monitor", ["u"]),
        "monitors": store.monitors(P, "answer"),
        "incidents": store.incidents(P, query),
        "changes": store.changes(P, query),
        "runs": store.runs(P, query),
        "run": store.run(P, run_id),
        "versions": store.versions(P, "answer"),
        "cases": store.cases(P, "answer"),
        "features": store.features(P),
        "keys": store.keys(P),
        "projects": store.projects(),
        "cursor": store.cursor("stage"),
        "rollout": store.rollout(P, "answer"),
    }


def test_a_commit_twice_leaves_what_one_left(store: HotStore) -> None:
    run_id = new_id(a.NOW)
    writes = everything(run_id)
    store.commit({P: writes}, cursors={"stage": 7})
    once = contents(store, run_id)
    store.commit({P: writes}, cursors={"stage": 7})
    assert contents(store, run_id) == once
    assert all(once[name] for name in once if name != "rollout")


def test_a_commit_that_fails_leaves_nothing(store: HotStore) -> None:
    run_id = new_id(a.NOW)
    nothing = contents(store, run_id)
    writes = everything(run_id)
    stale = Writes(monitors=[a.monitor()], switches=[Switch(a.rollout(2), 1)])
    with pytest.raises(Conflict):
        store.commit({P: writes, "q": stale}, cursors={"stage": 7})
    too_big = msgspec.structs.replace(writes, incidents=[a.incident(events=2**70)])
    with pytest.raises(OverflowError):
        store.commit({P: too_big}, cursors={"stage": 7})
    unsealed: Any = a.case()
    with pytest.raises(WallBreach):
        store.commit({P: writes, "q": Writes(cases=[unsealed])}, cursors={"stage": 7})
    assert contents(store, run_id) == nothing


def test_a_record_of_another_project_is_refused(store: HotStore) -> None:
    with pytest.raises(ValueError, match="project"):
        store.commit({"q": Writes(keys=[a.sealed(a.key(project_id="p"))])})
    with pytest.raises(ValueError, match="project"):
        store.commit({"q": Writes(projects=[Project(id="p", created_at=a.NOW)])})


def test_cursors_only_rise(store: HotStore) -> None:
    assert store.cursor("stage") == 0
    for position in (5, 3, 9, 9):
        store.commit({}, cursors={"stage": position, "other": 1})
    assert (store.cursor("stage"), store.cursor("other")) == (9, 1)


def test_state_is_replaced_by_id_and_keeps_its_place(store: HotStore) -> None:
    incidents, changes = [a.incident() for _ in range(3)], [a.change() for _ in range(3)]
    store.commit({P: Writes(incidents=incidents, changes=changes)})
    ended = msgspec.structs.replace(incidents[0], state="resolved", resolved_at=a.NOW, resolution="verified")
    moved = msgspec.structs.replace(changes[1], state="canary", candidate_version_id="v2", canary={"n": 5})
    store.commit({P: Writes(incidents=[ended], changes=[moved])})
    assert [row.record for row in store.incidents(P, Query(newest=False)).rows] == [ended, *incidents[1:]]
    assert ids(store.incidents(P, Query(), ["resolved"])) == [ended.id]
    assert ids(store.incidents(P, Query(version_id="v9"))) == []
    assert ids(store.changes(P, Query(), ["canary", "paused"])) == [moved.id]
    assert ids(store.changes(P, Query(version_id="v2"))) == [moved.id]
    assert store.change(P, moved.id) == moved
    assert store.incident(P, ended.id) == ended


def test_incidents_and_runs_are_listed_by_when_they_began(store: HotStore) -> None:
    early, late = a.incident(), a.incident(detected_at=a.NOW + a.SECOND)
    first, second = a.run(), a.run(started_at=a.NOW + a.SECOND)
    store.commit({P: Writes(incidents=[early, late], runs=[first, second])})
    assert ids(store.incidents(P, Query(since=a.NOW + a.SECOND))) == [late.id]
    assert ids(store.runs(P, Query(until=a.NOW + a.SECOND, feature="answer"))) == [first.id]


def test_runs_show_their_steps_in_order_and_lists_leave_them_out(store: HotStore) -> None:
    change = a.change(candidate_version_id="v2")
    run = a.run(change_id=change.id)
    steps = [
        RunStep(name=f"s{at}", started_at=a.NOW + at * a.SECOND, ended_at=a.NOW + at * a.SECOND) for at in range(3)
    ]
    writes = Writes(runs=[run], changes=[change], steps=[(run.id, step) for step in reversed(steps)])
    store.commit({P: writes})
    done = msgspec.structs.replace(run, state="done", ended_at=a.NOW)
    store.commit({P: Writes(runs=[done])})
    assert store.run(P, run.id) == msgspec.structs.replace(done, steps=steps)
    assert [row.record for row in store.runs(P, Query(version_id="v2")).rows] == [done]
    assert store.runs(P, Query(version_id="v1")).rows == []
    assert [row.record for row in store.runs(P, Query(), ["done", "failed"]).rows] == [done]
    assert store.runs(P, Query(), ["running"]).rows == []


def test_votes_remember_when_each_user_was_last_counted(store: HotStore) -> None:
    store.commit({P: Writes(votes=[Vote("m", "u", a.NOW), Vote("m", "w", a.NOW), Vote("n", "u", a.NOW)])})
    store.commit({P: Writes(votes=[Vote("m", "u", a.NOW + a.SECOND)])})
    assert store.votes("m", ["u", "nobody", "u"]) == {"u": a.NOW + a.SECOND}
    assert store.votes("n", ["u", "w"]) == {"u": a.NOW}
    pairs = [("m", "u"), ("n", "u"), ("n", "w"), ("m", "u"), ("nobody", "u")]
    assert store.votes_of(pairs) == {("m", "u"): a.NOW + a.SECOND, ("n", "u"): a.NOW}


def test_what_a_person_released_stays_released_in_its_project(store: HotStore) -> None:
    released = Release(feedback_id=new_id(a.NOW), released_at=a.NOW)
    for _ in range(2):
        store.commit({P: Writes(releases=[released])})
    assert store.released(P) == {released.feedback_id}
    assert store.released("q") == set()


# ---------------------------------------------------------------- the whole


def test_no_verb_shows_another_project_s_rows(store: HotStore) -> None:
    served, said = a.inference(), a.correction(a.inference())
    store.append([a.arrival(served), a.arrival(said)])
    run_id = new_id(a.NOW)
    store.commit({P: msgspec.structs.replace(everything(run_id), switches=[Switch(a.rollout(1), 0)])})
    query, change, incident = Query(), store.changes(P, Query()).rows[0], store.incidents(P, Query()).rows[0]
    outcome = store.outcomes_after(0, 1)[0].record
    lists: list[Page[Any]] = [
        *(verb("q", query) for verb in (store.list_inferences, store.list_feedback, store.list_outcomes)),
        *(verb("q", query) for verb in (store.corrections, store.orphans, store.incidents, store.changes, store.runs)),
    ]
    assert [page.rows for page in lists] == [[]] * 8
    assert store.inferences("q", [served.id]) == {}
    assert store.feedback("q", [said.id]) == {}
    found: list[Any] = [
        store.opinions("q", [outcome.inference_id]),
        store.outcomes("q", [outcome.inference_id]),
        store.resolve("q", [SESSION]),
        store.waiting("q", [SESSION]),
        store.summary("q", "answer", a.NOW, a.NOW + a.SECOND),
        store.keys("q"),
        store.features("q"),
        store.versions("q", "answer"),
        store.monitors("q", "answer"),
        store.cases("q", "answer"),
        store.rollout_history("q", "answer"),
    ]
    assert not any(found)
    assert store.rollout("q", "answer") is None
    assert store.run("q", run_id) is None
    assert store.incident("q", incident.record.id) is None
    assert store.change("q", change.record.id) is None


def test_a_reopened_store_has_everything(reopen: Callable[[], HotStore]) -> None:
    store, run_id = reopen(), new_id(a.NOW)
    served, said = a.inference(), a.feedback()
    store.append([a.arrival(served), a.arrival(said)])
    store.commit({P: msgspec.structs.replace(everything(run_id), switches=[Switch(a.rollout(1), 0)])}, cursors={"s": 3})
    before = contents(store, run_id)
    again = reopen()
    assert contents(again, run_id) == before
    assert again.inferences(P, [served.id]) == {served.id: served}
    assert again.append([a.arrival(served), a.arrival(said)]) == [False, False]


def test_check_passes_while_open_and_a_closed_store_is_unavailable(store: HotStore) -> None:
    store.check()
    store.check()
    store.close()
    store.close()
    calls: list[Callable[[], object]] = [
        store.check,
        lambda: store.append([a.arrival(a.inference())]),
        lambda: store.commit({}, cursors={"s": 1}),
        lambda: store.cursor("s"),
    ]
    for call in calls:
        with pytest.raises(Unavailable, match="closed"):
            call()
