"""What embedding costs, and how well a space's unknown words tell that it is out of date.

Texts are CLINC150's, read from TRIMTAB_DATA: 23,700 requests of about 40 characters. Speeds are texts per second of one
thread's processor time, measured in turn, so that their ratios hold where the figures do not.

    python benches/bench_embed.py [--rounds N] [--seed N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent)]

from threadpoolctl import threadpool_limits  # noqa: E402 found by the line above, from wherever it is run

from benches.machine import machine  # noqa: E402
from trimtab.embed.lexical import LexicalEmbedder  # noqa: E402
from trimtab.embed.lsa import LsaEmbedder, fit_lsa  # noqa: E402
from trimtab.embed.saved import load_lsa, save_lsa  # noqa: E402
from trimtab.enrich.space import unknown_expected, unknown_share  # noqa: E402

RESULTS = HERE / "results"
FIT_TEXTS = 20_000
ABOVE = 0.05  # what trimtab.enrich.space takes for out of date
Rows = list[list[str]]


def data_folder() -> Path:
    """Return the folder of data sets."""
    return Path(os.environ.get("TRIMTAB_DATA") or HERE.parents[1] / "shared" / "data")


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of this thread's processor time that `work` took."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def speeds(texts: list[str], spaces: dict[str, LsaEmbedder], rounds: int) -> tuple[Rows, dict[str, Any]]:
    """Return texts a second, in one batch and as pairs one by one, and each round's ratio to the first LSA space."""
    embedders = {"lexical": LexicalEmbedder(), **spaces}
    pairs = list(zip(texts[0:600:2], texts[1:600:2], strict=True))
    batch: dict[str, list[float]] = {name: [] for name in embedders}
    single: dict[str, list[float]] = {name: [] for name in embedders}
    for _ in range(rounds):
        for name, embedder in embedders.items():
            batch[name].append(len(texts) / timed(lambda one=embedder: one.embed(texts)))  # type: ignore[misc]
            single[name].append(
                timed(lambda one=embedder: [one.embed(pair) for pair in pairs]) / len(pairs) * 1e6  # type: ignore[misc]
            )
    yardstick = next(iter(spaces))
    rows = []
    for name in embedders:
        ratios = [mine / other for mine, other in zip(batch[name], batch[yardstick], strict=True)]
        low, high = min(batch[name]), max(batch[name])
        rows.append(
            [
                name,
                f"{statistics.median(batch[name]):,.0f}/s",
                f"{low:,.0f}-{high:,.0f}",
                f"{statistics.median(ratios):.2f}",
                f"{statistics.median(single[name]):,.0f} us",
            ]
        )
    return rows, {"texts_per_s": batch, "us_per_pair": single}


def costs(spaces: dict[str, LsaEmbedder], fit_s: dict[str, float]) -> Rows:
    """Return what a space costs to fit, to keep and to load."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, space in spaces.items():
            file = Path(folder) / "one.space"
            save_s = timed(lambda one=space, to=file: save_lsa(one, to))  # type: ignore[misc]
            load_s = timed(lambda of=file: load_lsa(of))  # type: ignore[misc]
            size = file.stat().st_size / 1e6
            rows.append([name, f"{fit_s[name]:.1f} s", f"{size:.0f} MB", f"{save_s:.2f} s", f"{load_s:.2f} s"])
    return rows


def imports() -> Rows:
    """Return how long a fresh interpreter takes to import each part, and what it then holds."""
    rows = []
    for module in ("trimtab.embed.port", "trimtab.embed.lexical", "trimtab.enrich.space", "trimtab.embed.lsa"):
        code = (
            f"import time, pathlib; t = time.perf_counter(); import {module}; t = time.perf_counter() - t; "
            "print(t, pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
        )
        told = [
            subprocess.run(
                [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(HERE.parent / "src")},
                capture_output=True, text=True, check=True,
            ).stdout.split()
            for _ in range(5)
        ]  # fmt: skip
        seconds, memory = (statistics.median(float(one[place]) for one in told) for place in (0, 1))
        rows.append([module, f"{seconds * 1000:.0f} ms", f"{memory / 1024:.0f} MB"])
    return rows


def unknown(folder: Path, dice: random.Random) -> tuple[Rows, list[dict[str, Any]]]:
    """Return, over CLINC150's ten domains, the share of unknown words in more of the same and in a domain left out."""
    splits = json.loads((folder / "clinc150" / "data_full.json").read_text("utf-8"))
    domains: dict[str, list[str]] = json.loads((folder / "clinc150" / "domains.json").read_text("utf-8"))
    texts: dict[str, list[str]] = {name: [] for name in domains}
    domain_of = {intent: domain for domain, intents in domains.items() for intent in intents}
    for split in ("train", "val", "test"):
        for text, intent in splits[split]:
            texts[domain_of[intent]].append(text)
    rows, told = [], []
    for size in (200, 500, 2000, 10_000):
        shares: dict[str, list[float]] = {"expected": [], "same": [], "half": [], "other": []}
        for left_out in sorted(domains):
            rest = [text for name in sorted(domains) if name != left_out for text in texts[name]]
            dice.shuffle(rest)
            fitted, more = rest[:size], rest[size : size + 400]
            other = dice.sample(texts[left_out], 400)
            space = fit_lsa(fitted, max_features=20_000, dimensions=8)
            shares["expected"].append(unknown_expected(space.knows, fitted))
            shares["same"].append(unknown_share(space.knows, more))
            shares["half"].append(unknown_share(space.knows, [*more[:200], *other[:200]]))
            shares["other"].append(unknown_share(space.knows, other))
        over = {
            name: sum(share > base + ABOVE for share, base in zip(shares[name], shares["expected"], strict=True))
            for name in ("same", "half", "other")
        }
        rows.append(
            [
                f"{size:,}",
                f"{statistics.mean(shares['expected']):.3f}",
                *(f"{statistics.mean(shares[name]):.3f} ({over[name]} of 10)" for name in over),
            ]
        )
        told.append({"texts": size, "shares": shares, "fitted_again": over})
    return rows, told


def table(head: list[str], rows: Rows) -> str:
    """Return a Markdown table."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main() -> int:
    """Measure, print, and write embed.json and embed.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = data_folder()
    if not folder.is_dir():
        print(f"no data at {folder}; set TRIMTAB_DATA. Nothing measured.")
        return 0
    ran_on = machine()
    splits = json.loads((folder / "clinc150" / "data_full.json").read_text("utf-8"))
    texts = [text for split in splits.values() for text, _ in split]
    random.Random(options.seed).shuffle(texts)
    spaces, fit_s = {}, {}
    with threadpool_limits(limits=1):
        for features in (20_000, 60_000):
            name = f"LSA, {features:,} features each"
            started = time.thread_time()
            spaces[name] = fit_lsa(texts[:FIT_TEXTS], max_features=features)
            fit_s[name] = time.thread_time() - started
        speed_rows, raw = speeds(texts, spaces, options.rounds)
        cost_rows = costs(spaces, fit_s)
        unknown_rows, unknown_told = unknown(folder, random.Random(options.seed))
    head = (
        f"# Embedding\n\nMade by `python benches/bench_embed.py` (seed {options.seed}; {options.rounds} rounds; Python "
        f"{ran_on['python']}; one thread's processor time). {len(texts):,} texts of "
        f"{statistics.mean(map(len, texts)):.0f} characters.\n"
    )
    parts = [
        ("Speed", table(["embedder", "in one batch", "range", "to the first LSA", "a pair, alone"], speed_rows)),
        (f"A space of {FIT_TEXTS:,} texts", table(["space", "fit", "file", "save", "load"], cost_rows)),
        ("Imports", table(["module", "time", "memory of the process"], imports())),
        (
            "Unknown words: mean share, and how often it is 0.05 above the expected",
            table(["fitted on", "expected", "400 more", "200 more, 200 of a new domain", "400 of it"], unknown_rows),
        ),
    ]
    page = head + "".join(f"\n## {title}\n\n{text}" for title, text in parts)
    print(page)
    (RESULTS / "embed.md").write_text(page, "utf-8")
    told = {"seed": options.seed, "machine": ran_on, "speed": raw, "fit_s": fit_s, "unknown": unknown_told}
    (RESULTS / "embed.json").write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
