"""Topics that emerge, as incidents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from trimtab.detect.topics.news import incidents_of
from trimtab.ids import derived_id
from trimtab.records import Incident, Project, Topic
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Query, Writes

NOW = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
NEWS = Topic(
    id=derived_id("topic"),
    found_at=NOW,
    space="lexical",
    words=["card charged"],
    size=40,
    users=25,
    first_seen_at=NOW - DAY,
    last_seen_at=NOW,
    days=[],
    p_value=1e-6,
    p_adjusted=1e-5,
    feature="support",
    emerging=True,
)
OLD_NEWS = msgspec.structs.replace(NEWS, emerging=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    store = open_sqlite(tmp_path / "hot.db")
    store.commit({"p": Writes(projects=[Project(id="p", created_at=NOW)])})
    yield store
    store.close()


def run(store: HotStore, before: Topic | None, after: Topic | None, now: datetime = NOW) -> list[Incident]:
    topics = [after] if after else []
    old = {before.id: before} if before else {}
    found = incidents_of(store, "p", "support", topics, old, now, false_alarm_rate=0.05)
    store.commit({"p": Writes(incidents=found)})
    return [row.record for row in store.incidents("p", Query(newest=False)).rows]


def test_emerging_topic_opens_one_incident_for_people_that_ends_with_the_news(store: HotStore) -> None:
    [found] = run(store, None, NEWS)
    assert (found.kind, found.state, found.monitor_id, found.users) == ("topic", "firing", NEWS.id, 25)
    assert found.held
    assert run(store, NEWS, NEWS, NOW + DAY) == [found]
    [over] = run(store, NEWS, OLD_NEWS, NOW + 2 * DAY)
    assert (over.state, over.resolved_at) == ("resolved", NOW + 2 * DAY)
    assert len(run(store, OLD_NEWS, NEWS, NOW + 3 * DAY)) == 2


def test_topic_that_is_gone_is_no_news(store: HotStore) -> None:
    run(store, None, NEWS)
    [over] = run(store, NEWS, msgspec.structs.replace(OLD_NEWS, state="gone"), NOW + DAY)
    assert over.state == "resolved"


def test_incident_that_a_person_closed_stays_closed_while_the_topic_is_the_same_news(store: HotStore) -> None:
    [found] = run(store, None, NEWS)
    closed = msgspec.structs.replace(found, state="resolved", resolution="manual", resolved_at=NOW)
    store.commit({"p": Writes(incidents=[closed])})
    assert run(store, NEWS, NEWS, NOW + DAY) == [closed]
