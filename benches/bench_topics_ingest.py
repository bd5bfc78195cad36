"""What a search for topics costs ingest beside it: how long a synced append of 100 events takes meanwhile.

Run: `python benches/bench_topics_ingest.py`. Needs CLINC150 (`$TRIMTAB_DATA`): its utterances are the feedback, 20,000
of them in a real hot store with vectors. One thread appends lots of 100 events with small pauses, as a server does at
about 5,000 events a second; each append is timed: with nothing beside it, while topics are looked for in this process
(a thread, as a naive job would), and while they are looked for as the engine does it, in a child process.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benches.bench_topics import NOW, utterances  # noqa: E402
from benches.machine import machine  # noqa: E402
from trimtab.config import Topics  # noqa: E402
from trimtab.detect.topics.stage import TopicStage, ask  # noqa: E402
from trimtab.embed.lsa import fit_lsa  # noqa: E402
from trimtab.ids import new_id  # noqa: E402
from trimtab.records import Feedback, Inference, Project  # noqa: E402
from trimtab.redact.engine import Redactor  # noqa: E402
from trimtab.redact.wall import seal_all  # noqa: E402
from trimtab.store.hot.sqlite import open_sqlite  # noqa: E402
from trimtab.store.ports import Arrival, HotStore, Writes  # noqa: E402
from trimtab.store.vectors.port import Item, VectorStore  # noqa: E402
from trimtab.store.vectors.sqlite import open_sqlite_vectors  # noqa: E402

P = "p"
LOT = 100
PAUSE_S = 0.01


def filled(store: HotStore, vectors: VectorStore, count: int) -> None:
    """Put `count` comments of the last four weeks into the store, with their vectors."""
    dice = random.Random(0)
    texts = [text for said in utterances().values() for text in said]
    texts = dice.sample(texts, min(count, len(texts)))
    said = []
    for number, text in enumerate(texts):
        at = NOW - timedelta(days=dice.uniform(0, 27.9))
        said.append(
            Feedback(
                id=new_id(at), kind="comment", text=text, created_at=at, feature=f"f{number % 3}", session_id="s",
                user_id=f"u{dice.randrange(count // 3)}",
            )
        )  # fmt: skip
    redactor = Redactor(key=bytes(32))
    store.commit({P: Writes(projects=[Project(id=P, created_at=NOW)])})
    store.append([Arrival(P, event, NOW) for event in seal_all(redactor, said)])
    space = fit_lsa(texts[:20_000])
    items = [
        Item(kind="feedback", id=each.id, created_at=each.created_at, feature=each.feature, user_id=each.user_id)
        for each in said
    ]
    rows = space.embed(texts)
    for start in range(0, len(items), 2000):
        vectors.upsert(P, space.space, items[start : start + 2000], rows[start : start + 2000])
    vectors.switch(P, space.space)


def beside(store: HotStore, stage: TopicStage | None) -> dict[str, float]:
    """Append until the run has ended (or, with none, for ten seconds), and say what the appends took."""
    redactor = Redactor(key=bytes(32))
    took: list[float] = []
    ended = threading.Event()
    began = time.perf_counter()
    run = ask(store, P, None, NOW) if stage is not None else None

    def tick() -> None:
        while stage is not None and not stage.tick(NOW):
            time.sleep(0.05)
        ended.set()

    ticking = threading.Thread(target=tick)
    if stage is not None:
        ticking.start()
    while not (ended.is_set() if stage is not None else time.perf_counter() - began > 10):
        served = [
            Inference(id=new_id(NOW), feature="live", created_at=NOW, input="x" * 400, output="y" * 600)
            for _ in range(LOT)
        ]
        lot = [Arrival(P, event, NOW) for event in seal_all(redactor, served)]
        start = time.perf_counter()
        store.append(lot)
        took.append(time.perf_counter() - start)
        time.sleep(PAUSE_S)
    if stage is not None:
        ticking.join()
    seconds = time.perf_counter() - began
    done = store.topic_run(P, run.id) if run is not None else None
    assert done is None or done.state == "done", done
    millis = np.array(took) * 1000
    return {
        "seconds": seconds,
        "events_per_s": LOT * len(took) / seconds,
        "median_ms": float(np.median(millis)),
        "p99_ms": float(np.quantile(millis, 0.99)),
        "greatest_ms": float(millis.max()),
        "topics": float(done.surveys[0].topics) if done else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "topics_ingest.json")
    told = parser.parse_args()
    where = machine()
    rows = {}
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as folder:
        store, vectors = open_sqlite(Path(folder) / "hot.db"), open_sqlite_vectors(Path(folder) / "vectors.db")
        filled(store, vectors, told.texts)
        print(
            f"{'beside':>14}{'seconds':>9}{'events/s':>10}{'median ms':>11}{'p99 ms':>9}{'greatest':>10}{'topics':>8}"
        )
        for name, inline in (("nothing", None), ("a thread", True), ("a child", False)):
            settings = Topics(every_hours=0, max_texts=told.texts)
            stage = (
                None if inline is None else TopicStage(store, vectors, Redactor(key=bytes(32)), settings, inline=inline)
            )
            row = rows[name] = beside(store, stage)
            if stage is not None:
                stage.close()
            print(
                f"{name:>14}{row['seconds']:>9.1f}{row['events_per_s']:>10,.0f}{row['median_ms']:>11.1f}"
                f"{row['p99_ms']:>9.1f}{row['greatest_ms']:>10.1f}{row['topics']:>8.0f}",
                flush=True,
            )
        vectors.close()
        store.close()
    told.out.write_text(json.dumps({"machine": where, "texts": told.texts, "rows": rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
