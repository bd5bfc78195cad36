"""Which likeness of two texts tells best that one says the other again, and from which value on.

Three sets of pairs, read from TRIMTAB_DATA: consecutive turns of real chats, labelled by one reader (RealHumanEval;
the labels are in rephrase_labels.json); two wordings of one intent against two intents (CLINC150); and the same against
two intents of one domain. The LSA spaces are fitted on texts that are in no pair.

    python benches/bench_rephrase.py [--pairs N] [--seed N]
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import os
import random
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE.parent)]

from benches.machine import machine  # noqa: E402 found by the line above, from wherever it is run
from trimtab.embed.lexical import LexicalEmbedder  # noqa: E402
from trimtab.embed.lsa import fit_lsa  # noqa: E402
from trimtab.embed.port import Embedder  # noqa: E402

RESULTS = HERE / "results"
DESIGN = 0.85  # the threshold the design supposed
RESAMPLES = 400

Floats = NDArray[np.float64]
Likeness = Callable[[Sequence[str], Sequence[str]], Floats]


class Pair(NamedTuple):
    """Two texts; `again` says that the second asks for what the first asked for."""

    first: str
    second: str
    again: bool


def data_folder() -> Path:
    """Return the folder of data sets."""
    return Path(os.environ.get("TRIMTAB_DATA") or HERE.parents[1] / "shared" / "data")


def chat_turns(folder: Path) -> dict[int, str]:
    """Return the last user turn of each of RealHumanEval's requests, by row."""
    csv.field_size_limit(sys.maxsize)
    turns = {}
    with (folder / "realhumaneval" / "chat_data.csv").open(encoding="utf-8") as lines:
        for row, record in enumerate(csv.DictReader(lines)):
            said = [turn["content"] for turn in ast.literal_eval(record["request"]) if turn.get("role") == "user"]
            if said:
                turns[row] = said[-1]
    return turns


def chat_pairs(folder: Path) -> tuple[list[Pair], list[str]]:
    """Return the labelled pairs of turns, and the turns that are in none of them."""
    turns = chat_turns(folder)
    labels = json.loads((HERE / "rephrase_labels.json").read_text("utf-8"))
    pairs = [
        Pair(turns[first], turns[second], kind == "rephrase")
        for kind in ("rephrase", "other")
        for first, second in labels[kind]
    ]
    used = {text for pair in pairs for text in pair[:2]}
    return pairs, [text for text in turns.values() if text not in used]


def intent_pairs(folder: Path, count: int, dice: random.Random) -> tuple[list[Pair], list[Pair], list[str]]:
    """Return pairs against any other intent, pairs against one of the same domain, and the texts for fitting."""
    splits = json.loads((folder / "clinc150" / "data_full.json").read_text("utf-8"))
    domains: dict[str, list[str]] = json.loads((folder / "clinc150" / "domains.json").read_text("utf-8"))
    domain_of = {intent: domain for domain, intents in domains.items() for intent in intents}
    texts: dict[str, list[str]] = {}
    for split in ("val", "test"):
        for text, intent in splits[split]:
            texts.setdefault(intent, []).append(text)
    intents = sorted(texts)
    same = [_pair(dice.sample(texts[intent], 2)) for intent in dice.choices(intents, k=count)]

    def other(intent: str, among: Sequence[str]) -> Pair:
        away = dice.choice([name for name in among if name != intent])
        return Pair(dice.choice(texts[intent]), dice.choice(texts[away]), again=False)

    far = [other(intent, intents) for intent in dice.choices(intents, k=count)]
    domain_mates = {name: [one for one in intents if domain_of.get(one) == domain_of.get(name)] for name in intents}
    near = [other(intent, domain_mates[intent]) for intent in dice.choices(intents, k=count)]
    return same + far, same + near, [text for text, _ in splits["train"]]


def _pair(texts: Sequence[str]) -> Pair:
    return Pair(texts[0], texts[1], again=True)


def overlap(first: Sequence[str], second: Sequence[str]) -> Floats:
    """Return words in both over words in either (Jaccard)."""
    bags = [[set(re.findall(r"\w+", text.lower())) for text in texts] for texts in (first, second)]
    return np.array([len(one & two) / max(len(one | two), 1) for one, two in zip(*bags, strict=True)])


def cosine(embedder: Embedder) -> Likeness:
    """Return the likeness by an embedder."""
    return lambda first, second: np.einsum("nd,nd->n", embedder.embed(first), embedder.embed(second)).astype(np.float64)


def auc(scores: Floats, again: NDArray[np.bool_]) -> float:
    """Return the chance that a rephrased pair scores above another one, ties half (Mann-Whitney)."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives = int(again.sum())
    return float((ranks[again].sum() - positives * (positives + 1) / 2) / (positives * (~again).sum()))


def at(scores: Floats, again: NDArray[np.bool_], threshold: float) -> dict[str, float]:
    """Return precision, recall and the share of other pairs taken for rephrased, from `threshold` on."""
    taken = scores >= threshold
    found = int((taken & again).sum())
    return {
        "threshold": round(threshold, 3),
        "precision": round(found / max(int(taken.sum()), 1), 3),
        "recall": round(found / int(again.sum()), 3),
        "false_share": round(float((taken & ~again).sum() / (~again).sum()), 4),
    }


def measure(name: str, scores: Floats, pairs: Sequence[Pair], seed: int) -> dict[str, Any]:
    """Return a row: AUC with a bootstrap interval, precision and recall at the thresholds of interest."""
    again = np.array([pair.again for pair in pairs])
    places = np.random.default_rng(seed)
    positive, negative = np.flatnonzero(again), np.flatnonzero(~again)
    resampled = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([places.choice(positive, len(positive)), places.choice(negative, len(negative))])
        resampled.append(auc(scores[chosen], again[chosen]))
    steps = [round(step * 0.05, 2) for step in range(2, 20)]
    ways = [at(scores, again, step) for step in steps]

    def f1(way: dict[str, float]) -> float:
        return 2 * way["precision"] * way["recall"] / max(way["precision"] + way["recall"], 1e-9)

    low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "likeness": name,
        "auc": round(auc(scores, again), 3),
        "auc_95": [round(float(low), 3), round(float(high), 3)],
        "at_design": at(scores, again, DESIGN),
        "best_f1": max(ways, key=f1),
        "all": ways,
    }


def table(told: dict[str, Any]) -> str:
    """Return one set's rows as Markdown."""

    def cell(way: dict[str, float]) -> str:
        return f"{way['precision']:.2f} / {way['recall']:.2f} / {way['false_share']:.3f}"

    lines = [
        f"| likeness | AUC (95%) | at {DESIGN}: precision / recall / false | best F1 at | precision / recall / false |",
        "|---|---|---|---:|---|",
    ]
    for row in told["rows"]:
        best = row["best_f1"]
        low, high = row["auc_95"]
        lines.append(
            f"| {row['likeness']} | {row['auc']:.3f} ({low:.3f}-{high:.3f}) | {cell(row['at_design'])} "
            f"| {best['threshold']:.2f} | {cell(best)} |"
        )
    return f"## {told['set']}\n\n{told['rephrased']} rephrased, {told['others']} others.\n\n" + "\n".join(lines) + "\n"


def main() -> int:
    """Measure, print, and write rephrase.json and rephrase.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=4000, help="CLINC150 pairs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = data_folder()
    if not folder.is_dir():
        print(f"no data at {folder}; set TRIMTAB_DATA. Nothing measured.")
        return 0
    ran_on = machine()
    chats, chat_rest = chat_pairs(folder)
    far, near, intent_rest = intent_pairs(folder, options.pairs, random.Random(options.seed))
    sets = (
        ("Real chats: consecutive turns, labelled by one reader (RealHumanEval)", chats, chat_rest),
        ("Two wordings of one intent, against another intent (CLINC150)", far, intent_rest),
        ("The same, against another intent of the same domain (CLINC150)", near, intent_rest),
    )
    told = []
    for name, pairs, rest in sets:
        ways: dict[str, Likeness] = {"words in common": overlap, "lexical": cosine(LexicalEmbedder())}
        for features in (20_000, 60_000):
            ways[f"LSA, {features:,} features each"] = cosine(fit_lsa(rest, max_features=features))
        first, second = [pair.first for pair in pairs], [pair.second for pair in pairs]
        rows = [measure(way, likeness(first, second), pairs, options.seed) for way, likeness in ways.items()]
        again = sum(pair.again for pair in pairs)
        told.append(
            {"set": name, "rephrased": again, "others": len(pairs) - again, "fit_texts": len(set(rest)), "rows": rows}
        )
    head = (
        "# Which likeness tells a rephrased turn\n\nMade by `python benches/bench_rephrase.py` "
        f"(seed {options.seed}; Python {ran_on['python']}).\n"
        "`false` is the share of other pairs taken for rephrased.\n\n"
    )
    page = head + "\n".join(map(table, told))
    print(page)
    (RESULTS / "rephrase.md").write_text(page, "utf-8")
    (RESULTS / "rephrase.json").write_text(
        json.dumps({"seed": options.seed, "machine": ran_on, "sets": told}, indent=1) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
