"""The contract of rows that are set aside: kept until taken up, the latest word on each, places alone."""

from __future__ import annotations

from collections.abc import Callable

from tests.contract import hot_store_sample as a
from tests.contract.hot_store_sample import P
from trimtab.ids import derived_id
from trimtab.store.ports import Arrival, Aside, HotStore, Writes


def aside(record: str, stage: str = "enrich", *, error: str = "ValueError", again: bool = False) -> Aside:
    return Aside(P, stage, "inference", record, error, a.NOW, again)


def test_what_is_set_aside_is_kept_by_stage_and_record_until_it_is_taken_up(reopen: Callable[[], HotStore]) -> None:
    store = reopen()
    store.commit({P: Writes(aside=[aside("x"), aside("y"), aside("x", "detect")])}, cursors={"enrich": 7})
    store.commit({P: Writes(aside=[aside("x", error="KeyError", again=True)])})
    store = reopen()
    assert store.asides(P, stage="enrich") == [aside("x", error="KeyError", again=True), aside("y")]
    assert store.asides(stage="enrich", again=True) == [aside("x", error="KeyError", again=True)]
    assert store.asides("q") == []
    assert len(store.asides(limit=2)) == 2
    assert store.count_asides() == {("enrich", "inference"): 2, ("detect", "inference"): 1}
    assert store.cursor("enrich") == 7
    store.commit({P: Writes(taken_up=[aside("x")])})
    assert store.asides() == [aside("x", "detect"), aside("y")]


def test_the_next_place_of_a_stream_is_told_without_its_row(store: HotStore) -> None:
    assert store.place_after("inference", 0) is None
    served = [a.inference(id=derived_id(name)) for name in ("one", "two")]
    store.append([Arrival(P, a.sealed(each), a.NOW) for each in served])
    rows = store.inferences_after(0, 10)
    assert store.place_after("inference", 0) == (rows[0].seq, P, rows[0].record.id)
    assert store.place_after("inference", rows[0].seq) == (rows[1].seq, P, rows[1].record.id)
    assert store.place_after("feedback", 0) is None
    assert store.place_after("outcome", 0) is None
