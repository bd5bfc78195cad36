"""Real chats through the real engine: which signals it finds in them, and what these can and cannot tell.

Needs RealHumanEval (`$TRIMTAB_DATA/realhumaneval/chat_data.csv`, by default `../shared/data` beside the checkout; CC0):
107 programmers, four models, and what they copied. No word of it is written anywhere: answers are named by their row in
the file. Prints tables and writes `results/realhumaneval.md` and `results/realhumaneval.json`.

    python benches/bench_realhumaneval.py [--out DIR]
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benches.machine import machine
from trimtab.clock import SetClock
from trimtab.config import Settings, Signals, Storage
from trimtab.enrich.signals.likeness import Spelling
from trimtab.enrich.signals.session import heard
from trimtab.enrich.signals.turn import turn_of
from trimtab.enrich.signals.wording import tone_of
from trimtab.ids import derived_id
from trimtab.records import Feedback, Inference, Outcome
from trimtab.runtime.assemble import Engine, assemble
from trimtab.stats.interval import wilson

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("TRIMTAB_DATA", HERE.parent / ".." / "shared" / "data"))
LABELS = HERE / "realhumaneval_labels.json"
MATERIAL = HERE.parent / "tests" / "unit" / "enrich" / "signals" / "tone"
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
LIMIT = 500
DRAWS = 2000
FROM_SESSIONS = ("objection", "thanks", "regenerate", "rephrase", "abandon")
LIMITS = """
What this can say: which signals the engine finds in chats of people who did not know of it, how many of those a reader
agrees with, and how they go together with two things that people did.

What it cannot say:

- **Whether an answer was good.** There are no votes and no judged answers in this data. `p_bad` rests on assumed
  weights; nothing here calibrates it, so every outcome is marked uncalibrated and would trigger nothing.
- **Copying is not quality.** The authors of the data report that copying does not go with solving tasks; many a chat
  asks for an explanation, in which there is nothing to copy. An AUC against it shows at most that signs are not noise.
- **Moving on is partly the same thing.** Whoever asks again has not moved on, by definition. That AUC is an upper
  bound for what it seems to show.
- **Recall is measured among near requests only**: pairs of neighbouring requests that look alike to a wide net. A
  rephrase in wholly other words is in neither column; objections that were missed were looked for by key words. Labels
  are one reader's, and rule, threshold and lists were chosen with them in sight: on other chats expect less.
- The chats are English, about 17 short tasks, in a study that paid its people: no other product is like it.
"""


class Chat(NamedTuple):
    """One row of the data: `task` and `moved_on` are not shown to the engine."""

    row: int
    inference: Inference
    copies: int
    task: str
    moved_on: bool


def read(path: Path) -> list[Chat]:
    """Return every chat in which something was asked; each person is one session, an hour and a day from the next."""
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    last = {(row["programmer_id"], row["task_name"]): number for number, row in enumerate(rows)}
    people = {person: place for place, person in enumerate(dict.fromkeys(row["programmer_id"] for row in rows))}
    chats = []
    for number, row in enumerate(rows):
        messages = ast.literal_eval(row["request"])
        if not any(message["role"] == "user" for message in messages):
            continue
        person = row["programmer_id"]
        at = START + timedelta(hours=3 * people[person], seconds=float(row["timestamp"]))
        inference = Inference(
            id=derived_id("realhumaneval", str(number)),
            feature="code-chat",
            created_at=at,
            input=messages,
            output=row["response"],
            model=row["model"].replace(" ", "").replace("(chat)", ""),
            version_id=row["model"].replace(" ", "").replace("(chat)", ""),
            session_id=f"session-{person}",
            user_id=f"programmer-{person}",
        )
        copies = len(ast.literal_eval(row["copy_events"]))
        moved_on = last[person, row["task_name"]] == number
        chats.append(Chat(number, inference, copies, row["task_name"], moved_on))
    return chats


def send(engine: Engine, chats: Sequence[Chat]) -> int:
    """Send everything as an app would and return how many events were taken; the copied text stays out."""
    events: list[Inference | Feedback] = [chat.inference for chat in chats]
    events += [
        Feedback(
            id=derived_id("copy", str(chat.row)),
            kind="copy",
            created_at=chat.inference.created_at + timedelta(seconds=1),
            inference_id=chat.inference.id,
            user_id=chat.inference.user_id,
        )
        for chat in chats
        if chat.copies
    ]
    taken = 0
    for start in range(0, len(events), LIMIT):
        receipt = engine.intake.accept_now("default", msgspec.json.encode(events[start : start + LIMIT]))
        taken += receipt.accepted
    return taken


def through(chats: Sequence[Chat]) -> tuple[dict[int, Outcome], dict[str, float]]:
    """Run the chats through an engine and return the outcomes by row, and what it took."""
    with tempfile.TemporaryDirectory() as folder:
        clock = SetClock(START)
        settings = Settings(storage=Storage(path=folder))
        with assemble(settings, clock=clock, inline_runs=True) as engine:
            clock.set(max(chat.inference.created_at for chat in chats) + timedelta(days=1))
            began = time.perf_counter()
            taken = send(engine, chats)
            sent = time.perf_counter()
            while engine.stages[0].tick(clock.now()):
                pass
            done = time.perf_counter()
            ids = {chat.inference.id: chat.row for chat in chats}
            outcomes = engine.store.outcomes("default", list(ids))
    took = {"events": taken, "ingest_s": sent - began, "enrich_s": done - sent}
    return {ids[each]: outcome for each, outcome in outcomes.items()}, took


def signals(chats: Sequence[Chat], outcomes: dict[int, Outcome]) -> dict[str, list[dict[str, Any]]]:
    """Return what was found, by kind: the row it is about, the row it was heard in, the value."""
    rows = {chat.inference.id: chat.row for chat in chats}
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row, outcome in sorted(outcomes.items()):
        for each in outcome.evidence:
            found[each.kind].append({"row": row, "heard_in": rows.get(each.turn_id or ""), "value": each.value})
    return dict(sorted(found.items()))


def checked(chats: Sequence[Chat]) -> dict[str, Any]:
    """Return how far a reader's labels of near requests agree with what the pure functions hear in the next turn."""
    labels = json.loads(LABELS.read_text("utf-8"))
    turns = {chat.row: turn_of(chat.inference) for chat in chats}
    settings, likeness = Signals(), Spelling()
    again = {
        (one, other): any(
            s.kind in ("rephrase", "regenerate") for s in heard(turns[one], [turns[other]], settings, likeness)
        )
        for one, other in (*map(tuple, labels["again"]), *map(tuple, labels["not_again"]))
    }
    near = dict(zip(again, likeness([(turns[one].asked, turns[other].asked) for one, other in again]), strict=True))
    alike = {pair for pair, value in near.items() if value >= settings.rephrase_likeness}
    true = {tuple(pair) for pair in labels["again"]}
    hits = {pair for pair, yes in again.items() if yes}
    tones = {chat.row: tone_of(turns[chat.row].asked, settings.languages) for chat in chats}
    objecting = {row for row, tone in tones.items() if tone == "objection"}
    return {
        "asked_again": {
            "pairs": len(again),
            "precision": share(len(hits & true), len(hits)),
            "recall_among_near": share(len(hits & true), len(true)),
            "precision_of_likeness_alone": share(len(alike & true), len(alike)),
        },
        "objection": {
            "texts": len(tones),
            "hits": len(objecting),
            "precision": share(len(objecting & set(labels["objection"])), len(objecting)),
            "recall": share(len(objecting & set(labels["objection"])), len(labels["objection"])),
        },
        "thanks": {"hits": sum(tone == "thanks" for tone in tones.values()), "labelled": len(labels["thanks"])},
    }


def languages() -> dict[str, dict[str, str]]:
    """Return precision and recall of the lists on our own material, by language."""
    marks = {"-": "objection", "+": "thanks", "0": None}
    table = {}
    for path in sorted(MATERIAL.glob("*.txt")):
        told = [
            (marks[line[0]], tone_of(line[2:], Signals().languages)) for line in path.read_text("utf-8").splitlines()
        ]
        row = {"phrases": str(len(told))}
        for kind in ("objection", "thanks"):
            both = sum(meant == kind == got for meant, got in told)
            row[f"{kind}_precision"] = share(both, sum(got == kind for _, got in told))
            row[f"{kind}_recall"] = share(both, sum(meant == kind for meant, _ in told))
        table[path.stem] = row
    return table


def clinc() -> dict[str, Any]:
    """Return how often an objection or thanks is heard in requests to an assistant, away from intents that are such."""
    path = DATA / "clinc150" / "data_full.json"
    if not path.exists():
        return {}
    meant = {"yes", "no", "thank_you", "goodbye"}  # "no, that's wrong" and "you're right" are meant as said there
    texts = [(text, intent) for part in json.loads(path.read_text("utf-8")).values() for text, intent in part]
    plain = [text for text, intent in texts if intent not in meant]
    hits = Counter(tone for text in plain if (tone := tone_of(text, Signals().languages)))
    return {"texts": len(plain), "hits": dict(hits), "rate": share(sum(hits.values()), len(plain))}


def share(part: int, whole: int) -> str:
    """Return a share with its 95% Wilson interval."""
    rate = wilson(part, whole)
    return "-" if rate.value is None else f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}] ({part}/{whole})"


def resampled(chats: Sequence[Chat], of: Callable[[Sequence[Chat]], float | None]) -> str:
    """Return a figure with its 95% bootstrap interval over people: one person's chats come or stay away together."""
    people: dict[str, list[Chat]] = defaultdict(list)
    for chat in chats:
        people[str(chat.inference.user_id)].append(chat)
    groups, rng, drawn = list(people.values()), random.Random(0), []
    value = of(chats)
    for _ in range(DRAWS if value is not None else 0):
        again = of([chat for group in rng.choices(groups, k=len(groups)) for chat in group])
        drawn += [] if again is None else [again]
    if value is None or len(drawn) < DRAWS // 2:
        return "-"
    cuts = statistics.quantiles(drawn, n=40)
    return f"{value:.3f} [{cuts[0]:.3f}, {cuts[-1]:.3f}] (n={len(chats)}, {len(groups)} people)"


def auc(score: Callable[[Chat], float], bad: Callable[[Chat], bool]) -> Callable[[Sequence[Chat]], float | None]:
    """Return what computes the chance that a bad answer scores above a good one, ties counting one half."""

    def of(chats: Sequence[Chat]) -> float | None:
        counts: dict[float, list[int]] = defaultdict(lambda: [0, 0])
        for chat in chats:
            counts[score(chat)][bad(chat)] += 1
        good = sum(each[0] for each in counts.values())
        worse = sum(each[1] for each in counts.values())
        if not good or not worse:
            return None
        below, above = 0.0, 0.0
        for _, (fine, poor) in sorted(counts.items()):
            above += poor * (below + fine / 2)
            below += fine
        return above / (good * worse)

    return of


def hinted(outcomes: dict[int, Outcome], *, without_copy: bool) -> Callable[[Chat], float]:
    """Return the log-odds of bad that the signs of a chat add up to, the base left out."""
    kinds = set(FROM_SESSIONS) | (set() if without_copy else {"copy"})
    sums = {
        row: sum(each.weight for each in outcome.evidence if each.kind in kinds) for row, outcome in outcomes.items()
    }
    return lambda chat: sums.get(chat.row, 0.0)


def by_model(chats: Sequence[Chat], outcomes: dict[int, Outcome]) -> list[dict[str, str]]:
    """Return one line a model: how many answers were judged, and the mean of p_bad over those."""
    lines = []
    for model in sorted({str(chat.inference.model) for chat in chats}):
        own = [chat for chat in chats if chat.inference.model == model]
        judged = [chat for chat in own if chat.row in outcomes]
        troubled = {
            chat.row
            for chat in judged
            if any(each.kind in FROM_SESSIONS and each.x == 1 for each in outcomes[chat.row].evidence)
        }
        lines.append(
            {
                "model": model,
                "answers": str(len(own)),
                "judged": str(len(judged)),
                "mean_p_bad": resampled(judged, lambda some: _mean([outcomes[chat.row].p_bad for chat in some])),
                "with_trouble": resampled(own, _share_in(troubled)),
                "copied": share(sum(chat.copies > 0 for chat in own), len(own)),
            }
        )
    return lines


def _share_in(rows: set[int]) -> Callable[[Sequence[Chat]], float | None]:
    return lambda chats: _mean([float(chat.row in rows) for chat in chats])


def _mean(values: Sequence[float]) -> float | None:
    return statistics.mean(values) if values else None


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Return lines with the same keys as a table of Markdown."""
    if not lines:
        return "nothing"
    heads = list(lines[0])
    rows = [heads, ["---"] * len(heads), *([str(line[head]) for head in heads] for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def examples(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, str]]:
    """Return five rows of each kind to look up, spread over the file."""
    lines = []
    for kind, each in found.items():
        chosen = each[:: max(1, len(each) // 5)][:5]
        shown = [f"{one['row']}" + (f" in {one['heard_in']}" if one["heard_in"] is not None else "") for one in chosen]
        lines.append({"signal": kind, "found": str(len(each)), "rows to check": ", ".join(shown)})
    return lines


def page(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    checks = report["checked"]
    parts = [
        "# RealHumanEval through the pipeline",
        (
            f"{report['chats']} chats of {report['people']} programmers with four models, sent as inferences, and "
            f"{report['copied']} copied answers, sent as feedback: {report['took']['events']} events taken. Ingest "
            f"{report['took']['ingest_s']:.1f} s, enrich {report['took']['enrich_s']:.1f} s."
        ),
        "## Signals found",
        'Rows are those of chat_data.csv from 0; "12 in 13": about row 12, heard in row 13.',
        table(report["signals"]),
        "## Do readers agree",
        table(
            [{"what": name, **{key: str(value) for key, value in what.items()}} for name, what in checks.items()][:1]
        ),
        table([{"what": "objection", **{key: str(value) for key, value in checks["objection"].items()}}]),
        f"Thanks: {checks['thanks']['hits']} heard, {checks['thanks']['labelled']} labelled.",
        "Our own phrases, written before the lists were run on them, the lists mended afterwards where they failed:",
        table([{"language": name, **row} for name, row in report["languages"].items()]),
        f"CLINC150, requests without such intent: {json.dumps(report['clinc150'])}.",
        "## Outcomes by model",
        report["stage"],
        table(report["models"]),
        "## Against what people did",
        table([{"score": name, "AUC": value} for name, value in report["stand_ins"].items()]),
        "## Limits",
        LIMITS.strip(),
        "## Machine",
        ", ".join(f"{name} {value}" for name, value in report["machine"].items()),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "results")
    told = parser.parse_args()
    path = DATA / "realhumaneval" / "chat_data.csv"
    if not path.exists():
        sys.exit(f"expected the data at {str(path)!r}, found none; set TRIMTAB_DATA to the folder above it")
    ran_on = machine()
    chats = read(path)
    outcomes, took = through(chats)
    found = signals(chats, outcomes)
    alone, full = hinted(outcomes, without_copy=True), hinted(outcomes, without_copy=False)
    calibrated = sum(outcome.calibrated for outcome in outcomes.values())
    report = {
        "chats": len(chats),
        "people": len({chat.inference.user_id for chat in chats}),
        "copied": sum(chat.copies > 0 for chat in chats),
        "took": took,
        "signals": examples(found),
        "checked": checked(chats),
        "languages": languages(),
        "clinc150": clinc(),
        "stage": f"{len(outcomes)} answers were judged, {calibrated} of them calibrated; the others carry no sign.",
        "models": by_model(chats, outcomes),
        "stand_ins": {
            "signs of the session alone, against: nothing was copied": resampled(
                chats, auc(alone, lambda c: not c.copies)
            ),
            "signs of the session alone, against: more was asked on the task": resampled(
                chats, auc(alone, lambda c: not c.moved_on)
            ),
            "copying too, against: more was asked on the task": resampled(chats, auc(full, lambda c: not c.moved_on)),
        },
        "machine": ran_on,
    }
    told.out.mkdir(parents=True, exist_ok=True)
    (told.out / "realhumaneval.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    (told.out / "realhumaneval.md").write_text(page(report), "utf-8")
    print(page(report))


if __name__ == "__main__":
    main()
