"""Topics against what people really asked: purity, adjusted Rand index, coverage and seconds.

Run: `PYTHONPATH=src python benches/bench_topics.py`. Needs CLINC150 (`$TRIMTAB_DATA`): utterances of 150 intents, 150
each. Each row takes so many intents at random, embeds their utterances in a space fitted on them, and compares the
topics found with the intents: purity is the share of texts in topics that are of their topic's commonest intent; the
adjusted Rand index is 1 for the same grouping and 0 for one by chance; covered is the share of texts that belong to a
topic, and "ARI" is over those, "ARI, all" over all with the outliers as one more group. Medians over seeds. The last
row is all 150 intents, 22,500 texts: how long a nightly run takes, and where this method ends.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benches.machine import machine  # noqa: E402
from trimtab.detect.topics import OUTLIER, Said, find_topics  # noqa: E402
from trimtab.embed.lsa import fit_lsa  # noqa: E402
from trimtab.ids import derived_id  # noqa: E402

DATA = Path(os.environ.get("TRIMTAB_DATA") or HERE.parents[1] / "shared" / "data") / "clinc150" / "data_full.json"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def utterances() -> dict[str, list[str]]:
    """Return the utterances of each intent."""
    found: dict[str, list[str]] = {}
    for part in json.loads(DATA.read_text("utf-8")).values():
        for text, intent in part:
            found.setdefault(intent, []).append(text)
    return {intent: found[intent] for intent in sorted(found) if intent != "oos"}


def measure(by_intent: dict[str, list[str]], count: int, seed: int) -> dict[str, float]:
    """Find the topics of `count` intents and compare."""
    dice = random.Random(seed)
    chosen = dice.sample(sorted(by_intent), count)
    pairs = [(text, number) for number, intent in enumerate(chosen) for text in by_intent[intent]]
    dice.shuffle(pairs)
    said = [
        Said(
            derived_id("bench", str(place)),
            text,
            f"user-{dice.randrange(len(pairs))}",
            NOW - timedelta(hours=place % 800),
        )
        for place, (text, _) in enumerate(pairs)
    ]
    embedder = fit_lsa([text for text, _ in pairs])
    vectors = embedder.embed([text for text, _ in pairs])
    began = time.perf_counter()
    survey = find_topics(said, vectors, feature="bench", space=embedder.space, now=NOW)
    seconds = time.perf_counter() - began
    truth = np.array([number for _, number in pairs])
    inside = survey.members != OUTLIER
    right = sum(np.bincount(truth[survey.members == each]).max() for each in range(len(survey.topics)))
    return {
        "intents": count,
        "texts": len(pairs),
        "topics": len(survey.topics),
        "covered": float(inside.mean()),
        "purity": float(right / max(1, inside.sum())),
        "ari": float(adjusted_rand_score(truth[inside], survey.members[inside])),
        "ari_all": float(adjusted_rand_score(truth, survey.members)),
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--intents", type=int, nargs="*", default=[10, 20, 40, 150])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "topics.json")
    told = parser.parse_args()
    where, by_intent = machine(), utterances()
    print(f"{'intents':>8}{'texts':>8}{'topics':>8}{'covered':>9}{'purity':>8}{'ARI':>7}{'ARI, all':>10}{'seconds':>9}")
    rows = []
    for count in told.intents:
        runs = [measure(by_intent, count, seed) for seed in range(1 if count == len(by_intent) else told.seeds)]
        row = {name: float(np.median([run[name] for run in runs])) for name in runs[0]}
        rows.append(row)
        print(
            f"{row['intents']:>8.0f}{row['texts']:>8,.0f}{row['topics']:>8.0f}{row['covered']:>9.2f}"
            f"{row['purity']:>8.2f}{row['ari']:>7.2f}{row['ari_all']:>10.2f}{row['seconds']:>9.1f}",
            flush=True,
        )
    told.out.write_text(json.dumps({"machine": where, "seeds": told.seeds, "rows": rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
