"""Topics in the store: what was found, where each lies, and the runs that look for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, select

from trimtab.records import Topic, TopicRun, TopicState
from trimtab.store.codec import id_bytes, id_text
from trimtab.store.hot.database import Database, Prepared, holes, prepare
from trimtab.store.hot.page import Port, by_id, paged
from trimtab.store.ports import Page, Query, Stored, TopicPlace, Writes
from trimtab.store.schema import TOPIC_RUNS, TOPICS, Noun, topic_places

__all__ = ["TopicStatements", "Topics"]

_NO_ID = bytes(16)
_ID_BYTES = 16
_OPEN = ("asked", "running")
_PLACE = ("project_id", "scope", "topic_id", "space", "centroid", "feedback", "inferences")


class Topics(Port):
    """The verbs of `TopicStore`; the contract stands there."""

    def topic(self, project_id: str, topic_id: str) -> Topic | None:
        """Return one topic."""
        return by_id(self._database, TOPICS, project_id, topic_id)

    def topics(self, project_id: str, feature: str | None, states: Sequence[TopicState] = ()) -> list[Topic]:
        """Return the topics of the feature, of these states if any are given, the largest first."""
        columns = TOPICS.table.c
        statement = select(*TOPICS.fields).where(
            columns.project_id == project_id,
            columns.feature.is_(None) if feature is None else columns.feature == feature,
            *([columns.state.in_(list(states))] if states else []),
        )
        rows = self._database.rows(statement.order_by(columns.size.desc(), columns.id))
        return [TOPICS.decode(row) for row in rows]

    def topic_features(self, project_id: str) -> list[str | None]:
        """Return the features that have topics, None first where the whole project has."""
        columns = TOPICS.table.c
        statement = select(columns.feature).where(columns.project_id == project_id).distinct()
        return sorted((row[0] for row in self._database.rows(statement)), key=lambda name: name or "")

    def topic_place(self, project_id: str, topic: Topic) -> TopicPlace | None:
        """Return where the topic lies and which texts belong to it."""
        found = self._places(project_id, topic.feature, topic_places.c.topic_id == id_bytes(topic.id))
        return found[0] if found else None

    def topic_places(self, project_id: str, feature: str | None) -> list[TopicPlace]:
        """Return the places of all topics of the feature, and of the texts that belong to none."""
        return self._places(project_id, feature)

    def topic_run(self, project_id: str, run_id: str) -> TopicRun | None:
        """Return one run."""
        return by_id(self._database, TOPIC_RUNS, project_id, run_id)

    def topic_runs(self, project_id: str, query: Query, states: Sequence[str] = ()) -> Page[TopicRun]:
        """Return one page of runs, of these states if any are given; times are compared with `asked_at`."""
        columns = TOPIC_RUNS.table.c
        conditions: list[ColumnElement[bool]] = [columns.state.in_(list(states))] if states else []
        if query.feature is not None:
            conditions.append(columns.feature == query.feature)
        return paged(self._database, TOPIC_RUNS, project_id, query, *conditions, time=columns.asked_at)

    def open_topic_runs(self, limit: int) -> list[Stored[TopicRun]]:
        """Return at most `limit` runs of all projects that are asked for or running, the one asked for first ahead."""
        columns = TOPIC_RUNS.table.c
        statement = select(*TOPIC_RUNS.columns).where(columns.state.in_(_OPEN)).order_by(columns.seq).limit(limit)
        return [TOPIC_RUNS.stored(row) for row in self._database.rows(statement)]

    def _places(self, project_id: str, feature: str | None, *conditions: ColumnElement[bool]) -> list[TopicPlace]:
        columns = topic_places.c
        statement = select(*(columns[name] for name in _PLACE[2:])).where(
            columns.project_id == project_id, columns.scope == (feature or ""), *conditions
        )
        return [
            TopicPlace(
                topic_id=None if bytes(row[0]) == _NO_ID else id_text(row[0]),
                feature=feature,
                space=row[1],
                centroid=bytes(row[2]),
                feedback_ids=_unpacked(row[3]),
                inference_ids=_unpacked(row[4]),
            )
            for row in self._database.rows(statement.order_by(columns.topic_id))
        ]


class TopicStatements:
    """Prepared once; `jobs` says what to run with which rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._topic = self._upsert(TOPICS)
        self._run = self._upsert(TOPIC_RUNS)
        new = database.insert(topic_places).values(holes(_PLACE))
        moved = new.on_conflict_do_update(
            index_elements=list(topic_places.primary_key.columns),
            set_={name: new.excluded[name] for name in _PLACE[3:]},
        )
        self._place = prepare(moved, database.dialect, _PLACE)
        self._forgotten = [
            prepare(
                delete(table).where(
                    table.c.project_id == bindparam("project_id"), table.c[name] == bindparam("topic_id")
                ),
                database.dialect,
                ("project_id", "topic_id"),
            )
            for table, name in ((TOPICS.table, "id"), (topic_places, "topic_id"))
        ]

    def jobs(
        self, project_id: str, writes: Writes, topics: Sequence[Sequence[Any]]
    ) -> list[tuple[Prepared, Iterable[Sequence[Any]]]]:
        """Return the statements and their rows; `topics` are the rows of the topics behind the wall."""
        gone = [(project_id, id_bytes(topic_id)) for topic_id in writes.topics_forgotten]
        return [
            *((statement, gone) for statement in self._forgotten),
            (self._topic, topics),
            (self._run, (TOPIC_RUNS.row(project_id, run) for run in writes.topic_runs)),
            (self._place, (_place_row(project_id, place) for place in writes.topic_places)),
        ]

    def _upsert(self, noun: Noun[Any]) -> Prepared:
        new = self._database.insert(noun.table).values(holes(noun.inserted))
        changed = {name: new.excluded[name] for name in noun.inserted if name not in ("project_id", "id")}
        statement = new.on_conflict_do_update(index_elements=noun.key, set_=changed)
        return prepare(statement, self._database.dialect, noun.inserted)


def _place_row(project_id: str, place: TopicPlace) -> tuple[Any, ...]:
    return (
        project_id,
        place.feature or "",
        id_bytes(place.topic_id) if place.topic_id else _NO_ID,
        place.space,
        place.centroid,
        b"".join(map(id_bytes, place.feedback_ids)),
        b"".join(map(id_bytes, place.inference_ids)),
    )


def _unpacked(raw: bytes) -> list[str]:
    """Return the ids that lie one after the other."""
    return [id_text(raw[start : start + _ID_BYTES]) for start in range(0, len(raw), _ID_BYTES)]
