"""An engine with people who said things, for tests of datasets."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trimtab.act.datasets.request import DatasetRequest
from trimtab.clock import SetClock
from trimtab.config import Embedding, Lake, Settings, Storage
from trimtab.ids import derived_id
from trimtab.records import Case, Dataset
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import Engine, assemble
from trimtab.store.ports import Writes

__all__ = ["NOW", "PROJECT", "START", "World", "world"]

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
NOW = START + timedelta(days=40)
PROJECT = "default"
THINGS = [
    *("lamp", "kettle", "rug", "desk", "clock", "chair", "shelf", "mirror"),
    *("sofa", "bowl", "plate", "cup", "spoon", "fork", "knife", "towel"),
]


class World:
    """An engine in a folder, told what happened by `asked` and `said`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._events: list[dict[str, Any]] = []
        self._said = 0

    def asked(self, name: str, *, day: int = 0, user: str | None = None, **fields: Any) -> str:
        """Let an answer be given and return its id; its question is its name unless told."""
        told = {
            "type": "inference",
            "id": derived_id("answer", name),
            "feature": "support",
            "created_at": (START + timedelta(days=day, seconds=len(self._events))).isoformat(),
            "input": name,
            "output": f"answer to {name}",
            "user_id": user or f"asker of {name}",
            **fields,
        }
        self._events.append({key: value for key, value in told.items() if value is not None})
        return str(told["id"])

    def said(self, about: str, kind: str, **fields: Any) -> str:
        """Let somebody say something of an answer and return its id."""
        self._said += 1
        told = {
            "type": "feedback",
            "id": derived_id("word", str(self._said)),
            "kind": kind,
            "created_at": (START + timedelta(days=35, seconds=self._said)).isoformat(),
            "inference_id": about,
            "user_id": f"voter {self._said}",
            **fields,
        }
        self._events.append(told)
        return str(told["id"])

    def corrected(self, name: str, text: str = "", **fields: Any) -> tuple[str, str]:
        """Let an answer be given and corrected; return both ids."""
        answer = self.asked(name, **fields)
        return answer, self.said(answer, "correction", text=text or f"the truth about {name}")

    def case(self, question: str) -> None:
        """Make a golden case."""
        case = Case(
            id=derived_id("case", question), feature="support", created_at=START, input=question, expected="right"
        )
        sealed = seal(self.engine.redactor.of(PROJECT), case)
        self.engine.store.commit({PROJECT: Writes(cases=[sealed])})

    def settle(self) -> None:
        """Take in what happened and let every stage come to rest."""
        for start in range(0, len(self._events), 500):
            body = json.dumps(self._events[start : start + 500]).encode()
            receipt = self.engine.intake.accept_now(PROJECT, body)
            assert receipt.rejected == []
        self._events.clear()
        self.engine.settle(NOW)

    def busy(self, count: int, *, seed: int = 1) -> None:
        """Let `count` answers be given over 30 days and most of them be judged, in every way there is."""
        dice = random.Random(seed)
        for number in range(count):
            question = f"{' '.join(dice.choices(THINGS, k=9))} {number}?"
            answer = self.asked(question, day=number * 30 // count, user=f"u{dice.randrange(count // 3)}")
            if dice.random() < 0.7:
                self.said(answer, "thumb", value=dice.randrange(2))
            if dice.random() < 0.4:
                self.said(answer, "correction", text=f"better {number}", source=dice.choice(["user", "reviewer"]))
            if dice.random() < 0.2:
                self.said(answer, "edit", value=dice.random(), text=f"edited {number}")
            if dice.random() < 0.2:
                self.said(answer, "copy")

    def order(self, kind: str, **fields: Any) -> Dataset:
        """Have a set built and return its record."""
        return self.engine.datasets.order(PROJECT, DatasetRequest(kind=kind, **fields))  # type: ignore[arg-type]

    def folder(self, dataset: Dataset) -> Path:
        """Return where a finished set lies."""
        assert dataset.state == "done", dataset.error
        return Path(self.engine.settings.storage.path) / dataset.path

    def rows(self, dataset: Dataset, split: str | None = None) -> list[dict[str, Any]]:
        """Return the rows of a finished set, of one split or of all."""
        names = [f"{split}.jsonl"] if split else [file.name for file in dataset.files if _is_rows(file.name)]
        return [
            json.loads(line) for name in names for line in (self.folder(dataset) / name).read_text("utf-8").splitlines()
        ]

    def manifest(self, dataset: Dataset) -> dict[str, Any]:
        """Return the manifest of a finished set."""
        found: dict[str, Any] = json.loads((self.folder(dataset) / "manifest.json").read_bytes())
        return found

    def lineage(self, dataset: Dataset) -> list[dict[str, Any]]:
        """Return where the rows of a finished set come from."""
        return [json.loads(line) for line in (self.folder(dataset) / "lineage.jsonl").read_text().splitlines()]


def _is_rows(name: str) -> bool:
    return name.endswith(".jsonl") and name != "lineage.jsonl"


@contextmanager
def world(folder: Path, *, lake: bool = False) -> Iterator[World]:
    """Run an engine in `folder`, with a lake where asked."""
    settings = Settings(storage=Storage(path=str(folder)), lake=Lake(enabled=lake), embedding=Embedding(kind="none"))
    with assemble(settings, clock=SetClock(NOW), inline_runs=True) as engine:
        yield World(engine)
