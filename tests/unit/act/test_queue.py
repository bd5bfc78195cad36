"""The desk that chooses what people are asked about, over a real store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trimtab.act.notices import Notices
from trimtab.act.queue.desk import QueueDesk
from trimtab.act.queue.examples import ExampleLooks
from trimtab.act.review import Reviews
from trimtab.config import Settings
from trimtab.embed.lexical import LexicalEmbedder
from trimtab.embed.port import Embedder
from trimtab.errors import Unavailable
from trimtab.ids import derived_id
from trimtab.records import Feature, Inference, Project
from trimtab.redact.engine import Redactor
from trimtab.redact.wall import seal, seal_all
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Arrival, Query, Writes

START = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = timedelta(days=7)
FEATURE = "support"


def embedder(project_id: str) -> Embedder:
    if project_id == "a":
        raise Unavailable("its space is away")
    return LexicalEmbedder()


def test_project_whose_batch_cannot_be_made_keeps_no_other_from_its_own(tmp_path: Path) -> None:
    redactor = Redactor(key=bytes(32))
    store = open_sqlite(tmp_path / "trimtab.db")
    for project in ("a", "b"):
        store.commit({project: Writes(projects=[Project(id=project, created_at=START)])})
        store.commit({project: Writes(features=[seal(redactor, Feature(name=FEATURE, created_at=START))])})
        answers = [
            Inference(
                id=derived_id(project, str(place)), feature=FEATURE, created_at=START + timedelta(hours=place),
                input=f"question {place}", output=f"answer {place}", user_id=f"u{place}",
            )
            for place in range(60)
        ]  # fmt: skip
        store.append([Arrival(project, each, START) for each in seal_all(redactor, answers)])
    settings = Settings()
    reviews = Reviews(store, redactor, settings.review)
    looks = ExampleLooks(store, redactor, settings, reviews, lambda *_: [])
    desk = QueueDesk(store, reviews, settings, Notices(store, {}), embedder, looks)
    with pytest.raises(Unavailable):
        desk.tick(START + WEEK)
    assert desk.tick(START + WEEK) == 1
    assert len(store.review_batches("b", Query()).rows) == 1
    with pytest.raises(Unavailable):
        desk.tick(START + WEEK)
    desk.embed_with(lambda _: LexicalEmbedder())
    assert desk.tick(START + WEEK) == 1
    assert len(store.review_batches("a", Query()).rows) == 1
    assert desk.tick(START + WEEK) == 0
    store.close()
