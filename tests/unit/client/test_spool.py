"""Events on disk: whole lines, one owner at a time, bounded, and gone only when they are answered for."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from trimtab.client.spool import Segment, Spool


def lines(*numbers: int) -> list[bytes]:
    return [b'{"id":"%d"}' % number for number in numbers]


def take(spool: Spool) -> Segment | None:
    return next(iter(spool.segments()), None)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path, max_bytes=1 << 20, fsync=False)


def test_what_is_written_comes_back_in_order_and_is_gone_when_done(spool: Spool, tmp_path: Path) -> None:
    assert spool.append(lines(1, 2)) == 2
    assert spool.append(lines(3)) == 1
    spool.seal()
    segment = take(spool)
    assert segment is not None
    assert segment.lines() == lines(1, 2, 3)
    segment.done()
    assert take(spool) is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_being_written_belongs_to_its_writer(spool: Spool, tmp_path: Path) -> None:
    other = Spool(tmp_path, max_bytes=1 << 20, fsync=False)
    spool.append(lines(1))
    assert take(other) is None
    assert take(spool) is None
    spool.seal()
    first = take(other)
    assert first is not None
    assert take(spool) is None  # the other holds it
    first.release()
    second = take(spool)
    assert second is not None
    second.done()


def test_a_line_cut_off_by_a_crash_is_passed_over_and_counted(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "0-1-a.ndjson").write_bytes(b'{"id":"1"}\n\0\0\0\0\n{"id":"2"}\n{"id":"3')
    segment = take(spool)
    assert segment is not None
    assert segment.lines() == lines(1, 2)
    assert segment.torn == 2
    segment.done()


def test_the_bound_counts_what_others_left(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "0-1-a.ndjson").write_bytes(b"x" * 80)
    small = Spool(tmp_path, max_bytes=100, fsync=False)
    assert small.append(lines(1, 2)) == 1
    assert small.append(lines(3)) == 0
    assert small.used_bytes() <= 100
    small.seal()


def test_a_failed_write_leaves_no_half_line(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.append(lines(1))
    write = os.write
    calls: list[int] = []

    def full(handle: int, data: bytes) -> int:
        calls.append(handle)
        if len(calls) == 1:
            return write(handle, data[:5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("trimtab.client.spool.os.write", full)
        with pytest.raises(OSError, match="cannot write"):
            spool.append(lines(2))
    spool.append(lines(3))
    spool.seal()
    segment = take(spool)
    assert segment is not None
    assert (segment.lines(), segment.torn) == (lines(1, 3), 0)
    segment.done()


def test_a_large_spool_is_cut_into_segments(spool: Spool, tmp_path: Path) -> None:
    roomy = Spool(tmp_path, max_bytes=10 << 20, fsync=False)
    for _ in range(5):
        roomy.append([b'{"x":"' + b"y" * 600_000 + b'"}'])
    assert len(list(tmp_path.iterdir())) == 3
    roomy.seal()


def test_writers_and_deliverers_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    spools = [Spool(tmp_path, max_bytes=1 << 24, fsync=False) for _ in range(3)]
    written, seen = threading.Event(), []
    lock = threading.Lock()

    def write(which: int) -> None:
        for number in range(300):
            spools[which].append(lines(which * 1_000 + number))
            if number % 7 == 0:
                spools[which].seal()
        spools[which].seal()

    def read() -> None:
        spool = Spool(tmp_path, max_bytes=1 << 24, fsync=False)
        while True:
            last = written.is_set()
            for segment in spool.segments():
                with lock:
                    seen.extend(segment.lines())
                segment.done()
            if last:
                return

    writers = [threading.Thread(target=write, args=(which,)) for which in range(3)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in [*writers, *readers]:
        thread.start()
    for thread in writers:
        thread.join()
    written.set()
    for thread in readers:
        thread.join()
    assert sorted(seen) == sorted(lines(*(which * 1_000 + number for which in range(3) for number in range(300))))
    assert list(tmp_path.iterdir()) == []
