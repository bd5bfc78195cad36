"""The topic stage: when topics are looked for, and what of it is committed, all at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Literal, Protocol

import msgspec
import structlog

from trimtab.config import Topics
from trimtab.detect.topics.find import TopicRules
from trimtab.detect.topics.gather import Gather, Gathered, GatherStore, Word
from trimtab.detect.topics.job import Found, Job, KnownPlace, Scope, Task, packed, run_here
from trimtab.detect.topics.names import Namer
from trimtab.detect.topics.news import incidents_of
from trimtab.detect.topics.publish import published
from trimtab.errors import ConfigError, TrimtabError, Unavailable
from trimtab.ids import new_id
from trimtab.records import Topic, TopicRun
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal_all
from trimtab.store.ports import CatalogStore, LoopStore, Query, Stored, TopicPlace, TopicStore, Writes
from trimtab.store.vectors.port import VectorStore

__all__ = ["TopicStage", "ask"]

_LOOK_EVERY = timedelta(minutes=1)
_FIRST_TEXTS = 5  # times min_size: before there are so many the first run by schedule waits
_TIMEOUT_S = 1800.0
_MOST_NAMED = 60
_MOST_OPEN = 1000


class TopicStageStore(GatherStore, CatalogStore, LoopStore, TopicStore, Protocol):
    """What this stage needs of the store."""


class TopicAskStore(LoopStore, TopicStore, Protocol):
    """What asking for a run needs."""


class TopicStage:
    """Looks for topics every `every_hours`, and when a run is asked for.

    A run is a row first (`asked`), so that it survives a restart. `tick` never waits: it starts a thread that reads
    texts and vectors, lets a child process search (`inline`: searches in this process and waits, for tests and
    studies), and commits topics, places and the finished run in one step. Killed anywhere before that, the run begins
    again with the next start and nothing of it is seen. One run is under way at a time.
    """

    name = "topics"

    def __init__(
        self,
        store: TopicStageStore,
        vectors: VectorStore | None,
        cleaners: Cleaners,
        settings: Topics,
        *,
        namer: Namer | None = None,
        inline: bool = False,
    ) -> None:
        if settings.recent_days >= settings.window_days:
            raise ConfigError(
                f"expected topics.recent_days below topics.window_days ({settings.window_days:g}), "
                f"got {settings.recent_days:g}",
                param="topics.recent_days",
            )
        self._store = store
        self._cleaners = cleaners
        self._settings = settings
        self._namer = namer
        self._inline = inline
        self._gather = Gather(store, vectors, max_texts=settings.max_texts)
        recent = timedelta(days=settings.recent_days)
        self._window = timedelta(days=settings.window_days)
        self._rules = TopicRules(
            min_size=settings.min_size,
            min_users=settings.min_users,
            recent=recent,
            before=self._window - recent,
            false_alarm_rate=settings.false_alarm_rate,
        )
        self._log = structlog.get_logger("trimtab.topics")
        self._thread: threading.Thread | None = None
        self._ended: SimpleQueue[int] = SimpleQueue()
        self._lock = threading.Lock()
        self._job: Job | None = None  # under the lock
        self._stop = threading.Event()
        self._looked_at: datetime | None = None

    def tick(self, now: datetime) -> int:
        """Begin the run that waits longest, if none is under way; return how many runs ended since the last tick."""
        ended = self._collect()
        if self._stop.is_set() or (self._thread is not None and self._thread.is_alive()):
            return ended
        if self._settings.every_hours and (
            self._looked_at is None or not timedelta(0) <= now - self._looked_at < _LOOK_EVERY
        ):
            self._looked_at = now
            self._schedule(now)
        waiting = self._store.open_topic_runs(1)
        if not waiting:
            return ended
        self._thread = threading.Thread(target=self._work, args=(waiting[0], now), name="trimtab-topics", daemon=True)
        self._thread.start()
        if self._inline:
            self._thread.join()
            ended += self._collect()
        return ended

    def close(self) -> None:
        """End a run under way; it begins again with the next start. May be called twice; before the stores close."""
        self._stop.set()
        with self._lock:
            if self._job is not None:
                self._job.cancel()
        if self._thread is not None:
            self._thread.join()
        if self._namer is not None:
            self._namer.close()

    def _collect(self) -> int:
        ended = 0
        while True:
            try:
                ended += self._ended.get_nowait()
            except Empty:
                return ended

    def _schedule(self, now: datetime) -> None:
        every = timedelta(hours=self._settings.every_hours)
        for project in self._store.projects():
            last = next(
                (
                    row.record
                    for row in self._store.topic_runs(project.id, Query(limit=20)).rows
                    if row.record.feature is None
                ),
                None,
            )
            if last is None:
                least = _FIRST_TEXTS * self._settings.min_size
                due = self._gather.count(project.id, now - self._window, most=least) >= least
            else:
                due = now - last.asked_at >= every
            if due:
                ask(self._store, project.id, None, now, by="schedule")

    # ---------------------------------------------------------------- in the thread

    def _work(self, asked: Stored[TopicRun], now: datetime) -> None:
        project_id, began = asked.project_id, time.monotonic()
        run = msgspec.structs.replace(asked.record, state="running", started_at=now)
        try:
            self._store.commit({project_id: Writes(topic_runs=[run])})
            writes = self._searched(project_id, run, now)
            took = timedelta(seconds=time.monotonic() - began)
            (done,) = writes.topic_runs
            writes.topic_runs = [msgspec.structs.replace(done, state="done", ended_at=now + took)]
            self._store.commit({project_id: writes})
        except Exception as error:  # noqa: BLE001  a run that fails ends neither the thread nor the loop
            if not self._stop.is_set():
                self._failed(project_id, run, error, now + timedelta(seconds=time.monotonic() - began))
        else:
            topics = sum(survey.topics for survey in done.surveys)
            self._log.info("topics found", project=project_id, run=run.id, topics=topics)
        self._ended.put(1)

    def _failed(self, project_id: str, run: TopicRun, error: Exception, at: datetime) -> None:
        said = error.message if isinstance(error, TrimtabError) else type(error).__name__
        self._log.error("looking for topics failed", project=project_id, run=run.id, error=said)
        failed = msgspec.structs.replace(run, state="failed", error=said[:2000], ended_at=at)
        try:
            self._store.commit({project_id: Writes(topic_runs=[failed])})
        except TrimtabError as again:  # it stays open, and the next start begins it anew
            self._log.error("a failed run cannot be written", project=project_id, run=run.id, error=again.message)

    def _searched(self, project_id: str, run: TopicRun, now: datetime) -> Writes:
        """Return all that the run changes."""
        since = now - self._window
        gathered = self._gather.read(project_id, since, now, run.feature)
        if run.feature is not None:
            scopes: list[str | None] = [run.feature]
        else:
            known = self._store.topic_features(project_id)
            features = {word.feature for word in gathered.words} | set(known)
            scopes = [None, *sorted(name for name in features if name is not None)]
        found = self._found(project_id, gathered, scopes, now)
        parts, incidents = [], []
        for each in found:
            old = {topic.id: topic for topic in self._store.topics(project_id, each.feature)}
            part = published(each, old, gathered, since=since)
            parts.append(part)
            if each.feature is not None:
                rate = self._settings.false_alarm_rate
                incidents += incidents_of(
                    self._store, project_id, each.feature, part.topics, old, now, false_alarm_rate=rate
                )
        unnamed = [topic for part in parts for topic in part.topics]
        topics, note, named = self._named(project_id, unnamed, gathered.words)
        surveys = [msgspec.structs.replace(part.survey, named=named[part.survey.feature]) for part in parts]
        return Writes(
            topics=seal_all(self._cleaners.of(project_id), topics),
            topic_places=[place for part in parts for place in part.places],
            topics_forgotten=[topic_id for part in parts for topic_id in part.forgotten],
            topic_runs=[msgspec.structs.replace(run, surveys=surveys, note=note)],
            incidents=incidents,
        )

    def _found(self, project_id: str, gathered: Gathered, features: Sequence[str | None], now: datetime) -> list[Found]:
        task = Task(
            now=now,
            words=gathered.words,
            scopes=[_scope(feature, self._store.topic_places(project_id, feature)) for feature in features],
            rules=self._rules,
            vectors=None if gathered.vectors is None else packed(gathered.vectors),
            space=gathered.space,
            timeout_s=_TIMEOUT_S,
        )
        if self._inline or len(gathered.words) < 2 * self._rules.min_size:  # nothing to search in: no process for that
            return run_here(task)
        with self._lock:
            if self._stop.is_set():
                raise Unavailable("the engine is stopping")
            job = self._job = Job(task)
        try:
            return job.wait()
        finally:
            with self._lock:
                self._job = None

    def _named(
        self, project_id: str, topics: Sequence[Topic], words: Sequence[Word]
    ) -> tuple[list[Topic], str, Counter[str | None]]:
        """Return the topics with names where a model gives one, what went wrong, and how many it named by feature.

        A topic is named once. A model that gives no answer is asked no more in this run; topics then have their words.
        """
        given: Counter[str | None] = Counter()
        if self._namer is None:
            return list(topics), "", given
        cleaner = self._cleaners.of(project_id)
        texts = {word.id: word.text for word in words}
        found, note, asked = [], "", 0
        for topic in topics:
            name = topic.name
            if not name and not note and topic.state == "live" and asked < _MOST_NAMED and not self._stop.is_set():
                asked += 1
                try:
                    name = self._namer.name(
                        cleaner, topic.words, [texts[key] for key in topic.examples if key in texts]
                    )
                except Unavailable as away:
                    note = f"no names: {away.message}"
                given[topic.feature] += bool(name)
            found.append(msgspec.structs.replace(topic, name=name))
        return found, note, given


def ask(
    store: TopicAskStore,
    project_id: str,
    feature: str | None,
    now: datetime,
    *,
    by: Literal["schedule", "person"] = "person",
) -> TopicRun:
    """Ask for a run over the project, or one feature, and return it; one that waits or runs already is that run."""
    for row in store.open_topic_runs(_MOST_OPEN):
        if row.project_id == project_id and row.record.feature == feature:
            return row.record
    run = TopicRun(id=new_id(now), state="asked", by=by, asked_at=now, feature=feature)
    store.commit({project_id: Writes(topic_runs=[run])})
    return run


def _scope(feature: str | None, places: Sequence[TopicPlace]) -> Scope:
    known = [
        KnownPlace(place.topic_id, place.space, place.centroid, [*place.feedback_ids, *place.inference_ids])
        for place in places
        if place.topic_id is not None
    ]
    return Scope(feature, known, [key for place in places for key in (*place.feedback_ids, *place.inference_ids)])
