"""Enrichment killed at random points ends in the state of one that never was."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trimtab.ids import derived_id
from trimtab.records import Feedback, Inference, Profile, Project
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, Query, Target, Writes

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
REDACTOR = Redactor(key=bytes(32))
ANSWERS = 120
SAID = [
    "Where is my parcel?",
    "Where is my parcel now?",
    "No, I meant the red one.",
    "Thanks!",
    "Send it back, please.",
]


def events(draw: random.Random) -> list[Inference | Feedback]:
    """Return conversations, votes, copies and corrections, in an order in which anything may come first."""
    made: list[Inference | Feedback] = []
    for place in range(ANSWERS):
        at = NOW + timedelta(seconds=20 * place)
        answer = Inference(
            id=derived_id("inference", str(place)),
            feature=draw.choice(["support", "support", "title"]),
            created_at=at,
            input=draw.choice(SAID),
            output="Here it is.",
            session_id=f"talk-{draw.randrange(12)}",
            user_id=f"user-{draw.randrange(20)}",
            trace_id=f"{draw.randrange(40):032x}",
            profile=draw.choice([None, Profile(plan="pro"), Profile(plan="free")]),
        )
        made.append(answer)
        for number in range(draw.randrange(3)):
            kind: Any = draw.choice(["thumb", "copy", "correction", "comment"])
            names: list[dict[str, Any]] = [
                {"inference_id": answer.id},
                {"session_id": answer.session_id},
                {"trace_id": answer.trace_id},
            ]
            word = Feedback(
                id=derived_id("feedback", str(place), str(number)),
                kind=kind,
                value=float(draw.random() < 0.5) if kind == "thumb" else None,
                text="Over there." if kind in ("correction", "comment") else None,
                created_at=at + timedelta(seconds=5),
                user_id=answer.user_id,
                **draw.choice(names),
            )
            made.append(word)
    draw.shuffle(made)
    return made


def filled(folder: Path, seed: int) -> None:
    store = open_sqlite(folder / "trimtab.db")
    store.commit({"p": Writes(projects=[Project(id="p", created_at=NOW)])})
    store.append([Arrival("p", seal(REDACTOR, event), NOW) for event in events(random.Random(seed))])
    store.close()


def enriching(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.crash.enricher", str(folder), LATER.isoformat()]
    path = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    return subprocess.Popen(command, cwd=ROOT, env=path, stdout=subprocess.PIPE, text=True)


def left(folder: Path) -> dict[str, Any]:
    """Return all that enriching leaves behind."""
    store = open_sqlite(folder / "trimtab.db")
    try:
        ids = [derived_id("inference", str(place)) for place in range(ANSWERS)]
        talks = [f"talk-{number}" for number in range(12)]
        return {
            "outcomes": store.outcomes("p", ids),
            "opinions": store.opinions("p", ids),
            "joined": {key: sorted(word.id for word in said) for key, said in store.joined_to("p", ids).items()},
            "orphans": [row.record.id for row in store.orphans("p", Query(limit=1000)).rows],
            "turns": store.turns("p", talks),
            "sessions": store.sessions("p", talks),
            "segments": store.segments("p", "support"),
            "targets": store.resolve("p", [Target("trace", f"{number:032x}") for number in range(40)]),
        }
    finally:
        store.close()


@pytest.mark.parametrize("seed", range(4))
def test_enrichment_killed_at_random_points_ends_as_if_it_never_was(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    for folder in (straight, killed):
        folder.mkdir()
        filled(folder, seed)
    with enriching(straight) as calm:
        assert calm.stdout is not None
        assert calm.stdout.read().endswith("done\n")
    assert calm.returncode == 0
    kills, ended = 0, False
    while not ended:
        with enriching(killed) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(draw.randrange(1, 9))]
            ended = "done\n" in said
            if not ended:
                process.kill()  # somewhere in the tick after that
                kills += 1
    assert kills >= 3
    found = left(killed)
    assert found == left(straight)
    assert len(found["outcomes"]) > 20
