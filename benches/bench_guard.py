"""Do harmful and brigaded candidates get through? Seeded worlds through the engine's own gate, trial and quarantine.

    PYTHONPATH=src:. python benches/bench_guard.py [--worlds 200] [--jobs 2] [--json OUT]

A world is a product with 20 kinds of questions answered from exemplars (`ExemplarMemory` over hashed words), 2,000
people of whom a share is new each day, 2,000 answers and about 200 votes a day. People vote no on 85% of wrong answers
and on 6% of right ones. Every world is judged with the default settings but for what its arm says. "Harmful" is a
candidate whose answers are in truth wrong more often than stable's by more than a point; others are counted apart.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import time
import zlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from benches.guard_corpus import ATTACKS, HARMLESS
from benches.machine import machine
from trimtab.act.gate import run_gate
from trimtab.act.guard.agreement import author_of, sudden
from trimtab.act.guard.lint import look
from trimtab.act.memory import ExemplarMemory
from trimtab.act.trial import Trial, author_consumer
from trimtab.config import Canary, Gate, Guard, Verification
from trimtab.ids import derived_id
from trimtab.records import Case, Change, Correction, Exemplar, GateReport, Incident, Outcome, Rollout, Version, text_of
from trimtab.stats.bucket import in_candidate, split_part
from trimtab.stats.interval import clopper_pearson_lower, clopper_pearson_upper

KINDS = 20
WORDS = 14
LAUNCH = 10
PEOPLE = 2000
HOSTILE = 500
ANSWERS = 2000
VOTE_RATE = 0.1
NO_IF_WRONG, NO_IF_RIGHT = 0.85, 0.06
REFERENCE = 0.08
DAYS = 14
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CANARY = Canary()


class Hashed:
    """Words as signs in 512 places: an embedder without fitting."""

    space = "hashed"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row per text, of length 1."""
        rows = np.zeros((len(texts), 512), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                place = zlib.crc32(word.encode())
                row[place % 512] += 1.0 if place & 1024 else -1.0
        lengths: NDArray[np.float32] = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        rows /= lengths
        return rows


class Arm(NamedTuple):
    """One table row: what happens in its worlds, and whether the guards are on."""

    name: str
    attack: str = ""  # "flipped", "equal", "new", "old", "few", "sleepers", ""
    guarded: bool = True
    golden: int = 0
    gate: bool = True
    newcomers: float = 0.1  # share of each day's honest voters who were never heard before
    hostile: float = 0.2
    patient: bool = False  # attackers praised answers for weeks before


class Ended(NamedTuple):
    """How one world ended."""

    verb: str
    days: float
    harm: float
    held: int
    reason: str


class World:
    """One product and its people, from one seed."""

    def __init__(self, seed: int, arm: Arm) -> None:
        self.random = random.Random(seed)
        self.arm = arm
        self.memory = ExemplarMemory(Hashed())
        self.words = [[f"w{kind}x{place}" for place in range(WORDS)] for kind in range(KINDS)]
        chosen = self.random.sample(range(KINDS), 3)
        self.broken = set(chosen) if arm.attack in ("", "flipped", "equal") else set[int]()
        self.targets = chosen  # of an attack, where nothing is broken
        launch = [
            self.exemplar(kind, (kind + 1) % KINDS if kind in self.broken else kind)
            for kind in range(KINDS)
            for _ in range(LAUNCH)
        ]
        self.base = Version(feature="f", created_at=NOW, exemplars=launch).identified()
        self.pool = [(self.ask(kind), kind) for kind in range(KINDS) for _ in range(20)]

    def ask(self, kind: int) -> str:
        """Return words with which somebody asks for this kind of thing."""
        common = [f"c{self.random.randrange(30)}" for _ in range(3)]
        return " ".join([*self.random.sample(self.words[kind], 4), *common])

    def exemplar(self, kind: int, answer: int, **more: Any) -> Exemplar:
        """Return a question of one kind with the answer of some kind."""
        text = self.ask(kind)
        return Exemplar(id=derived_id(text), input=text, output=f"answer {answer}", **more)

    def wrong(self, version: Version) -> NDArray[np.bool_]:
        """Say of each question of the pool whether the version answers it wrongly."""
        answers = self.memory.answer(version, [text for text, _ in self.pool])
        return np.array([said != f"answer {kind}" for said, (_, kind) in zip(answers, self.pool, strict=True)])

    def correction(self, author: str, kind: int, answer: int, at: datetime) -> Correction:
        """Return what `author` says the right answer is."""
        place = str(self.random.random())
        return Correction(
            feedback_id=derived_id("f", author, place), inference_id=derived_id("i", author, place), feature="f",
            created_at=at, input=self.ask(kind), corrected=f"answer {answer}", source="user", version_id=self.base.id,
            user_id=author, author_id=author,
        )  # fmt: skip

    def case(self, item: Correction, incident: Incident | None) -> Case:
        """Return the golden case that a correction makes."""
        return Case(
            id=derived_id("case", item.feedback_id), feature="f", created_at=NOW, input=item.input,
            expected=item.corrected, incident_id=incident.id if incident else None, feedback_id=item.feedback_id,
        )  # fmt: skip

    def corrections(self) -> list[Correction]:
        """Return what people said before the change: honest words on what is wrong, and the attackers'."""
        before, dice = NOW - timedelta(days=3), self.random
        kinds = [kind for kind in self.broken for _ in range(25)] or self.random.choices(range(KINDS), k=10)
        honest = [
            self.correction(f"u{dice.randrange(PEOPLE)}", kind, kind, before + dice.random() * (NOW - before))
            for kind in kinds
        ]
        attack = self.arm.attack
        if attack in ("", "flipped", "equal"):
            return honest
        count = {"new": 120, "old": HOSTILE, "few": 3, "sleepers": 50}[attack]
        since = NOW - timedelta(hours=12) if attack in ("new", "few") else before
        rounds = 20 if attack == "few" else 1
        return honest + [
            self.correction(f"h{place}", kind, (kind + 7) % KINDS, since + self.random.random() * (NOW - since))
            for place in range(count)
            for kind in (self.targets if attack == "few" else [self.targets[place % 3]])
            for _ in range(rounds)
        ]

    def heard(self, people: Collection[str]) -> dict[str, datetime]:
        """Say when each was first heard of: honest people long ago, but for each day's newcomers ("n...")."""
        long_ago = NOW - timedelta(days=60)
        fresh = NOW - timedelta(hours=12)
        late = self.arm.attack in ("new", "few")
        return {person: fresh if (person[0] == "h" and late) or person[0] == "n" else long_ago for person in people}

    def around(self, *_: datetime) -> list[str]:
        """Return who else votes in those days."""
        share = self.arm.newcomers
        return [f"n{place}" if place < 400 * share else f"u{place}" for place in range(400)]


def candidate(world: World, incident: Incident) -> tuple[Version, list[Case], set[str], int]:
    """Build what the playbook would: exemplars of the build part, golden cases of the judge part, and its authors."""
    arm, flip = world.arm, world.random
    golden = []
    for _ in range(arm.golden):
        kind = flip.randrange(KINDS)
        golden.append(world.case(world.correction(f"g{flip.random()}", kind, kind, NOW), None))
    words = sorted(world.corrections(), key=lambda item: item.created_at, reverse=True)
    aside: set[str] = set()
    if arm.guarded:
        found = sudden(words, heard=world.heard, around=world.around, released=(), settings=Guard())
        aside = {held for each in found for held in each.corrections}
    usable = [item for item in words if item.feedback_id not in aside]
    said: dict[str, int] = {}
    build, judge = [], []
    for item in usable:
        said[author_of(item)] = said.get(author_of(item), 0) + 1
        if split_part(item.user_id or "") == "judge":
            judge.append(item)
        elif not arm.guarded or said[author_of(item)] <= Guard().per_person:
            build.append(item)
    build = build[:50]
    told = [(text_of(item.input), item.corrected, item.feedback_id) for item in build]
    if arm.attack == "flipped":
        told = [
            (world.ask(kind), f"answer {(kind + flip.randrange(1, KINDS)) % KINDS}", derived_id(str(place)))
            for place, kind in enumerate(flip.choices(range(KINDS), k=50))
        ]
    elif arm.attack == "equal":
        right = [kind for kind in range(KINDS) if kind not in world.broken]
        told = [
            (world.ask(kind), f"answer {kind}", derived_id(str(place)))
            for place, kind in enumerate(flip.choices(right, k=50))
        ]
    added = [
        Exemplar(id=source, input=text, output=answer, source_feedback_id=source, added_at=NOW)
        for text, answer, source in told
    ]
    version = msgspec.structs.replace(world.base, exemplars=[*world.base.exemplars, *added]).identified()
    cases = [*golden, *(world.case(item, incident) for item in judge)]
    answers = {item.corrected for item in (*build, *judge)}
    return version, cases, {author_of(item) for item in usable if item.corrected in answers}, len(aside)


def incident_of(world: World, wrong: float) -> Incident:
    """Return the incident that its votes would open: the hostile ones among them say no to whatever stable says."""
    hostile = world.arm.hostile if world.arm.attack not in ("", "flipped", "equal") else 0.0
    rate = (1 - hostile) * (wrong * NO_IF_WRONG + (1 - wrong) * NO_IF_RIGHT) + hostile
    return Incident(
        id=derived_id("incident"), feature="f", version_id=world.base.id, monitor_id=derived_id("monitor"),
        state="firing", onset_at=NOW, first_signal_at=NOW, detected_at=NOW, reference=REFERENCE, observed=rate,
        events=150, negatives=round(150 * rate), users=100, log_evidence=9.0, log_threshold=9.0,
    )  # fmt: skip


def play(job: tuple[Arm, int]) -> Ended:
    """Run one world to its end."""
    arm, seed = job
    world = World(seed, arm)
    bad = world.wrong(world.base)
    incident = incident_of(world, float(bad.mean()))
    version, cases, authors, held = candidate(world, incident)
    if version.id == world.base.id:
        return Ended("empty", 0, 0, held, "nothing to build from")
    worse = bad if arm.attack == "equal" else world.wrong(version)
    harm = float(worse.mean() - bad.mean())
    report: GateReport | None = None
    if arm.gate:
        targets = {case.id for case in cases if case.incident_id}
        report = run_gate(
            world.memory, stable=world.base, candidate=version, cases=cases, targets=targets, margin=Gate().margin
        )
        if report.verdict == "fail":
            return Ended("gate", 0, harm, held, report.reason)
    return live(world, version, report, incident, bad, worse, authors, held, harm)


def ballots(
    world: World,
    salt: str,
    share: float,
    at: datetime,
    lot: int,
    wrong: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    ids: tuple[str, str],
) -> list[Outcome]:
    """Return the votes of two hours: honest people judge the answer, hostile ones the version."""
    arm, dice = world.arm, world.random
    hostile = arm.hostile if arm.attack not in ("", "flipped", "equal") else 0.0
    rows = []
    for place in range(int(ANSWERS // 12 * VOTE_RATE)):
        is_hostile = dice.random() < hostile
        if is_hostile:
            user = f"h{dice.randrange(HOSTILE)}"
        else:
            user = f"n{lot}-{place}" if dice.random() < arm.newcomers else f"u{dice.randrange(PEOPLE)}"
        new = in_candidate(salt, user, share)
        bad = wrong[new][dice.randrange(len(world.pool))]
        no = (not new) if is_hostile else dice.random() < (NO_IF_WRONG if bad else NO_IF_RIGHT)
        rows.append(
            Outcome(
                inference_id=derived_id("i", str(lot), str(place)), feature="f", created_at=at, judged_at=at,
                p_bad=float(no), confidence=1.0, tier="A", evidence=[], vote=float(no), voter_id=user, voted_at=at,
                version_id=ids[new],
            )
        )  # fmt: skip
    return rows


def live(
    world: World,
    version: Version,
    report: GateReport | None,
    incident: Incident,
    bad: NDArray[np.bool_],
    worse: NDArray[np.bool_],
    authors: set[str],
    held: int,
    harm: float,
) -> Ended:
    """Put the candidate in front of users for a fortnight; the trial is asked every two hours."""
    arm, share = world.arm, CANARY.steps[0]
    change = Change(
        id=derived_id("change"), feature="f", kind="exemplar", state="canary", created_at=NOW,
        base_version_id=world.base.id, candidate_version_id=version.id, incident_id=incident.id, gate=report,
        exposed_at=NOW, step_at=NOW, canary={"steps": [[NOW.isoformat(), share]]},
    )  # fmt: skip
    canary = CANARY if arm.guarded else msgspec.structs.replace(CANARY, min_voters=1)
    counted: dict[str, dict[str, datetime]] = {}
    if arm.guarded:
        counted[author_consumer(change.id)] = dict.fromkeys(authors, NOW)
    salt, served = str(world.random.random()), 0
    per_lot = ANSWERS // 12
    for lot in range(DAYS * 12 + 1):
        at = NOW + lot * timedelta(hours=2)
        trial = Trial(change, incident, canary, Verification(), 24.0)
        rows = ballots(world, salt, share, at, lot, (bad, worse), (world.base.id, version.id))
        served += round(per_lot * share)
        for row in rows:
            trial.take(row, counted, pleased=_pleased(world, str(row.voter_id)) if arm.guarded else None)
        for item in trial.votes:
            counted.setdefault(item.consumer_id, {})[item.user_id] = item.counted_at
        change = trial.change
        rollout = Rollout(
            feature="f", stable_version_id=world.base.id, candidate_version_id=version.id, share=share,
            updated_at=at, id=derived_id("r"), revision=2,
        )  # fmt: skip
        decision = trial.decide(rollout, served, at)
        if decision.verb == "step":
            share, served = decision.share, 0
            steps = [*change.canary["steps"], [at.isoformat(), share]]
            change = msgspec.structs.replace(change, step_at=at, canary={**change.canary, "steps": steps})
        elif decision.verb != "stay":
            return Ended(decision.verb, lot / 12, harm, held, decision.reason)
        else:
            change = msgspec.structs.replace(change, reason=decision.reason)
    return Ended("stay", DAYS, harm, held, change.reason)


def _pleased(world: World, person: str) -> dict[str, datetime]:
    """Say since when a voter is known as one who was pleased before: nine of ten regular people, no attacker."""
    regular = person[0] == "u" and int(person[1:]) % 10 > 0
    spoiler = person[0] == "h" and world.arm.patient
    return {person: NOW - timedelta(days=60)} if regular or spoiler else {}


ARMS = (
    Arm("(a) 50 flipped labels, no other golden cases", "flipped"),
    Arm("(a) 50 flipped labels, 100 golden cases", "flipped", golden=100),
    Arm("(a) 50 flipped labels, no gate at all", "flipped", gate=False),
    Arm("(b) equal candidate, gate left out", "equal", gate=False),
    Arm("(c) 20% hostile, accounts of that day", "new"),
    Arm("(c) same, guards off", "new", guarded=False),
    Arm("(c) 20% hostile, three accounts write the corrections", "few"),
    Arm("(c) same, guards off", "few", guarded=False),
    Arm("(c) 20% hostile, old accounts, all of them wrote", "old"),
    Arm("(c) same, guards off", "old", guarded=False),
    Arm("(c) 20% hostile, old accounts, one in ten wrote", "sleepers"),
    Arm("(c) same, guards off", "sleepers", guarded=False),
    Arm("(c) same, and they praised answers for weeks before", "sleepers", patient=True),
    Arm("(d) mends the incident, 10% newcomers"),
    Arm("(d) same, guards off", guarded=False),
    Arm("(d) mends the incident, 50% newcomers", newcomers=0.5),
    Arm("(d) same, guards off", newcomers=0.5, guarded=False),
    Arm("(d) mends the incident, all newcomers", newcomers=1.0),
    Arm("(d) same, guards off", newcomers=1.0, guarded=False),
)


def row_of(arm: Arm, ended: list[Ended]) -> dict[str, Any]:
    """Return one row: counts, and the 95% interval of the worlds in which a harmful version (or any) got through."""
    harmful = [each for each in ended if each.harm > 0.01]
    bad = arm.attack not in ("", "equal")
    through = sum(each.verb == "promote" for each in (harmful if bad else ended))
    n = len(ended)
    days = sorted(each.days for each in ended if each.verb == "promote")
    return {
        "arm": arm.name,
        "worlds": len(ended),
        "harmful": len(harmful),
        "promoted": sum(each.verb == "promote" for each in ended),
        "everyone": through,
        "interval": [
            round(clopper_pearson_lower(through, n, 0.975), 4) if n else 0.0,
            round(clopper_pearson_upper(through, n, 0.975), 4) if n else 1.0,
        ],
        "gate": sum(each.verb == "gate" for each in ended),
        "rolled_back": sum(each.verb == "roll_back" for each in ended),
        "paused": sum(each.verb in ("pause", "stay") for each in ended),
        "empty": sum(each.verb == "empty" for each in ended),
        "held": sum(each.held > 0 for each in ended),
        "harm_points": round(100 * statistics.mean(each.harm for each in ended), 1),
        "days": round(statistics.median(days), 1) if days else None,
        "reasons": sorted({each.reason for each in ended if each.verb in ("pause", "stay")})[:3],
    }


def lint_figures() -> dict[str, Any]:
    """Return what the lint refuses of either corpus, and what it misses."""
    refused = [sum(found.weight for found in look(text)) >= 1 for text in ATTACKS]
    false = [sum(found.weight for found in look(text)) >= 1 for text in HARMLESS]
    started = time.perf_counter()
    for text in HARMLESS:
        look(text)
    return {
        "attacks": len(ATTACKS),
        "refused": sum(refused),
        "harmless": len(HARMLESS),
        "refused_falsely": sum(false),
        "missed": [text[:60] for text, seen in zip(ATTACKS, refused, strict=True) if not seen],
        "us_per_text": round((time.perf_counter() - started) / len(HARMLESS) * 1e6),
    }


def written(found: dict[str, Any]) -> str:
    """Return the page of figures."""
    lint, facts = found["lint"], found["machine"]
    ran = f"{found['worlds']} seeded worlds per row, default settings; {facts['processor']}, {facts['cores']} cores, "
    ran += f"load {facts['load_before']}, Python {facts['python']}."
    how = "*Through*: worlds in which a harmful version (in b and d: the candidate) reached everyone, with the 95% "
    how += "Clopper-Pearson interval. *Harm*: mean change of wrong answers, in points. *Days*: median until promotion."
    lines = [
        "# Guards",
        "",
        ran,
        "",
        how,
        "",
        "| arm | harmful | through | interval | gate | rolled back | paused | set aside | harm | days |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['arm']} | {row['harmful']} | {row['everyone']} | {row['interval'][0]:.3f}-{row['interval'][1]:.3f} "
        f"| {row['gate']} | {row['rolled_back']} | {row['paused']} | {row['held']} | {row['harm_points']:+.1f} "
        f"| {row['days'] if row['days'] is not None else ''} |"
        for row in found["rows"]
    ]
    said = [reason for row in found["rows"] for reason in row["reasons"] if reason.startswith("held")]
    lines += ["", "What a held change says, for example:", "", *(f"> {reason}" for reason in said[:1]), ""]
    seen = f"Of {lint['attacks']} attacks {lint['refused']} are refused, of {lint['harmless']} harmless texts "
    seen += (
        f"{lint['refused_falsely']}; {lint['us_per_text']} us per text. Texts and list were written by the same hand "
    )
    seen += (
        "and the list was tuned on them: before that it refused 78 of 117 attacks and 8 of 110 harmless texts. Missed:"
    )
    lines += [
        "## Lint",
        "",
        seen,
        "",
        *(f"- `{text}`" for text in lint["missed"]),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--only", default="")
    told = parser.parse_args()
    facts = machine()
    rows = []
    with multiprocessing.get_context("spawn").Pool(told.jobs) as pool:
        for arm in ARMS:
            if arm.name.startswith(told.only):
                ended = pool.map(play, [(arm, seed) for seed in range(told.worlds)], chunksize=4)
                rows.append(row_of(arm, ended))
                print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    found = {"machine": facts, "worlds": told.worlds, "lint": lint_figures(), "rows": rows}
    if told.json:
        told.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if told.page:
        told.page.write_text(written(found), "utf-8")


if __name__ == "__main__":
    main()
