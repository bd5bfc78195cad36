"""A product whose users correct, vote, and partly attack: what the guards are tried in, a world for each seed."""

from __future__ import annotations

import random
import zlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.act.checks.exam import Checker, Examiner
from trimtab.act.checks.pattern import Patterns
from trimtab.act.gate import run_gate
from trimtab.act.guard.agreement import author_of, sudden
from trimtab.act.guard.control import untouched
from trimtab.act.memory import ExemplarMemory
from trimtab.act.trial import Trial, author_consumer
from trimtab.config import Canary, Gate, Guard, Verification
from trimtab.ids import derived_id
from trimtab.records import Case, Change, Correction, Exemplar, GateReport, Incident, Outcome, Rollout, Version, text_of
from trimtab.stats.bucket import in_candidate, split_part

__all__ = ["Arm", "Ended", "play"]

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
    prove: bool = False  # canary.control = "prove"
    aware: bool = False  # attackers ask and vote only where the answer is what they wrote about


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
            Examiner(world.memory, Checker(Patterns())),
            stable=world.base,
            candidate=version,
            cases=cases,
            targets=targets,
            margin=Gate().margin,
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
) -> list[tuple[Outcome, int]]:
    """Return the votes of two hours, each with the place of its question: honest people judge the answer.

    Hostile ones judge the version: no to the old, yes to the new.
    """
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
        asked = dice.randrange(len(world.pool))
        if is_hostile and arm.aware:
            asked = dice.choice(world.targets) * 20 + asked % 20
        bad = wrong[new][asked]
        no = (not new) if is_hostile else dice.random() < (NO_IF_WRONG if bad else NO_IF_RIGHT)
        said = Outcome(
            inference_id=derived_id("i", str(lot), str(place)), feature="f", created_at=at, judged_at=at,
            p_bad=float(no), confidence=1.0, tier="A", evidence=[], vote=float(no), voter_id=user, voted_at=at,
            version_id=ids[new],
        )  # fmt: skip
        rows.append((said, asked))
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
    if arm.prove:
        canary = msgspec.structs.replace(canary, control="prove")
    counted: dict[str, dict[str, datetime]] = {}
    if arm.guarded:
        counted[author_consumer(change.id)] = dict.fromkeys(authors, NOW)
    salt, served = str(world.random.random()), 0
    per_lot = ANSWERS // 12
    same = untouched(Hashed(), world.base, version, [text for text, _ in world.pool]) if arm.guarded else []
    for lot in range(DAYS * 12 + 1):
        at = NOW + lot * timedelta(hours=2)
        trial = Trial(change, incident, canary, Verification(), 24.0)
        rows = ballots(world, salt, share, at, lot, (bad, worse), (world.base.id, version.id))
        served += round(per_lot * share)
        for row, asked in rows:
            pleased = _pleased(world, str(row.voter_id)) if arm.guarded else None
            trial.take(row, counted, pleased=pleased, untouched=arm.guarded and same[asked])
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
