"""Topics: what people keep saying, found in the vectors of their words.

Pure functions: texts, vectors and the topics known before go in; topics come out, with the words that tell them apart,
the same ids as before, their course over days, and whether they are emerging.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trimtab.ids import derived_id
from trimtab.records import Topic, TopicDay
from trimtab.stats.ctfidf import telling_terms

__all__ = ["OUTLIER", "Said", "Survey", "TopicRules", "clusters", "emergence", "find_topics", "matched"]

Vectors = NDArray[np.float32]
Labels = NDArray[np.intp]
OUTLIER = -1


class TopicRules(Struct, frozen=True, kw_only=True):
    """What counts as a topic.

    A topic has at least `min_size` texts, or half the root of their number where that is more (39 of 6,000), of
    `min_users` people. A text that stands alone joins the topic whose centroid is nearest when their cosine is at least
    `join_cosine`. A topic keeps its id when the cosine with where it was is at least `same_cosine`. `false_alarm_rate`
    bounds how often a run calls any topic emerging although nothing changed; `recent` is compared with `before` that.
    """

    min_size: int = 10
    min_users: int = 3
    dimensions: int = 40
    most: int = 8_000
    join_cosine: float = 0.5
    same_cosine: float = 0.7
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
    known: Mapping[str, Vectors] | None = None,
    rules: TopicRules | None = None,
) -> Survey:
    """Return the topics of these texts (`vectors` n x d, unit length or zero, of one space).

    `known` are the centroids, by topic id, that a run before found, in this space. The same input gives the same
    topics; an id that is new is derived from the feature, `now` and the topic's first text.
    """
    rules = rules or TopicRules()
    members = clusters(vectors, rules=rules)
    members = _with_people(members, said, rules.min_users)
    count = int(members.max(initial=OUTLIER)) + 1
    if count == 0:
        return Survey([], np.zeros((0, vectors.shape[1]), dtype=np.float32), members)
    centroids = _centroids(vectors, members, count)
    places = [np.flatnonzero(members == each).tolist() for each in range(count)]
    names = telling_terms([[said[place].text for place in each] for each in places], terms=rules.label_terms)
    kept = matched(known or {}, centroids, floor=rules.same_cosine)
    odds = emergence(said, members, count, now=now, rules=rules)
    topics = []
    for each in range(count):
        texts = [said[place] for place in places[each]]
        first = min(texts, key=lambda item: (item.created_at, item.id))
        near = np.argsort(-(vectors[places[each]] @ centroids[each]), kind="stable").tolist()
        topics.append(
            Topic(
                id=kept.get(each) or derived_id("topic", feature or "", now.isoformat(), first.id),
                feature=feature,
                found_at=now,
                space=space,
                words=names[each],
                size=len(texts),
                users=len({_person(item) for item in texts}),
                first_seen_at=first.created_at,
                last_seen_at=max(item.created_at for item in texts),
                days=_days(texts),
                emerging=odds[each] <= rules.false_alarm_rate / count,
                p_value=odds[each],
                examples=[texts[place].id for place in near[: rules.examples]],
            )
        )
    return Survey(topics, centroids, members)


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


def matched(known: Mapping[str, Vectors], centroids: Vectors, *, floor: float) -> dict[int, str]:
    """Return which of the centroids (k x d) are topics known before, at most one each: place -> id.

    The assignment with the greatest sum of cosines (Kuhn, "The Hungarian method", 1955); pairs below `floor` are no
    pairs.
    """
    if not known or not len(centroids):
        return {}
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  see `clusters`

    ids = sorted(known)
    cosines = centroids @ np.stack([known[each] for each in ids]).T
    # What is below the floor must not pull a pair that is above it apart.
    pairs = linear_sum_assignment(np.where(cosines >= floor, cosines, 0.0), maximize=True)
    return {int(place): ids[which] for place, which in zip(*pairs, strict=True) if cosines[place, which] >= floor}


def emergence(said: Sequence[Said], members: Labels, count: int, *, now: datetime, rules: TopicRules) -> list[float]:
    """Return for each topic how likely so many new people were lately, had its share not grown (a one-sided p-value).

    A person counts once per topic, at the first time they spoke of it within `before` + `recent`. Of all such firsts, a
    topic has n, of which x are recent; under "nothing changed" x is hypergeometric (Fisher's exact test, 1935). Call a
    topic emerging when p <= alpha / topics (Bonferroni): then one run in 1 / alpha, or fewer, calls any topic emerging
    by chance. Assumption: topics are formed without regard to time, and when nothing changes the firsts of different
    people are exchangeable in time. A growing product with the same mix raises no flag.
    """
    from scipy.stats import hypergeom  # noqa: PLC0415  see `clusters`

    since, recent = now - rules.recent - rules.before, now - rules.recent
    firsts: dict[tuple[int, str], datetime] = {}
    for item, member in zip(said, members.tolist(), strict=True):
        if since <= item.created_at <= now:
            key = (member, _person(item))
            firsts[key] = min(firsts.get(key, item.created_at), item.created_at)
    all_of = Counter(member for member, _ in firsts)
    late = Counter(member for (member, _), at in firsts.items() if at > recent)
    return [
        float(hypergeom.sf(late[each] - 1, all_of.total(), late.total(), all_of[each])) if late[each] else 1.0
        for each in range(count)
    ]


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
