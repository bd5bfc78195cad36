"""Topics that emerge open incidents for people to read, and those are over when the topic is news no more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from trimtab.ids import derived_id
from trimtab.records import Incident, Topic
from trimtab.store.ports import LoopStore, Query

__all__ = ["RULE", "incidents_of"]

RULE = "topics"


def incidents_of(
    store: LoopStore,
    project_id: str,
    feature: str,
    topics: Sequence[Topic],
    old: Mapping[str, Topic],
    now: datetime,
    *,
    false_alarm_rate: float,
) -> list[Incident]:
    """Return what one run changes about the incidents of a feature's topics.

    One opens when a topic begins to emerge, and is resolved when it does so no more or is gone. One that a person has
    closed stays closed until its topic was news no more and emerges again.
    """
    rows = store.incidents(project_id, Query(feature=feature, limit=1000), states=("firing", "recovering")).rows
    held = {row.record.monitor_id: row.record for row in rows if row.record.kind == "topic"}
    emerging = {topic.id: topic for topic in topics if topic.emerging and topic.state == "live"}
    over = {"state": "resolved", "resolution": "verified", "resolved_at": now}
    ended = [msgspec.structs.replace(each, **over) for key, each in held.items() if key not in emerging]
    news = [topic for key, topic in emerging.items() if key not in held and not (key in old and old[key].emerging)]
    return [*ended, *(_opened(feature, topic, now, false_alarm_rate) for topic in news)]


def _opened(feature: str, topic: Topic, now: datetime, false_alarm_rate: float) -> Incident:
    began = min(topic.first_seen_at, now)
    return Incident(
        id=derived_id("incident", topic.id, now.isoformat()),
        feature=feature,
        version_id="any",
        monitor_id=topic.id,
        state="firing",
        onset_at=began,
        first_signal_at=began,
        detected_at=now,
        reference=0.0,
        observed=0.0,
        events=topic.size,
        negatives=0,
        users=topic.users,
        log_evidence=-math.log(max(topic.p_adjusted, 1e-300)),
        log_threshold=-math.log(false_alarm_rate),
        kind="topic",
        metric=RULE,
        rule=RULE,
        held="lately more people than usual say the same: read what, GET /v1/topics names it",
        detail={"topic": topic.id, "p_value": topic.p_value},
    )
