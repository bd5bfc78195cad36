"""What people keep saying: topics, their texts, and the runs that find them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

from litestar import get, post
from litestar.params import FromPath, RawBody
from msgspec import Struct

from trimtab.detect.topics.stage import ask
from trimtab.errors import InvalidField, NotFound
from trimtab.records import Feedback, Inference, Name, Topic, TopicRun, TopicState, TopicSurvey
from trimtab.runtime.assemble import Engine
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, listing, read
from trimtab.server.query import asked, query_of
from trimtab.store.ports import Query

__all__ = ["ROUTES", "RunAsked", "TopicFound", "TopicWord", "Topics"]

_RUN_STATES = ("asked", "running", "done", "failed")
_RUNS_LOOKED_AT = 200


class Topics(Struct, frozen=True, kw_only=True):
    """The topics of a feature, or of the whole project, the largest first, and what was found beside them.

    `found_at` and `survey` are of the last run that looked here, null before there was one: how many texts there were
    (`said`), how many of them were looked at (`texts`), and how many of these belong to no topic (`outliers`).
    """

    items: list[Topic]
    found_at: datetime | None
    survey: TopicSurvey | None


class TopicWord(Struct, frozen=True, kw_only=True):
    """One text of a topic: `feedback` with the answer it is about where that is known, or the `inference` itself.

    An inference alone is an answer judged bad; its input is the text.
    """

    kind: Literal["feedback", "inference"]
    feedback: Feedback | None
    inference: Inference | None


class TopicFound(Struct, frozen=True, kw_only=True):
    """A topic with its examples, the nearest to its middle first; what was erased since is not among them."""

    topic: Topic
    examples: list[TopicWord]


class RunAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to look for topics: in one feature, or (null) in the whole project and each of its features."""

    feature: Name | None = None


@get(
    "/v1/topics",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Topics, query=("feature", "since", "emerging", "state")),
)
def list_topics(request: Call) -> Topics:
    """List what people keep saying of a feature or, without `feature`, in the whole project; the largest first.

    Topics of the whole project and those of its features are found apart: a text may belong to one of each. `since`:
    only topics spoken of since then; `state`: `live` unless told, `gone` for those that the last run did not find.
    """
    told, engine, project_id = asked(request), engine_of(request), request.auth.project_id
    _check(told.state, get_args(TopicState))
    states = tuple(state for state in get_args(TopicState) if state in told.state)
    items = [
        topic
        for topic in engine.store.topics(project_id, told.feature, states or ("live",))
        if (told.since is None or topic.last_seen_at >= told.since)
        and (told.emerging is None or topic.emerging == told.emerging)
    ]
    run, survey = _last(engine, project_id, told.feature)
    return Topics(items=items, found_at=run.started_at if run else None, survey=survey)


@get(
    "/v1/topics/runs",
    sync_to_thread=True,
    opt=contract(
        "read",
        "admin",
        answer=Listing[TopicRun],
        query=("feature", "since", "until", "after", "limit", "order", "state"),
    ),
)
def list_topic_runs(request: Call) -> Listing[TopicRun]:
    """List the runs that looked for topics; `feature`: those that were asked for this feature alone."""
    told = asked(request)
    _check(told.state, _RUN_STATES)
    return listing(engine_of(request).store.topic_runs(request.auth.project_id, query_of(told), told.state))


@post(
    "/v1/topics/runs",
    sync_to_thread=True,
    opt=contract("admin", body=RunAsked, answer=TopicRun, status=202, body_required=False),
    status_code=202,
)
def start_topic_run(request: Call, body: RawBody) -> TopicRun:
    """Look for topics now. Returns at once with the run: `GET /v1/topics/runs/{run_id}` says when it is done.

    Where such a run waits or goes on already, that one is returned.
    """
    told, engine, project_id = read(body, RunAsked), engine_of(request), request.auth.project_id
    if told.feature is not None and told.feature not in {each.name for each in engine.store.features(project_id)}:
        raise NotFound(
            f"no feature {told.feature!r}; its first answer or PUT /v1/features/NAME makes it", param="feature"
        )
    return ask(engine.store, project_id, told.feature, engine.clock.now())


@get("/v1/topics/runs/{run_id:str}", sync_to_thread=True, opt=contract("read", "admin", answer=TopicRun))
def get_topic_run(request: Call, run_id: FromPath[str]) -> TopicRun:
    """Return one run: its state and what it found, by feature."""
    run = engine_of(request).store.topic_run(request.auth.project_id, id_in_path(run_id, "run"))
    if run is None:
        raise NotFound(f"no run {run_id!r} that looked for topics", param="run_id")
    return run


@get("/v1/topics/{topic_id:str}", sync_to_thread=True, opt=contract("read", "admin", answer=TopicFound))
def get_topic(request: Call, topic_id: FromPath[str]) -> TopicFound:
    """Return a topic with its examples: the texts themselves, and the answers they are about."""
    engine, project_id = engine_of(request), request.auth.project_id
    topic = _topic(engine, project_id, topic_id)
    place = engine.store.topic_place(project_id, topic)
    asked_ids = set(place.inference_ids) if place else set()
    keys = [("inference" if key in asked_ids else "feedback", key) for key in topic.examples]
    return TopicFound(topic=topic, examples=_words(engine, project_id, keys))


@get(
    "/v1/topics/{topic_id:str}/feedback",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[TopicWord], query=("kind", "after", "limit")),
)
def list_topic_words(request: Call, topic_id: FromPath[str]) -> Listing[TopicWord]:
    """List the texts of a topic as its last run found them: feedback, then inputs of bad answers, newest first each.

    What was erased since is left out, so that a page may have fewer items than `limit`; follow `next` to the end. A run
    that ends between two pages changes what is listed.
    """
    told, engine, project_id = asked(request), engine_of(request), request.auth.project_id
    place = engine.store.topic_place(project_id, _topic(engine, project_id, topic_id))
    keys: list[tuple[str, str]] = []
    if place is not None:
        keys += [("feedback", key) for key in place.feedback_ids if told.kind != "inference"]
        keys += [("inference", key) for key in place.inference_ids if told.kind != "feedback"]
    start = told.after or 0
    end = start + told.limit
    return Listing(_words(engine, project_id, keys[start:end]), str(end) if end < len(keys) else None)


def _check(told: tuple[str, ...], known: tuple[str, ...]) -> None:
    for state in told:
        if state not in known:
            raise InvalidField(f"state: expected one of {', '.join(known)}, got {state[:60]!r}", param="state")


def _topic(engine: Engine, project_id: str, topic_id: str) -> Topic:
    topic = engine.store.topic(project_id, id_in_path(topic_id, "topic"))
    if topic is None:
        raise NotFound(f"no topic {topic_id!r}; one that was gone for long is forgotten", param="topic_id")
    return topic


def _last(engine: Engine, project_id: str, feature: str | None) -> tuple[TopicRun | None, TopicSurvey | None]:
    """Return the newest run that looked into the feature, and what it found there."""
    for row in engine.store.topic_runs(project_id, Query(limit=_RUNS_LOOKED_AT), ("done",)).rows:
        for survey in row.record.surveys:
            if survey.feature == feature:
                return row.record, survey
    return None, None


def _words(engine: Engine, project_id: str, keys: list[tuple[str, str]]) -> list[TopicWord]:
    """Return the texts that are still kept, in order, feedback with the answer it is about."""
    said = engine.store.feedback(project_id, [key for kind, key in keys if kind == "feedback"])
    about = engine.store.joined(project_id, list(said))
    ids = {*about.values(), *(key for kind, key in keys if kind == "inference")}
    answers = engine.store.inferences(project_id, sorted(ids))
    found = []
    for kind, key in keys:
        if kind == "feedback" and key in said:
            found.append(TopicWord(kind="feedback", feedback=said[key], inference=answers.get(about.get(key, ""))))
        elif kind == "inference" and key in answers:
            found.append(TopicWord(kind="inference", feedback=None, inference=answers[key]))
    return found


ROUTES = [list_topics, list_topic_runs, start_topic_run, get_topic_run, get_topic, list_topic_words]
