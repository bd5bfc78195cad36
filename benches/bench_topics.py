"""Topics against what people really asked: how well they agree, how long it takes, and what is called news.

Run: `PYTHONPATH=src python benches/bench_topics.py`. Needs CLINC150 (`$TRIMTAB_DATA`): utterances of 150 intents. Each
row takes so many intents at random, embeds their utterances in a space fitted on them, and compares the topics found
with the intents. Purity is the share of texts in topics that are of their topic's commonest intent; the adjusted Rand
index is 1 for the same grouping and 0 for one by chance; covered is the share of texts that belong to a topic. "ARI" is
over those, "ARI, all" and "NMI" (normalised mutual information) over all, with the outliers as one more group. Medians
over seeds. Beside them stands k-means on the same vectors, told the number of intents, as nobody could tell it in life.
The last row is all 150 intents, 22,500 texts: how long a nightly run takes, and where this method ends.

Then worlds of four weeks whose truth is known: people say utterances of ten intents, some people often and most once,
and nothing changes; in how many worlds is any topic called emerging? By a chance draw of each person's texts, as it is
done, and by their first texts. And worlds in which an eleventh intent begins in the last week: in how many is it found
and called emerging?
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import hypergeom
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benches.machine import machine  # noqa: E402
from trimtab.detect.topics import OUTLIER, Said, TopicRules, find_topics  # noqa: E402
from trimtab.embed.lsa import fit_lsa  # noqa: E402
from trimtab.ids import derived_id  # noqa: E402
from trimtab.stats.holm import holm  # noqa: E402

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
        "nmi": float(normalized_mutual_info_score(truth, survey.members)),
        "seconds": seconds,
        **told_the_number(vectors, truth, count),
    }


def told_the_number(vectors: Any, truth: Any, count: int) -> dict[str, float]:
    """Return how k-means does that knows how many intents there are."""
    members = KMeans(count, n_init=1, random_state=0).fit_predict(vectors)
    right = sum(np.bincount(truth[members == each]).max() for each in range(count))
    return {
        "kmeans_purity": float(right / len(truth)),
        "kmeans_ari": float(adjusted_rand_score(truth, members)),
        "kmeans_nmi": float(normalized_mutual_info_score(truth, members)),
    }


WEEK = timedelta(days=7)
RULES = TopicRules(recent=WEEK, before=3 * WEEK)


def world(by_intent: dict[str, list[str]], seed: int, *, planted: int) -> tuple[list[Said], set[str]]:
    """Return four weeks of words on ten intents, and of `planted` people's on an eleventh in the last; its ids too.

    People of an intent either come back (12 people say it all) or do not (each text has its own).
    """
    dice = random.Random(f"world {seed}")
    chosen = dice.sample(sorted(by_intent), 11)
    said, new = [], set()
    for number, intent in enumerate(chosen):
        last = number == 10
        texts = dice.sample(by_intent[intent], planted if last else dice.randrange(40, 150))
        people = 12 if number % 2 and not last else 10_000
        for place, text in enumerate(texts):
            at = NOW - timedelta(days=dice.uniform(0, 7 if last else 28))
            said.append(Said(derived_id(str(seed), intent, str(place)), text, f"{number}-{dice.randrange(people)}", at))
            if last:
                new.add(said[-1].id)
    return said, new


def first_texts(said: list[Said], members: Any, topics: int) -> list[float]:
    """Return the p-values of Fisher's test by each person's first text of a topic."""
    firsts: dict[tuple[int, str], datetime] = {}
    for item, member in zip(said, members.tolist(), strict=True):
        key = (member, item.user_id or item.id)
        firsts[key] = min(firsts.get(key, item.created_at), item.created_at)
    all_of = Counter(member for member, _ in firsts)
    late = Counter(member for (member, _), at in firsts.items() if at > NOW - WEEK)
    total, recent = all_of.total(), late.total()
    return [float(hypergeom.sf(late[each] - 1, total, recent, all_of[each])) for each in range(topics)]


def news(by_intent: dict[str, list[str]], worlds: int, *, planted: int) -> dict[str, float]:
    """Return in what share of worlds something was called emerging, and the planted intent was."""
    alarms = by_first = found = 0
    for seed in range(worlds):
        said, new = world(by_intent, seed, planted=planted)
        embedder = fit_lsa([item.text for item in said])
        vectors = embedder.embed([item.text for item in said])
        survey = find_topics(said, vectors, feature=None, space=embedder.space, now=NOW, rules=RULES)
        emerging = {place for place, topic in enumerate(survey.topics) if topic.emerging}
        theirs = {
            place
            for place in emerging
            if sum(item.id in new for item, m in zip(said, survey.members, strict=True) if m == place)
            > survey.topics[place].size / 2
        }
        found += bool(theirs)
        alarms += bool(emerging - theirs)
        by_first += min(holm(first_texts(said, survey.members, len(survey.topics))), default=1.0) <= 0.05
    return {
        "planted": planted,
        "worlds": worlds,
        "false": alarms / worlds,
        "first": by_first / worlds,
        "found": found / worlds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--intents", type=int, nargs="*", default=[10, 20, 40, 150])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--worlds", type=int, default=300)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "topics.json")
    told = parser.parse_args()
    where, by_intent = machine(), utterances()
    print(
        f"{'intents':>8}{'texts':>8}{'topics':>8}{'covered':>9}{'purity':>8}{'ARI':>7}{'ARI, all':>10}{'NMI':>6}"
        f"{'seconds':>9}{'| k-means: purity':>19}{'ARI':>6}{'NMI':>6}"
    )
    rows = []
    for count in told.intents:
        runs = [measure(by_intent, count, seed) for seed in range(1 if count == len(by_intent) else told.seeds)]
        row = {name: float(np.median([run[name] for run in runs])) for name in runs[0]}
        rows.append(row)
        print(
            f"{row['intents']:>8.0f}{row['texts']:>8,.0f}{row['topics']:>8.0f}{row['covered']:>9.2f}"
            f"{row['purity']:>8.2f}{row['ari']:>7.2f}{row['ari_all']:>10.2f}{row['nmi']:>6.2f}{row['seconds']:>9.1f}"
            f"{row['kmeans_purity']:>19.2f}{row['kmeans_ari']:>6.2f}{row['kmeans_nmi']:>6.2f}",
            flush=True,
        )
    print(f"\n{'planted':>8}{'worlds':>8}{'others emerging':>17}{'by first texts':>16}{'planted found':>15}")
    worlds = []
    for planted in (0, 15, 25, 40):
        count = told.worlds if planted == 0 else told.worlds // 3
        row = news(by_intent, count, planted=planted)
        worlds.append(row)
        print(
            f"{planted:>8}{count:>8}{row['false']:>17.3f}{row['first'] if not planted else float('nan'):>16.3f}"
            f"{row['found']:>15.2f}",
            flush=True,
        )
    result = {"machine": where, "seeds": told.seeds, "rows": rows, "worlds": worlds}
    told.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
