"""A gate that kills itself while its versions answer. Run as a program: `examinee FOLDER POINT...`.

A point is `asked:N` (while the N-th question of all lives is answered) or `kept:N` (after the N-th commit of answers of
that life). What was asked stands, a line for each question, in FOLDER/asked; the report of the last life in
FOLDER/report.json.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tests.crash.lives import main
from trimtab.act.checks.desk import ExamDesk
from trimtab.act.gate import run_gate
from trimtab.config import Runner as RunnerSettings
from trimtab.config import Settings
from trimtab.ids import derived_id
from trimtab.records import Case, Exemplar, Payload, Version, text_of
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal_all
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Writes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
P, FEATURE = "default", "support"
CASES = 50
ASKS = {f"question {place}": f"answer {place}" for place in range(CASES)}


def version(known: int) -> Version:
    shown = [
        Exemplar(id=f"x{place}", input=ask, output=answer)
        for place, (ask, answer) in enumerate(ASKS.items())
        if place < known
    ]
    return Version(feature=FEATURE, created_at=NOW, exemplars=shown).identified()


STABLE, CANDIDATE = version(20), version(45)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Paid:
    """Answers, and writes every question down before it does."""

    def __init__(self, folder: Path, point: str | None) -> None:
        self._book = folder / "asked"
        self._until = int(point.partition(":")[2]) if point and point.startswith("asked") else None

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        known = {item.input: item.output for item in version.exemplars}
        for payload in inputs:
            with self._book.open("a") as book:
                book.write(f"{version.id} {text_of(payload)}\n")
            if self._until is not None and len(self._book.read_text().splitlines()) >= self._until:
                die()
        return [known.get(text_of(payload), "Sorry.") for payload in inputs]


def live(folder: Path, point: str | None) -> None:
    """Hold the gate, from where the life before was cut off."""
    store, redactor = open_sqlite(folder / "trimtab.db"), Redactor(key=bytes(32))
    cases = [
        Case(id=derived_id("case", ask), feature=FEATURE, created_at=NOW, input=ask, expected=answer)
        for ask, answer in ASKS.items()
    ]
    store.commit({P: Writes(cases=seal_all(redactor, cases))})
    commit, left = store.commit, [int(point.partition(":")[2]) if point and point.startswith("kept") else -1]

    def counted(writes: Mapping[str, Writes], *, cursors: Mapping[str, int] | None = None) -> None:
        commit(writes, cursors=cursors)
        left[0] -= 1
        if left[0] == 0:
            die()

    setattr(store, "commit", counted)  # noqa: B010  a method is replaced
    cleaners: Any = redactor
    settings = Settings(runner=RunnerSettings(kind="llm", base_url="http://127.0.0.1:9", model="m"))
    desk = ExamDesk(store, cleaners, settings, Paid(folder, point))
    exam = desk.sit(P, FEATURE, cases, NOW).exam
    report = run_gate(exam, stable=STABLE, candidate=CANDIDATE, cases=cases, targets=(), margin=0.05)
    (folder / "report.json").write_bytes(msgspec.json.encode(report))
    desk.close()
    store.close()


if __name__ == "__main__":
    main(live)
