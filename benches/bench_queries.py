"""What dashboards wait for at 5 million answers and 1 million feedback, beside what they wait for at a fiftieth of it.

Run: `python benches/bench_queries.py [--rows 5000000] [--postgres] [--keep DIR] [--requests 200]`.

Thirty days of invented time, in the order in which they would have come: six features of very different size, each with
a new version every week and a canary before it, people who vote, correct, comment and copy minutes to days later. All
of it goes through the store's append and the enrich stage, in lots; only redaction is left out, since nothing here
measures it. Then a real server is started over it and asked over HTTP, one at a time, in an order that is drawn.

Building takes its time (progress is shown); with `--keep DIR` what was built stays there and is used again.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import heapq
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benches.machine import machine  # noqa: E402
from tests.postgres import PostgresServer, postgres_server  # noqa: E402
from tests.serving import ServerProcess  # noqa: E402
from trimtab.config import Settings, Storage  # noqa: E402
from trimtab.enrich.stage import EnrichStage  # noqa: E402
from trimtab.ids import new_id  # noqa: E402
from trimtab.records import Feature, Feedback, Inference, Profile, Redacted  # noqa: E402
from trimtab.runtime.parts import open_store  # noqa: E402,
from trimtab.server.auth import mint  # noqa: E402
from trimtab.store.ports import Arrival, HotStore, Writes  # noqa: E402

DAYS = 30
END = datetime(2026, 3, 31, tzinfo=UTC)
START = END - timedelta(days=DAYS)
SHARES = {"support": 40.0, "search": 30.0, "summary": 20.0, "mail": 8.0, "voice": 1.9, "legacy": 0.1}
KINDS = {"copy": 34.0, "thumb": 40.0, "comment": 10.0, "regenerate": 9.0, "rating": 4.0, "correction": 3.0}
CANARY = 0.05
TOLD_BACK = 0.2  # feedback per answer
APPENDED = 2_000  # events in one commit
ENRICHED = 20_000  # events between two ticks, and at most in one
SMALL = 100_000
BAR_MS = 50.0
WORDS = [f"word{number}" for number in range(2_000)]
PLANS = ("free", "free", "free", "pro", "pro", "team")
LOCALES = ("en", "de", "fr", "ja", "pt")


class History:
    """Thirty days of events, in order of time."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._dice = random.Random(5)
        self._texts = [" ".join(self._dice.choices(WORDS, k=35)) for _ in range(5_000)]
        self._late: list[tuple[datetime, int, Feedback]] = []
        self._count = 0

    def events(self) -> Iterator[Inference | Feedback]:
        """Yield answers, and feedback when its time has come; what would come after the end is left out."""
        dice, gap = self._dice, timedelta(days=DAYS) / self._rows
        names, weights = list(SHARES), list(SHARES.values())
        for number, feature in enumerate(dice.choices(names, weights, k=self._rows)):
            now = START + number * gap
            while self._late and self._late[0][0] <= now:
                yield heapq.heappop(self._late)[2]
            yield self._answer(feature, now)

    def _answer(self, feature: str, now: datetime) -> Inference:
        dice = self._dice
        version, bad = version_of(feature, now, canary=dice.random() < CANARY)
        user = f"user-{dice.randrange(50_000)}"
        answer = Inference(
            id=new_id(now),
            feature=feature,
            created_at=now,
            input=dice.choice(self._texts),
            output=dice.choice(self._texts),
            version_id=version,
            model="small-1",
            user_id=user,
            latency_ms=300 + 900 * dice.random(),
            input_tokens=80,
            output_tokens=120,
            cost_usd=0.0004,
            error="timeout" if dice.random() < 0.01 else None,
            profile=Profile(plan=dice.choice(PLANS), locale=dice.choice(LOCALES)),
        )
        if dice.random() < TOLD_BACK:
            at = now + timedelta(minutes=dice.expovariate(1 / 30))
            self._count += 1
            heapq.heappush(self._late, (at, self._count, self._word(answer, at, bad=dice.random() < bad)))
        return answer

    def _word(self, answer: Inference, at: datetime, *, bad: bool) -> Feedback:
        dice = self._dice
        (kind,) = dice.choices(list(KINDS), list(KINDS.values()))
        told: dict[str, Any] = {"kind": kind}
        if kind == "thumb":
            told["value"] = float(not bad)
        elif kind == "rating":
            told |= {"value": float(dice.choice((1, 2) if bad else (4, 5))), "best": 5.0}
        elif kind in ("comment", "correction"):
            told["text"] = dice.choice(self._texts)[:120]
        return Feedback(id=new_id(at), created_at=at, inference_id=answer.id, user_id=answer.user_id, **told)


def version_of(feature: str, now: datetime, *, canary: bool) -> tuple[str, float]:
    """Return a feature's version of the week, or for 5% of the answers the one to come, and its rate of bad answers."""
    week = (now - START).days // 7 + canary
    name = "v_" + hashlib.sha256(f"{feature} {week}".encode()).hexdigest()[:24]
    return name, 0.1 + 0.03 * week


def build(store: HotStore, rows: int, *, progress: bool) -> dict[str, float]:
    """Fill the store; return how long appending and enriching took, in seconds."""
    stage = EnrichStage(store, Settings(), batch_rows=ENRICHED)
    store.commit(
        {"default": Writes(features=[Redacted(Feature(name=name, created_at=START), "bench") for name in SHARES])}
    )
    spent = {"append_s": 0.0, "enrich_s": 0.0}
    began, done, lot, pending = time.monotonic(), 0, [], 0
    for event in History(rows).events():
        moment = event.created_at
        lot.append(Arrival("default", Redacted(event, "bench"), moment))
        if len(lot) < APPENDED:
            continue
        at = time.monotonic()
        store.append(lot)
        spent["append_s"] += time.monotonic() - at
        done, pending, lot = done + len(lot), pending + len(lot), []
        if pending >= ENRICHED:
            at, pending = time.monotonic(), 0
            while stage.tick(moment):
                pass
            spent["enrich_s"] += time.monotonic() - at
        if progress and done % 100_000 == 0:
            rate = done / (time.monotonic() - began)
            print(f"\r{done:>12,} of about {rows * (1 + TOLD_BACK):,.0f} events, {rate:,.0f}/s ", end="", flush=True)
    store.append(lot)
    while stage.tick(END):
        pass
    if progress:
        print()
    return {name: round(value, 1) for name, value in spent.items()}


class Asker:
    """A dashboard: the requests of each kind, and what they took."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._dice = random.Random(7)
        day = timedelta(days=1)
        self._day = {"since": told(END - day), "until": told(END)}
        self._month = {"since": told(END - DAYS * day), "until": told(END)}
        self._deep = self._cursors("/v1/inbox", {"limit": 1000}, pages=40)
        self._deep_version = self._cursors(
            "/v1/feedback", {"version_id": self._version("support", 0), "limit": 1000}, 10
        )
        said = self.ask("/v1/feedback", self._month | {"limit": 1000})["items"]
        self._said_of = [word["inference_id"] for word in said]

    def kinds(self) -> dict[str, Callable[[], tuple[str, dict[str, Any]]]]:
        """Return what is measured: a name, and what draws the next request."""
        dice, day, month = self._dice, self._day, self._month
        series = {"metric": "negative_rate", "step": "hour"}
        return {
            "negative rate per version and hour, 24 h": lambda: self._series(series | day | {"group_by": "version"}),
            "the same per plan": lambda: self._series(series | day | {"group_by": "plan"}),
            "negative rate per day, 30 d": lambda: self._series(series | month | {"step": "day"}),
            "overview, 24 h": lambda: ("/v1/overview", day),
            "overview, 30 d": lambda: ("/v1/overview", month),
            "inbox, first page": lambda: ("/v1/inbox", {"limit": 50}),
            "inbox, a deep page": lambda: ("/v1/inbox", {"limit": 50, "after": dice.choice(self._deep)}),
            "inbox of a version, corrections": lambda: (
                "/v1/inbox",
                {**self._any_version(), "feedback_kind": "correction", "limit": 50},
            ),
            "inbox of a feature, bad, last day": lambda: (
                "/v1/inbox",
                {"feature": self._feature(), "negative": "true", "limit": 50, **day},
            ),
            "feedback of a version": lambda: ("/v1/feedback", self._any_version()),
            "feedback of a version, a deep page": lambda: (
                "/v1/feedback",
                {"version_id": self._version("support", 0), "after": dice.choice(self._deep_version)},
            ),
            "feedback of a feature": lambda: ("/v1/feedback", {"feature": self._feature()}),
            "feedback of a past day": lambda: ("/v1/feedback", self._past_day()),
            "answers of a version": lambda: ("/v1/inferences", self._any_version()),
            "answers of a version that never was": lambda: ("/v1/inferences", {"version_id": "v_none"}),
            "answers of a past day": lambda: ("/v1/inferences", self._past_day()),
            "votes per version, 28 d": lambda: (
                "/v1/outcomes/summary",
                {"feature": self._feature(), "until": told(END)},
            ),
            "one answer with all that was said": lambda: (f"/v1/inferences/{dice.choice(self._said_of)}", {}),
        }

    def measure(self, requests: int) -> dict[str, dict[str, float]]:
        """Ask everything so often, in an order that is drawn; return milliseconds by kind."""
        kinds = self.kinds()
        turns = [name for name in kinds for _ in range(requests)]
        self._dice.shuffle(turns)
        for name in kinds:
            self.ask(*kinds[name]())  # the first of each opens connections and compiles statements
        took: dict[str, list[float]] = {name: [] for name in kinds}
        for name in turns:
            path, params = kinds[name]()
            at = time.perf_counter()
            self._client.get(path, params=params).raise_for_status()
            took[name].append(1000 * (time.perf_counter() - at))
        return {name: figures(each) for name, each in took.items()}

    def ask(self, path: str, params: dict[str, Any]) -> Any:
        """Return what the server answers."""
        return self._client.get(path, params=params).raise_for_status().json()

    def _series(self, params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return f"/v1/features/{self._feature()}/series", params

    def _feature(self) -> str:
        return self._dice.choice(list(SHARES))

    def _version(self, feature: str, week: int) -> str:
        return version_of(feature, START + timedelta(weeks=week), canary=False)[0]

    def _any_version(self) -> dict[str, Any]:
        """Return one that was served first, last, or as a canary only."""
        return {"version_id": self._version(self._feature(), self._dice.choice((0, 2, 4, 5)))}

    def _past_day(self) -> dict[str, Any]:
        since = START + timedelta(hours=self._dice.randrange(24 * (DAYS - 1)))
        return {"since": told(since), "until": told(since + timedelta(days=1))}

    def _cursors(self, path: str, params: dict[str, Any], pages: int) -> list[str]:
        found: list[str] = []
        for _ in range(pages):
            after = self.ask(path, params | ({"after": found[-1]} if found else {}))["next"]
            if after is None:
                break
            found.append(after)
        return found or ["0"]


def told(moment: datetime) -> str:
    """Return a time as the API takes it."""
    return moment.isoformat()


def figures(took: list[float]) -> dict[str, float]:
    """Return median, 95th percentile and maximum."""
    ordered = sorted(took)
    return {
        "n": len(ordered),
        "p50_ms": round(ordered[len(ordered) // 2], 2),
        "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 2),
        "max_ms": round(ordered[-1], 2),
    }


def run(rows: int, requests: int, folder: Path, server: PostgresServer | None) -> dict[str, Any]:
    """Build what is not built yet, and measure."""
    url = "" if server is None else server.database()
    environ, storage = {"TRIMTAB_STORAGE__URL": url}, Storage(path=str(folder), url=url)
    built = folder / "built.json"
    folder.mkdir(parents=True, exist_ok=True)
    store = open_store(Settings(storage=storage))
    try:
        if server is not None or not built.exists():
            spent = build(store, rows, progress=True)
            built.write_text(json.dumps({"rows": rows, **spent}))
        key = mint("read", "default", "bench", END, origins=[])
        store.commit({"default": Writes(keys=[Redacted(key.key, "bench")])})
    finally:
        store.close()
    if server is not None:
        server.execute("VACUUM ANALYZE", url)
    serving = ServerProcess(folder, environ, now=END)
    serving.start()
    try:
        with httpx.Client(
            base_url=serving.url, headers={"Authorization": f"Bearer {key.secret}"}, timeout=600
        ) as client:
            measured = Asker(client).measure(requests)
    finally:
        serving.stop()
    size = sum(file.stat().st_size for file in folder.glob("trimtab.db*"))
    if server is not None:
        [(size,)] = server.execute("SELECT pg_database_size(current_database())", url)
    return {**json.loads(built.read_text()), "bytes": size, "queries": measured}


def page(before: dict[str, Any], runs: list[dict[str, Any]], backend: str) -> str:
    """Return the table."""
    heads = [f"p50 at {one['rows']:,} | p95 | max" for one in runs]
    lines = [
        f"# Queries over HTTP, {backend}",
        "",
        "Made by `python benches/bench_queries.py`; milliseconds, one request at a time. The head counts answers; a",
        f"fifth as much feedback comes on top. {', '.join(f'{key} {value}' for key, value in before.items())}.",
        "",
        "| what | " + " | ".join(heads) + " | p95 <= 50 ms |",
        "|---|" + "---:|" * (3 * len(runs)) + "---|",
    ]
    for name in runs[0]["queries"]:
        cells = [f"{one['queries'][name][key]:.1f}" for one in runs for key in ("p50_ms", "p95_ms", "max_ms")]
        held = all(one["queries"][name]["p95_ms"] <= BAR_MS for one in runs)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {'yes' if held else '**no**'} |")
    built = [
        f"{one['rows']:,} answers: {one['append_s']:,.0f} s of appending, {one['enrich_s']:,.0f} s of enriching, "
        f"{one['bytes'] / 1e9:.1f} GB"
        for one in runs
    ]
    asked = runs[0]["queries"][next(iter(runs[0]["queries"]))]["n"]
    return "\n".join([*lines, "", f"{asked} requests of each kind. Built: {'; '.join(built)}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=5_000_000, help="answers; a fifth as much feedback comes on top")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--keep", type=Path, help="build there, or use what was built there (SQLite only)")
    asked = parser.parse_args()
    before = machine()
    runs = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres_server(durable=True)) if asked.postgres else None
        home = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trimtab-queries-")))
        for rows in dict.fromkeys((min(SMALL, asked.rows), asked.rows)):
            folder = home / f"{'postgres' if server else 'sqlite'}-{rows}"
            runs.append(run(rows, asked.requests, folder, server))
    backend = "PostgreSQL" if asked.postgres else "SQLite"
    table = page(before, runs, backend)
    print(table)
    name = "queries_postgres" if asked.postgres else "queries"
    results = ROOT / "benches" / "results"
    (results / f"{name}.md").write_text(table, encoding="utf-8")
    told_ = {**before, "backend": backend, "days": DAYS, "runs": runs}
    (results / f"{name}.json").write_text(json.dumps(told_, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
