"""Plain records for the tests of the hot store; every one differs from the next only where a test says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from trimtab.ids import derived_id, new_id
from trimtab.records import (
    ApiKey,
    AuditItem,
    Calibration,
    Case,
    Change,
    Delivery,
    Exemplar,
    Feature,
    Feedback,
    Incident,
    Inference,
    KnowledgePatch,
    Message,
    Monitor,
    Opinion,
    Outcome,
    Redacted,
    RedactionPattern,
    RedactionSettings,
    ReviewItem,
    Rollout,
    Run,
    Topic,
    TopicDay,
    TopicRun,
    User,
    Version,
)
from trimtab.store.ports import Arrival, Page, Target

T = TypeVar("T")
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SESSION = Target("session", "s-1")
P = "p"


def ids(page: Page[Any]) -> list[str]:
    return [row.record.id for row in page.rows]


def sealed(record: T) -> Redacted[T]:
    return Redacted(record, "test")


def arrival(record: Inference | Feedback, project_id: str = "p") -> Arrival:
    event: Any = sealed(record)
    return Arrival(project_id, event, NOW)


def inference(**fields: Any) -> Inference:
    told = {"id": new_id(NOW), "feature": "answer", "created_at": NOW, "input": "what is it?", "output": "a thing"}
    return Inference(**{**told, **fields})


def feedback(**fields: Any) -> Feedback:
    told = {"id": new_id(NOW), "kind": "thumb", "value": 0.0, "created_at": NOW, "session_id": "s-1"}
    return Feedback(**{**told, **fields})


def user(**fields: Any) -> User:
    return User(**{"id": "u-1", "updated_at": NOW, "plan": "pro", "properties": {"team": "blue"}, **fields})


def calibration(**fields: Any) -> Calibration:
    told = {"id": new_id(NOW), "feature": "answer", "created_at": NOW, "base": -1.7, "weights": {"copy": -1.25}}
    return Calibration(**{**told, **fields})


def audit_item(about: Inference, **fields: Any) -> AuditItem:
    told = {"inference_id": about.id, "feature": about.feature, "created_at": about.created_at, "drawn_at": NOW}
    return AuditItem(**{**told, **fields})


def delivery(**fields: Any) -> Delivery:
    told = {"target": "ops", "kind": "incident.opened", "state": "waiting", "created_at": NOW, "next_at": NOW}
    return Delivery(**{"id": new_id(NOW), **told, "body": {"incident": {"negatives": 7}}, **fields})


def review_item(**fields: Any) -> ReviewItem:
    told = {"feature": "answer", "source": "incident", "state": "open", "reason": "why", "priority": 1.0}
    return ReviewItem(**{"id": new_id(NOW), "inference_id": new_id(NOW), **told, "opened_at": NOW, **fields})


def correction(about: Inference, **fields: Any) -> Feedback:
    return feedback(**{"kind": "correction", "value": None, "text": "right", "inference_id": about.id, **fields})


def opinion(said: Feedback, about: Inference, **fields: Any) -> Opinion:
    told = {
        "inference_id": about.id,
        "feedback_id": said.id,
        "kind": said.kind,
        "source": said.source,
        "created_at": said.created_at,
        "user_id": said.user_id,
        "value": said.value,
        "retracted": said.retracted,
    }
    return Opinion(**{**told, **fields})


def outcome(about: Inference, **fields: Any) -> Outcome:
    told = {
        "inference_id": about.id,
        "feature": about.feature,
        "created_at": about.created_at,
        "judged_at": NOW,
        "p_bad": 1.0,
        "confidence": 1.0,
        "tier": "A",
        "evidence": [],
        "version_id": about.version_id,
        "user_id": about.user_id,
    }
    return Outcome(**{**told, **fields})


def monitor(**fields: Any) -> Monitor:
    told = {"id": new_id(NOW), "feature": "answer", "version_id": "v1", "reference": 0.1, "reference_kind": "target"}
    return Monitor(**{**told, "created_at": NOW, "detector": {"log_e": 0.5, "n": [1, 2]}, **fields})


def incident(**fields: Any) -> Incident:
    told = {
        "id": new_id(NOW),
        "feature": "answer",
        "version_id": "v1",
        "monitor_id": derived_id("m"),
        "state": "firing",
        "onset_at": NOW,
        "first_signal_at": NOW,
        "detected_at": NOW,
        "reference": 0.1,
        "observed": 0.4,
        "events": 20,
        "negatives": 8,
        "users": 8,
        "log_evidence": 6.5,
        "log_threshold": 4.6,
    }
    return Incident(**{**told, **fields})


def change(**fields: Any) -> Change:
    told = {"id": new_id(NOW), "feature": "answer", "kind": "exemplar", "state": "building", "created_at": NOW}
    return Change(**{**told, "base_version_id": "v1", "canary": {"log_e": -0.25}, **fields})


def run(**fields: Any) -> Run:
    told = {"id": new_id(NOW), "playbook": "exemplar", "feature": "answer", "state": "running", "started_at": NOW}
    return Run(**{**told, **fields})


def version(**fields: Any) -> Version:
    told = {
        "feature": "answer",
        "created_at": NOW,
        "messages": [Message(role="user", content="{input}")],
        "exemplars": [Exemplar(id="x1", input="a", output="b", added_at=NOW)],
    }
    return Version(**{**told, **fields}).identified()


def case(**fields: Any) -> Case:
    told = {"id": new_id(NOW), "feature": "answer", "created_at": NOW, "input": {"q": "a"}, "expected": "b"}
    return Case(**{**told, **fields})


def key(**fields: Any) -> ApiKey:
    told = {"id": new_id(NOW), "project_id": "p", "kind": "ingest", "label": "p", "hint": "tt_ab", "sha256": "0" * 64}
    return ApiKey(**{**told, "created_at": NOW, **fields})


def feature(name: str = "answer", **fields: Any) -> Feature:
    return Feature(**{"name": name, "created_at": NOW, **fields})


def rollout(revision: int, **fields: Any) -> Rollout:
    told = {"feature": "answer", "stable_version_id": "v1", "updated_at": NOW, "id": new_id(NOW)}
    return Rollout(**{**told, "revision": revision, **fields})


def redaction(revision: int, **fields: Any) -> RedactionSettings:
    extra = [RedactionPattern(name="member", pattern=r"MB-\d{6}")]
    told = {"mode": "lenient", "disabled": ["IP"], "allow": ["1{3}"], "extra": extra, "updated_by": new_id(NOW)}
    return RedactionSettings(**{"revision": revision, "updated_at": NOW, **told, **fields})


def topic(**fields: Any) -> Topic:
    told = {"id": new_id(NOW), "found_at": NOW, "space": "lsa_1", "words": ["late parcel", "courier"], "size": 12}
    days = [TopicDay(day="2026-03-01", events=12, users=9)]
    more = {"users": 9, "first_seen_at": NOW - SECOND, "last_seen_at": NOW, "days": days, "p_value": 0.25}
    return Topic(**{**told, **more, "examples": [new_id(NOW)], **fields})


def patch(**fields: Any) -> KnowledgePatch:
    told = {"id": new_id(NOW), "feature": "answer", "kind": "upsert", "state": "waiting", "created_at": NOW}
    more = {"next_at": NOW, "entry_id": "k_1", "version_id": "v_1", "question": "when?", "text": "in 14 days"}
    return KnowledgePatch(**{**told, **more, **fields})


def topic_run(**fields: Any) -> TopicRun:
    return TopicRun(**{"id": new_id(NOW), "state": "asked", "by": "person", "asked_at": NOW, **fields})
