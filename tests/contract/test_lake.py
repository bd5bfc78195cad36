"""What `LakeStore` promises, on a local disk and on S3."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, write_deltalake

from tests.contract import hot_store_sample as a
from tests.s3 import s3_delete, s3_place, s3_server
from trimtab.clock import SystemClock
from trimtab.config import Lake
from trimtab.errors import Conflict, Unavailable
from trimtab.records import Inference
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.delta import DeltaLake, open_lake
from trimtab.store.lake.place import Place
from trimtab.store.lake.port import LAKE_TABLES, LakeTable, Span
from trimtab.store.lake.query import SpawnedQuery
from trimtab.store.lake.schema import LAKE_NOUNS
from trimtab.store.ports import Stored, Writes

Reopen = Callable[[], DeltaLake]
_numbers = count()
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        return Place(str(tmp_path / "lake"))
    return s3_place(request.getfixturevalue("s3"), f"l{next(_numbers)}")


@pytest.fixture
def reopen(place: Place) -> Iterator[Reopen]:
    opened: list[DeltaLake] = []

    def again() -> DeltaLake:
        opened.append(open_lake(place, CLOCK))
        return opened[-1]

    yield again
    for lake in opened:
        lake.close()


@pytest.fixture
def lake(reopen: Reopen) -> DeltaLake:
    return reopen()


def served(seqs: range, project_id: str = "p", **fields: Any) -> list[Stored[Inference]]:
    return [Stored(seq, project_id, a.inference(**{"user_id": f"u{seq % 3}", **fields})) for seq in seqs]


def held(lake: DeltaLake, table: LakeTable = "inferences", span: Span | None = None) -> dict[int, Any]:
    rows = [row for batch in lake.read(table, span or Span()) for row in batch]
    found = {row.seq: row for row in rows}
    assert len(found) == len(rows)
    return found


def test_an_empty_lake_answers_and_holds_nothing(lake: DeltaLake) -> None:
    assert [lake.cursor(table) for table in LAKE_TABLES] == [0, 0, 0]
    assert held(lake) == {}
    assert lake.stats("feedback")[1:] == (0, 0, 0, -1, 0)
    assert lake.verify("outcomes", None).sound
    assert lake.compact("inferences") == 0
    assert lake.vacuum("inferences", retention_hours=0) == 0
    assert lake.erase("p", ["u"]).rows == {"inferences": 0, "feedback": 0, "outcomes": 0}
    lake.ensure()
    assert lake.stats("feedback").version == 0


def test_rows_come_back_as_they_went_in(lake: DeltaLake, reopen: Reopen) -> None:
    about = a.inference(
        input=[{"role": "user", "content": "what's 'it'?"}],
        output=None,
        context=[{"id": "c", "text": "x", "score": 0.5}],
        tags={"lang": "ü"},
        latency_ms=1.5,
        input_tokens=2**53,
        user_id="u'1",
    )
    rows = [Stored(3, "p", a.inference()), Stored(7, "q", about)]
    said = [Stored(1, "p", a.feedback(retracted=True)), Stored(2, "p", a.correction(about, user_id="w"))]
    judged = [Stored(5, "p", a.outcome(about, vote=1.0, voted_at=a.NOW)), Stored(6, "p", a.outcome(about, p_bad=0.1))]
    assert lake.append("inferences", rows, after=0) == 2
    assert lake.append("feedback", said, after=0) == 2
    assert lake.append("outcomes", judged, after=0) == 2
    again = reopen()
    # Nested structs were sent as plain objects, so compare what the hot store's codec would keep.
    assert held(again)[3] == rows[0]
    assert held(again)[7].record.input == about.input
    assert held(again, "feedback") == {row.seq: row for row in said}
    assert held(again, "outcomes") == {row.seq: row for row in judged}
    assert [again.cursor(table) for table in LAKE_TABLES] == [7, 2, 6]


def test_the_cursor_moves_with_the_rows_and_a_repeated_batch_is_refused(lake: DeltaLake, reopen: Reopen) -> None:
    first, second = served(range(1, 6)), served(range(6, 9))
    lake.append("inferences", first, after=0)
    other = reopen()
    with pytest.raises(Conflict, match="stands at 5"):
        other.append("inferences", first, after=0)
    other.append("inferences", second, after=5)
    with pytest.raises(Conflict, match="stands at 8"):
        lake.append("inferences", second, after=5)
    assert held(lake) == {row.seq: row for row in first + second}
    assert lake.append("inferences", [], after=8) == 0


def test_rows_out_of_order_are_refused(lake: DeltaLake) -> None:
    with pytest.raises(ValueError, match="expected rows whose seqs rise from 0"):
        lake.append("inferences", served(range(1, 3)) + served(range(1, 2)), after=0)
    assert lake.cursor("inferences") == 0


def test_of_many_writers_with_the_same_rows_one_gets_through(reopen: Reopen) -> None:
    rows = served(range(1, 50))
    results: list[str] = []

    def write() -> None:
        try:
            reopen().append("inferences", rows, after=0)
            results.append("kept")
        except Conflict:
            results.append("refused")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["kept", "refused", "refused", "refused"]
    assert len(held(reopen())) == 49


def test_reading_takes_the_span_and_nothing_else(lake: DeltaLake) -> None:
    day = timedelta(days=1)
    rows = [
        Stored(n + 1, "p" if n % 2 else "q", a.inference(created_at=a.NOW + n * day / 2, feature=f"f{n % 3}"))
        for n in range(12)
    ]
    lake.append("inferences", rows, after=0)
    span = Span(project_id="p", since=a.NOW + day, until=a.NOW + 4 * day)
    assert sorted(held(lake, span=span)) == [4, 6, 8]
    assert sorted(held(lake, span=span._replace(feature="f1"))) == [8]
    assert sorted(held(lake, span=Span(after=3, upto=5))) == [4, 5]
    assert held(lake, span=Span(project_id="it's")) == {}
    assert [len(batch) for batch in lake.read("inferences", Span(upto=2), batch_rows=1)] == [1, 1]


def test_compaction_and_vacuum_keep_every_row_once(lake: DeltaLake) -> None:
    for start in range(1, 41, 4):
        lake.append("inferences", served(range(start, start + 4)), after=start - 1)
    before = held(lake)
    told: list[tuple[str, int, int]] = []
    assert lake.compact("inferences", progress=lambda *one: told.append(one)) == 9
    assert told[-1] == ("compact inferences", 1, 1)
    assert lake.stats("inferences").files == 1
    assert lake.cursor("inferences") == 40
    assert lake.vacuum("inferences", retention_hours=48) == 0
    assert lake.vacuum("inferences", retention_hours=0) == 10
    assert held(lake) == before
    lake.append("inferences", served(range(41, 43)), after=40)
    assert lake.compact("inferences") == 1
    assert sorted(held(lake)) == list(range(1, 43))
    assert lake.verify("inferences", None).sound


def test_a_compaction_that_others_write_beside_is_said_and_drops_nothing(lake: DeltaLake) -> None:
    for seq in range(1, 6):
        lake.append("inferences", served(range(seq, seq + 1)), after=seq - 1)

    def intrude(_: str, done: int, parts: int) -> None:
        # Somebody who does not know of turns, after the rows were counted: as after a lease that ran out.
        handle = lake._tables.exclusive("inferences")
        assert handle is not None
        counted = handle.count

        def count_then_write() -> int:
            rows = counted()
            if not written:
                written.append(1)
                write_deltalake(
                    lake.place.table("inferences"),
                    LAKE_NOUNS["inferences"].arrow(served(range(6, 7)), handle.schema()),
                    mode="append",
                    storage_options=lake.place.options or None,
                )
            return rows

        handle.count = count_then_write  # type: ignore[method-assign]

    written: list[int] = []
    with pytest.raises(Unavailable, match="though it was not their turn"):
        lake.compact("inferences", progress=intrude)
    assert sorted(held(lake)) == [1, 2, 3, 4, 5, 6]


def test_verify_finds_what_the_lake_lacks_and_what_stands_twice(lake: DeltaLake, tmp_path: Path) -> None:
    hot = open_sqlite(tmp_path / "hot.db")
    try:
        hot.append([a.arrival(a.inference()) for _ in range(10)])
        rows = hot.inferences_after(0, 100)
        lake.append("inferences", [row for row in rows if row.seq != 4], after=0)
        found = lake.verify("inferences", hot)
        assert (found.rows, found.gaps, found.duplicates, found.sound) == (9, 1, 0, False)
        # The same record under two seqs: no path of ours does that, a second writer could.
        lake.append("inferences", [rows[3]._replace(seq=11), rows[4]._replace(seq=12)], after=10)
        assert lake.verify("inferences", hot).duplicates == 1
        about = rows[0].record
        hot.commit({"p": Writes(outcomes=[a.outcome(about)])})
        first = hot.outcomes_after(0, 10)
        lake.append("outcomes", first, after=0)
        hot.commit({"p": Writes(outcomes=[a.outcome(about, p_bad=0.5)])})
        assert lake.verify("outcomes", hot).sound
    finally:
        hot.close()


def test_verify_finds_a_file_that_is_missing(lake: DeltaLake) -> None:
    lake.append("inferences", served(range(1, 6)), after=0)
    lake.append("inferences", served(range(6, 9)), after=5)
    [path, _] = DeltaTable(lake.place.table("inferences"), storage_options=lake.place.options or None).file_uris()
    if lake.place.folder is not None:
        Path(path).unlink()
    else:
        s3_delete(lake.place, path)
    found = lake.verify("inferences", None)
    assert (found.missing_files, found.sound) == (1, False)


def test_the_erased_are_gone_with_what_was_said_about_their_answers_and_never_return(
    lake: DeltaLake, reopen: Reopen
) -> None:
    mine, theirs = a.inference(user_id="gone"), a.inference(user_id="stays")
    elsewhere = a.inference(user_id="gone")
    lake.append("inferences", [Stored(1, "p", mine), Stored(2, "p", theirs), Stored(3, "q", elsewhere)], after=0)
    said = [a.correction(mine, user_id="reviewer"), a.feedback(user_id="gone"), a.correction(theirs, user_id="stays")]
    lake.append("feedback", [Stored(n, "p", word) for n, word in enumerate(said, 1)], after=0)
    judged = [a.outcome(mine), a.outcome(theirs, voter_id="gone"), a.outcome(theirs, voter_id="stays")]
    lake.append("outcomes", [Stored(n, "p", one) for n, one in enumerate(judged, 1)], after=0)
    receipt = lake.erase("p", ["gone", "nobody"])
    assert receipt.rows == {"inferences": 1, "feedback": 2, "outcomes": 2}
    assert receipt.files >= 3
    assert sorted(held(lake)) == [2, 3]
    assert sorted(held(lake, "feedback")) == [3]
    assert sorted(held(lake, "outcomes")) == [3]
    other = reopen()
    assert other.append("inferences", [Stored(4, "p", mine), Stored(5, "q", elsewhere)], after=3) == 1
    assert other.append("feedback", [Stored(4, "p", said[0]), Stored(5, "p", said[1])], after=3) == 0
    assert other.append("outcomes", [Stored(4, "p", judged[0])], after=3) == 0
    assert [other.cursor(table) for table in LAKE_TABLES] == [5, 5, 4]
    assert sorted(held(other)) == [2, 3, 5]
    assert other.verify("inferences", None).returned == 0
    assert lake.erase("p", ["gone"]).rows == {"inferences": 0, "feedback": 0, "outcomes": 0}


def test_feedback_on_the_erased_is_found_by_whatever_name_it_calls_them(lake: DeltaLake) -> None:
    trace, other = "0" * 31 + "1", "0" * 31 + "2"
    mine = a.inference(user_id="gone", trace_id=trace, session_id="own", external_id="x-1")
    shared, theirs = (a.inference(user_id=user, session_id="both") for user in ("gone", "stays"))
    lake.append("inferences", [Stored(n, "p", one) for n, one in enumerate((mine, shared, theirs), 1)], after=0)
    names = [{"trace_id": trace}, {"external_id": "x-1"}, {"session_id": "own"}, {"inference_id": mine.id}]
    said = [a.feedback(**{"session_id": None, **name}) for name in names]
    kept = [
        a.feedback(session_id="both"),
        a.feedback(session_id=None, trace_id=other),
        a.feedback(session_id="own", inference_id=theirs.id),
    ]
    joined = a.feedback(session_id="elsewhere")  # only the hot store knew what this is about
    rows = [Stored(n, "p", word) for n, word in enumerate([*said, *kept, joined], 1)]
    lake.append("feedback", rows, after=0)
    found = lake.told("p", ["gone"])
    assert set(found.inferences) == {mine.id, shared.id}
    assert set(found.feedback) == {word.id for word in said}
    assert lake.told("q", ["gone"]) == ([], [])
    assert lake.erase("p", ["gone"], feedback_ids=[*found.feedback, joined.id]).rows["feedback"] == 5
    assert {row.record.id for row in held(lake, "feedback").values()} == {word.id for word in kept}
    again = [row._replace(seq=row.seq + 10) for row in rows]
    assert lake.append("feedback", again, after=8) == 3


def test_a_closed_lake_says_so(lake: DeltaLake) -> None:
    lake.close()
    lake.close()
    with pytest.raises(Unavailable, match="open it again"):
        lake.cursor("inferences")


def test_a_second_holder_of_the_turn_is_refused(reopen: Reopen) -> None:
    one, other = reopen(), reopen()
    one.append("inferences", served(range(1, 3)), after=0)
    with one._tables.turn.taken():
        with pytest.raises(Conflict, match="somebody else is changing the lake"):
            other.compact("inferences")
        with pytest.raises(Conflict):
            other.append("inferences", served(range(3, 4)), after=2)
    other.append("inferences", served(range(3, 4)), after=2)
    assert other.cursor("inferences") == 3


def test_a_query_reads_the_lake_where_it_lies(lake: DeltaLake, tmp_path: Path) -> None:
    rows = served(range(1, 6))
    lake.append("inferences", rows, after=0)
    lake.append("feedback", [Stored(1, "p", a.correction(rows[0].record))], after=0)
    query = SpawnedQuery(lake, Lake())
    sql = "SELECT id, correction FROM judged WHERE correction IS NOT NULL"
    assert list(query.rows(sql)) == [{"id": rows[0].record.id, "correction": "right"}]
