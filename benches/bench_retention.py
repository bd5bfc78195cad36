"""What it costs others when old rows leave the hot store: appends alone, and while the retention stage works.

Run: `PYTHONPATH=src python benches/bench_retention.py [--rows 200000] [--seconds 8] [--rounds 3] [--out FILE]`.

A hot store holds rows that are 40 days old: inferences of about one kilobyte in sessions, with names, one in five with
feedback that is joined, an opinion and an outcome. One thread appends fresh ones in groups of 100, each synced; another
ticks the stage ten times a second at most, as the engine's worker does. Rounds without and with it alternate.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benches.machine import machine
from trimtab.archive.retention import RetentionStage
from trimtab.config import Retention, Settings
from trimtab.ids import new_id
from trimtab.records import Feedback, Inference, Opinion, Outcome, Project, Redacted
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, HotStore, PurgedKind, Target, Turn, Writes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD = NOW - timedelta(days=40)
WORDS = [f"word{number}" for number in range(2_000)]
LOT = 5_000
GROUP = 100
PAUSE_S = 0.1
READERS: dict[PurgedKind, list[str]] = {"inferences": ["i"], "feedback": ["f"], "outcomes": ["o"]}


def served(count: int, at: datetime, seed: int) -> Iterator[Inference]:
    """Yield inferences of about one kilobyte."""
    dice = random.Random(seed)
    texts = [" ".join(dice.choices(WORDS, k=60)) for _ in range(2_000)]
    for number in range(count):
        when = at + timedelta(milliseconds=number)
        yield Inference(
            id=new_id(when),
            feature=dice.choice(["answer", "summary", "search"]),
            created_at=when,
            input=f"{number} {dice.choice(texts)}",
            output=dice.choice(texts),
            user_id=f"user-{dice.randrange(50_000)}",
            session_id=f"session-{dice.randrange(200_000)}",
            external_id=f"message-{dice.getrandbits(60)}",
        )


def fill(hot: HotStore, count: int) -> None:
    """Fill the store with old rows and what stages would have made of them."""
    hot.commit({"default": Writes(projects=[Project(id="default", created_at=OLD)])})
    made = list(served(count, OLD, 1))
    for start in range(0, count, LOT):
        lot = made[start : start + LOT]
        said = [
            Feedback(id=new_id(one.created_at), kind="thumb", value=0.0, created_at=one.created_at, inference_id=one.id)
            for one in lot[::5]
        ]
        events: list[Inference | Feedback] = [*lot, *said]
        hot.append([Arrival("default", Redacted(each, "bench"), each.created_at) for each in events])
        pairs = list(zip(said, lot[::5], strict=True))
        hot.commit(
            {"default": writes(lot, pairs)}, cursors={name: 1 << 60 for names in READERS.values() for name in names}
        )


def writes(lot: list[Inference], pairs: list[tuple[Feedback, Inference]]) -> Writes:
    """Return what enriching leaves behind."""
    return Writes(
        targets=[(Target("external", str(one.external_id)), one.id) for one in lot],
        turns=[Turn(str(one.session_id), one.created_at, one.id, one.feature) for one in lot],
        sessions=[(str(one.session_id), one.created_at) for one in lot],
        joined=[(word.id, one.id) for word, one in pairs],
        opinions=[
            Opinion(inference_id=one.id, feedback_id=word.id, kind="thumb", source="user", created_at=OLD, value=0.0)
            for word, one in pairs
        ],
        outcomes=[
            Outcome(
                inference_id=one.id,
                feature=one.feature,
                created_at=one.created_at,
                judged_at=one.created_at,
                p_bad=1.0,
                confidence=1.0,
                tier="A",
                evidence=[],
            )
            for _, one in pairs
        ],
    )


class Ticker(threading.Thread):
    """Ticks the stage as the engine does; keeps how long each tick took and how many rows went."""

    def __init__(self, hot: HotStore) -> None:
        super().__init__(daemon=True)
        self.stage = RetentionStage(hot, Settings(retention=Retention(hot_days=30)), READERS)
        self.ended = threading.Event()
        self.ticks: list[float] = []
        self.seen = 0

    def run(self) -> None:
        """Tick until told to end."""
        while not self.ended.is_set():
            began = time.perf_counter()
            self.seen += self.stage.tick(NOW)
            took = time.perf_counter() - began
            self.ticks.append(took)
            self.ended.wait(max(0.0, PAUSE_S - took))


def appended(hot: HotStore, fresh: Iterator[Inference], seconds: float) -> list[float]:
    """Append groups until the time is up; return how long each took."""
    times = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        lot = [Arrival("default", Redacted(next(fresh), "bench"), NOW) for _ in range(GROUP)]
        began = time.perf_counter()
        hot.append(lot)
        times.append(time.perf_counter() - began)
    return times


def unhurried(hot: HotStore, seconds: float) -> int:
    """Let rows leave while nothing else goes on; return how many have left in all."""
    ticker = Ticker(hot)
    ticker.start()
    time.sleep(seconds)
    ticker.ended.set()
    ticker.join()
    return sum(mark.rows for mark in hot.purge_marks().values())


def quantile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def told(times: list[float]) -> dict[str, float]:
    """Return events a second within appends, and how long one took in milliseconds."""
    return {
        "events_per_s": len(times) * GROUP / sum(times),
        **{name: quantile(times, share) * 1e3 for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0))},
    }


def main() -> None:
    """Fill, measure in turns, print a table and write it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "retention.json")
    options = parser.parse_args()
    on = machine()
    alone: list[float] = []
    beside: list[float] = []
    ticks: list[float] = []
    seen = 0
    with tempfile.TemporaryDirectory() as name:
        hot = open_sqlite(Path(name) / "hot.db")
        fill(hot, options.rows)
        fresh = served(10_000_000, NOW, 2)
        appended(hot, fresh, 1.0)
        for _ in range(options.rounds):
            alone += appended(hot, fresh, options.seconds)
            ticker = Ticker(hot)
            ticker.start()
            beside += appended(hot, fresh, options.seconds)
            ticker.ended.set()
            ticker.join()
            ticks += ticker.ticks
            seen += ticker.seen
        left = hot.purge_marks()
        quiet = unhurried(hot, options.seconds)
        size = (Path(name) / "hot.db").stat().st_size / 1e6
        hot.close()
    gone = sum(mark.rows for mark in left.values())
    found: dict[str, Any] = {
        "machine": on,
        "rows": options.rows,
        "alone": told(alone),
        "beside": told(beside),
        "share_of_rate": told(beside)["events_per_s"] / told(alone)["events_per_s"],
        "rows_gone": gone,
        "gone_per_s": gone / (options.seconds * options.rounds),
        "gone_alone_per_s": (quiet - gone) / options.seconds,
        "rows_seen": seen,
        "tick_p50_ms": quantile(ticks, 0.5) * 1e3,
        "tick_max_ms": quantile(ticks, 1.0) * 1e3,
        "file_mb": size,
    }
    for key in ("alone", "beside"):
        sys.stdout.write(
            key.ljust(8) + "".join(f"{name} {value:10.1f}   " for name, value in found[key].items()) + "\n"
        )
    sys.stdout.write(
        f"rate beside / alone {found['share_of_rate']:.2f}; {found['gone_per_s']:.0f} rows a second left, "
        f"{found['gone_alone_per_s']:.0f} with nothing else to do; "
        f"tick {found['tick_p50_ms']:.0f} ms, at most {found['tick_max_ms']:.0f} ms\n"
    )
    options.out.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
