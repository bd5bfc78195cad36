"""From what a search found to what is kept: topics that go on, those that are gone, and where each lies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from trimtab.detect.topics.find import OUTLIER
from trimtab.detect.topics.gather import Gathered
from trimtab.detect.topics.job import Found
from trimtab.records import Topic, TopicDay, TopicSurvey
from trimtab.store.ports import TopicPlace

__all__ = ["Published", "published"]

_KEPT_DAYS = 366


class Published(NamedTuple):
    """What one scope's search changes: topics to write, places, ids of topics to forget, and what is said of it."""

    topics: list[Topic]
    places: list[TopicPlace]
    forgotten: list[str]
    survey: TopicSurvey


def published(found: Found, old: Mapping[str, Topic], gathered: Gathered, *, since: datetime) -> Published:
    """Compare what was found with the topics known before, whose texts were looked at from `since` on.

    A topic found again keeps its name, when it was first seen and its days before `since`. One that was not found is
    gone and stays as it was last found; a later run forgets it once that lies before `since`.
    """
    topics = [_continued(topic, old.get(topic.id), since) for topic in found.topics]
    here = {topic.id for topic in topics}
    missed = [topic for topic in old.values() if topic.id not in here]
    forgotten = [topic.id for topic in missed if topic.state == "gone" and topic.found_at < since]
    lost = [topic for topic in missed if topic.state == "live"]
    gone = [msgspec.structs.replace(topic, state="gone", emerging=False) for topic in lost]
    outliers = found.members.count(OUTLIER)
    survey = TopicSurvey(
        feature=found.feature,
        space=found.space,
        said=gathered.said[found.feature],
        texts=len(found.members),
        topics=len(topics),
        outliers=outliers,
        outlier_share=outliers / max(1, len(found.members)),
        emerging=sum(topic.emerging for topic in topics),
        new=len(here - old.keys()),
        kept=len(here & old.keys()),
        gone=len(lost),
    )
    return Published([*topics, *gone], _places(found, gathered), forgotten, survey)


def _places(found: Found, gathered: Gathered) -> list[TopicPlace]:
    """Return where each topic lies and its texts, the newest first; the outliers have a place without a centroid."""
    said: dict[int, list[str]] = {place: [] for place in range(OUTLIER, len(found.topics))}
    asked: dict[int, list[str]] = {place: [] for place in said}
    for number, member in zip(reversed(found.words), reversed(found.members), strict=True):
        word = gathered.words[number]
        (said if word.kind == "feedback" else asked)[member].append(word.id)
    return [
        TopicPlace(
            topic_id=None if place == OUTLIER else found.topics[place].id,
            feature=found.feature,
            space=found.space,
            centroid=b"" if place == OUTLIER else found.centroids[place],
            feedback_ids=said[place],
            inference_ids=asked[place],
        )
        for place in said
    ]


def _continued(topic: Topic, old: Topic | None, since: datetime) -> Topic:
    if old is None:
        return topic
    first = topic.days[0].day if topic.days else since.date().isoformat()
    before: list[TopicDay] = [day for day in old.days if day.day < min(first, since.date().isoformat())]
    return msgspec.structs.replace(
        topic,
        name=old.name,
        first_seen_at=min(topic.first_seen_at, old.first_seen_at),
        days=[*before, *topic.days][-_KEPT_DAYS:],
    )
