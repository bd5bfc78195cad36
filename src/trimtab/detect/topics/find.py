"""Topics: what people keep saying, found in the vectors of their words.

Pure functions: texts, vectors and the topics known before go in; topics come out, with the words that tell them apart,
the same ids as before, their course over days, and whether they are emerging.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trimtab.detect.topics.identity import Known, told_again
from trimtab.ids import derived_id
from trimtab.records import Topic, TopicDay
from trimtab.stats.ctfidf import telling_terms
from trimtab.stats.holm import holm

__all__ = ["OUTLIER", "Said", "Survey", "TopicRules", "adjusted", "chance", "clusters", "emergence", "find_topics"]

Vectors = NDArray[np.float32]
Labels = NDArray[np.intp]
OUTLIER = -1


class TopicRules(Struct, frozen=True, kw_only=True):
    """What counts as a topic.

    A topic has at least `min_size` texts, or half the root of their number where that is more (39 of 6,000), of
    `min_users` people. A text that stands alone joins the topic whose centroid is nearest when their cosine is at least
    `join_cosine`. A topic keeps its id when the cosine with where it was is at least `same_cosine`, or that of its
    texts `same_members`. `false_alarm_rate` bounds how often a run calls any topic emerging although nothing changed;
    `recent` is compared with `before` that.
    """

    min_size: int = 10
    min_users: int = 3
    dimensions: int = 40
    most: int = 8_000
    join_cosine: float = 0.5
    same_cosine: float = 0.7
    same_members: float = 0.5
    label_terms: int = 5
    examples: int = 20
    recent: timedelta = timedelta(days=7)
    before: timedelta = timedelta(days=28)
    false_alarm_rate: float = 0.05
    seed: int = 0


class Said(NamedTuple):
    """One text, who said it (None: unknown, counted as a person of its own) and when."""

    id: str
    text: str
    user_id: str | None
    created_at: datetime


class Survey(NamedTuple):
    """What was found: topics, the largest first, their centroids (k x d, unit length), and each text's topic.

    `members` holds for each text the place of its topic, -1 for an outlier.
    """

    topics: list[Topic]
    centroids: Vectors
    members: Labels

    @property
    def outliers(self) -> int:
        """How many texts belong to no topic."""
        return int((self.members == OUTLIER).sum())


def find_topics(
    said: Sequence[Said],
    vectors: Vectors,
    *,
    feature: str | None,
    space: str,
    now: datetime,
    known: Sequence[Known] = (),
    seen: Collection[str] = (),
    rules: TopicRules | None = None,
) -> Survey:
    """Return the topics of these texts (`vectors` n x d, unit length or zero, of one space), in whatever order.

    `known` are the topics that runs before found, `seen` the ids of all texts the last one looked at. The same texts
    give the same topics; an id that is new is derived from the feature, `now` and the topic's first text. Which topics
    are emerging is decided among these topics alone; see `adjusted` for those of several surveys.
    """
    rules = rules or TopicRules()
    order = sorted(range(len(said)), key=lambda place: (said[place].created_at, said[place].id))
    said, vectors = [said[place] for place in order], vectors[order]
    members = _with_people(clusters(vectors, rules=rules), said, rules.min_users)
    count = int(members.max(initial=OUTLIER)) + 1
    back = np.empty_like(members)
    back[order] = members
    if count == 0:
        return Survey([], np.zeros((0, vectors.shape[1]), dtype=np.float32), back)
    centroids = _centroids(vectors, members, count)
    places = [np.flatnonzero(members == each).tolist() for each in range(count)]
    kept = told_again(
        known,
        seen,
        centroids,
        [frozenset(said[place].id for place in each) for each in places],
        space=space,
        same_cosine=rules.same_cosine,
        same_members=rules.same_members,
    )
    words = telling_terms([_by_person([said[place] for place in each]) for each in places], terms=rules.label_terms)
    odds = emergence(said, members, count, now=now, rules=rules)
    topics = []
    for each in range(count):
        texts = [said[place] for place in places[each]]
        near = np.argsort(-(vectors[places[each]] @ centroids[each]), kind="stable")[: rules.examples].tolist()
        fresh = Topic(
            id=kept.get(each) or derived_id("topic", feature or "", now.isoformat(), texts[0].id),
            feature=feature,
            found_at=now,
            space=space,
            words=words[each],
            p_value=odds[each],
            examples=[texts[place].id for place in near],
            **_counts(texts),
        )
        topics.append(fresh)
    return Survey(adjusted([topics], rules.false_alarm_rate)[0], centroids, back)


def _counts(texts: Sequence[Said]) -> dict[str, Any]:
    """Return the fields of a topic that count its texts, which come in order of time."""
    return {
        "size": len(texts),
        "users": len({_person(item) for item in texts}),
        "first_seen_at": texts[0].created_at,
        "last_seen_at": texts[-1].created_at,
        "days": _days(texts),
    }


def adjusted(surveys: Sequence[Sequence[Topic]], false_alarm_rate: float) -> list[list[Topic]]:
    """Return the topics of one run with their p-values adjusted for all of them (Holm), and whether they are emerging.

    So the chance that a run calls any topic emerging while nothing changed is at most `false_alarm_rate`, however many
    topics and features it looked at.
    """
    odds = iter(holm([topic.p_value for topics in surveys for topic in topics]))
    found = []
    for topics in surveys:
        told = [(topic, next(odds)) for topic in topics]
        found.append(
            [msgspec.structs.replace(topic, p_adjusted=p, emerging=p <= false_alarm_rate) for topic, p in told]
        )
    return found


def clusters(vectors: Vectors, *, rules: TopicRules) -> Labels:
    """Return each row's cluster, the largest first from 0, -1 for rows that belong to none.

    Principal components, brought to unit length so that distance is by direction, then HDBSCAN (Campello, Moulavi and
    Sander, PAKDD 2013), which needs no number of clusters and leaves out what is alone. Then a row that was left out
    joins the nearest centroid if its cosine is high enough. Rows of zeros stay out. Assumption: a topic is a region
    where texts lie denser than around it. The time grows with the square of the rows, so of more than `most` a random
    sample is clustered, and the rest joins.
    """
    from sklearn.cluster import HDBSCAN  # noqa: PLC0415  a second of importing, for a run that is made once a night
    from sklearn.decomposition import PCA  # noqa: PLC0415  see above

    members: Labels = np.full(len(vectors), OUTLIER, dtype=np.intp)
    spoken = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 0)
    sample = spoken
    if len(spoken) > rules.most:
        sample = np.sort(np.random.default_rng(rules.seed).choice(spoken, rules.most, replace=False))
    smallest = max(rules.min_size, round(len(sample) ** 0.5 / 2))
    if len(sample) < 2 * smallest:
        return members
    rows = vectors[sample]
    reduced = PCA(min(rules.dimensions, *rows.shape), random_state=rules.seed).fit_transform(rows)
    reduced /= np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-9)
    found = HDBSCAN(min_cluster_size=smallest, min_samples=min(5, smallest), copy=True).fit_predict(reduced)
    if found.max() == OUTLIER:
        return members
    members[sample] = found
    cosines = vectors[spoken] @ _centroids(rows, found, int(found.max()) + 1).T
    alone = (members[spoken] == OUTLIER) & (cosines.max(axis=1) >= rules.join_cosine)
    members[spoken[alone]] = cosines.argmax(axis=1)[alone]
    return _ordered(members)


def emergence(said: Sequence[Said], members: Labels, count: int, *, now: datetime, rules: TopicRules) -> list[float]:
    """Return for each topic how likely so many people lately were, had its share not grown (a one-sided p-value).

    A person counts once per topic, at the time of one of their texts of it within `before` + `recent`, drawn by chance
    (by a hash of the text's id). Of all such draws a topic has n, of which x are recent; under "nothing changed" x is
    hypergeometric (Fisher's exact test, 1935). Their first texts would not do: who speaks often is early, and a topic
    of people who speak once would seem to grow. Assumption: topics are formed without regard to time, and when nothing
    changes the draws of different people are exchangeable in time. A growing product with the same mix raises no flag.
    """
    from scipy.stats import hypergeom  # noqa: PLC0415  see `clusters`

    since, recent = now - rules.recent - rules.before, now - rules.recent
    drawn: dict[tuple[int, str], tuple[bytes, datetime]] = {}
    for item, member in zip(said, members.tolist(), strict=True):
        if since <= item.created_at <= now:
            key, ticket = (member, _person(item)), (chance(item.id), item.created_at)
            drawn[key] = min(drawn.get(key, ticket), ticket)
    all_of = Counter(member for member, _ in drawn)
    late = Counter(member for (member, _), (_, at) in drawn.items() if at > recent)
    return [
        float(hypergeom.sf(late[each] - 1, all_of.total(), late.total(), all_of[each])) if late[each] else 1.0
        for each in range(count)
    ]


def chance(text_id: str) -> bytes:
    """Return what decides a draw: the same for a text whenever it is asked, and in no relation to its time."""
    return hashlib.blake2b(text_id.encode(), digest_size=8).digest()


def _with_people(members: Labels, said: Sequence[Said], least: int) -> Labels:
    """Take out what too few people said, however often: one person's habit is no topic."""
    people: dict[int, set[str]] = defaultdict(set)
    for item, member in zip(said, members.tolist(), strict=True):
        people[member].add(_person(item))
    few = [member for member, who in people.items() if member != OUTLIER and len(who) < least]
    kept = members.copy()
    kept[np.isin(kept, few)] = OUTLIER
    return _ordered(kept)


def _ordered(members: Labels) -> Labels:
    """Return the members with clusters numbered by size, the largest 0; of equals the one that comes first."""
    numbers, firsts, sizes = np.unique(members[members != OUTLIER], return_index=True, return_counts=True)
    order = np.lexsort((firsts, -sizes))
    renamed = {int(numbers[old]): new for new, old in enumerate(order)}
    return np.array([renamed.get(int(member), OUTLIER) for member in members], dtype=np.intp)


def _centroids(vectors: Vectors, members: Labels, count: int) -> Vectors:
    means = np.stack([vectors[members == each].mean(axis=0) for each in range(count)])
    units: Vectors = (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return units


def _days(texts: Sequence[Said]) -> list[TopicDay]:
    by_day: dict[date, list[Said]] = defaultdict(list)
    for item in texts:
        by_day[item.created_at.astimezone(UTC).date()].append(item)
    return [
        TopicDay(day=day.isoformat(), events=len(items), users=len({_person(item) for item in items}))
        for day, items in sorted(by_day.items())
    ]


def _person(item: Said) -> str:
    return item.user_id or f"text:{item.id}"


def _by_person(texts: Sequence[Said]) -> list[str]:
    """Return what each person said as one text: what only one of them says names no topic."""
    by_person: dict[str, list[str]] = defaultdict(list)
    for item in texts:
        by_person[_person(item)].append(item.text)
    return ["\n".join(each) for each in by_person.values()]
