"""Topics: what belongs together, what it is called, whether it is the same as before, and whether it is news."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from trimtab.detect.topics import Known, Said, Survey, TopicRules, emergence, find_topics, matched
from trimtab.embed.lsa import fit_lsa
from trimtab.ids import derived_id

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = {
    "card": ("card charged", ["twice", "again", "wrongly", "double", "yesterday"]),
    "parcel": ("parcel late", ["lost", "delayed", "missing", "courier", "week"]),
    "language": ("answer german", ["english", "wrong", "language", "translate", "spoken"]),
    "login": ("password login", ["reset", "locked", "expired", "email", "code"]),
}


def texts(kind: str, count: int, seed: int) -> list[str]:
    dice = random.Random(f"{kind}{seed}")
    stem, more = WORDS[kind]
    return [
        " ".join([stem, *dice.sample(more, 3), dice.choice(["please", "now", "today", "help"])]) for _ in range(count)
    ]


def said(kinds: Sequence[str], count: int, seed: int = 0, *, users: int = 1000) -> list[Said]:
    dice = random.Random(seed)
    return [
        Said(
            derived_id("said", kind, str(seed), str(place)),
            text,
            f"user-{dice.randrange(users)}",
            NOW - timedelta(hours=dice.uniform(0, 24 * 35)),
        )
        for kind in kinds
        for place, text in enumerate(texts(kind, count, seed))
    ]


SPACE = fit_lsa([text for kind in WORDS for text in texts(kind, 100, 9)], dimensions=32)


def survey(items: list[Said], *, known: Survey | None = None, rules: TopicRules | None = None) -> Survey:
    before = (
        [Known(topic.id, "s", row, frozenset()) for topic, row in zip(known.topics, known.centroids, strict=True)]
        if known
        else []
    )
    vectors = SPACE.embed([item.text for item in items])
    return find_topics(items, vectors, feature="f", space="s", now=NOW, known=before, rules=rules)


def test_what_is_said_alike_is_one_topic_named_by_its_words() -> None:
    items = said(list(WORDS), 40)
    found = survey(items)
    assert len(found.topics) == 4
    for place, kind in enumerate(WORDS):
        own = set(found.members[place * 40 : place * 40 + 40].tolist()) - {-1}
        assert len(own) == 1
        topic = found.topics[own.pop()]
        assert set(WORDS[kind][0].split()) & set(" ".join(topic.words).split())
        assert set(topic.examples) <= {item.id for item in items[place * 40 : place * 40 + 40]}
    assert sum(topic.size for topic in found.topics) + found.outliers == len(items)


def test_a_topic_counts_its_texts_people_and_days() -> None:
    items = [
        item._replace(user_id=f"user-{place % 7}", created_at=NOW - timedelta(days=place % 5))
        for place, item in enumerate(said(["card", "parcel"], 35))
    ]
    for topic in survey(items).topics:
        assert topic.users == 7
        assert sum(day.events for day in topic.days) == topic.size
        assert [day.day for day in topic.days] == [
            (NOW - timedelta(days=back)).date().isoformat() for back in (4, 3, 2, 1, 0)
        ]
        assert all(day.users <= min(7, day.events) for day in topic.days)
        assert (topic.first_seen_at, topic.last_seen_at) == (NOW - timedelta(days=4), NOW)


def test_texts_that_nothing_is_like_are_outliers() -> None:
    items = said(["card", "parcel"], 40)
    strange = [Said(derived_id("odd", str(n)), f"zq{n}x", None, NOW) for n in range(5)]
    found = survey([*items, *strange])
    assert found.members[-5:].tolist() == [-1] * 5
    assert found.outliers >= 5


def test_of_many_texts_a_sample_is_clustered_and_the_rest_joins() -> None:
    items = said(list(WORDS), 60)
    whole, sampled = survey(items), survey(items, rules=TopicRules(most=100))
    assert len(sampled.topics) == len(whole.topics) == 4
    assert (sampled.members != -1).mean() > 0.8
    for place in range(4):
        assert len(set(sampled.members[place * 60 : place * 60 + 60].tolist()) - {-1}) == 1


def test_the_same_texts_give_the_same_topics() -> None:
    items = said(list(WORDS), 30)
    first, again = survey(items), survey(items)
    assert first.topics == again.topics
    assert np.array_equal(first.members, again.members)


def test_a_topic_keeps_its_id_when_new_texts_come_and_others_begin() -> None:
    before = survey(said(["card", "parcel", "language"], 40, seed=1))
    after = survey(said(["card", "parcel", "language", "login"], 50, seed=2), known=before)
    names = {topic.id: set(" ".join(topic.words).split()) for topic in before.topics}
    kept = [topic for topic in after.topics if topic.id in names]
    assert len(kept) == 3
    for topic in kept:
        assert names[topic.id] & set(" ".join(topic.words).split())
    (new,) = (topic for topic in after.topics if topic.id not in names)
    assert {"password", "login"} & set(" ".join(new.words).split())


def test_ids_go_to_the_nearest_and_never_to_two() -> None:
    rows = np.eye(4, dtype=np.float32)
    leaning = (rows[0] + 0.3 * rows[1]) / np.linalg.norm(rows[0] + 0.3 * rows[1])
    assert matched({"a": rows[0], "b": rows[3]}, np.stack([leaning, rows[0], rows[2]]), floor=0.7) == {1: "a"}
    assert matched({}, rows, floor=0.5) == {}
    assert matched({"a": rows[0]}, rows[:0], floor=0.5) == {}


def test_a_pair_below_the_floor_does_not_part_one_above_it() -> None:
    known = {"a": np.array([1, 0], dtype=np.float32), "b": np.array([0.6, 0.8], dtype=np.float32)}
    found = np.array([[0.98, 0.199], [0.0, 1.0]], dtype=np.float32)
    assert matched(known, found, floor=0.75) == {0: "a", 1: "b"}


def test_one_persons_habit_is_no_topic() -> None:
    items = said(["card", "parcel"], 40)
    habit = [Said(derived_id("habit", str(n)), text, "one", NOW) for n, text in enumerate(texts("login", 40, 5))]
    found = survey([*items, *habit])
    assert len(found.topics) == 2
    assert found.members[-40:].tolist() == [-1] * 40


def test_too_few_texts_have_no_topics() -> None:
    assert survey([]).topics == []
    few = survey(said(["card"], 6))
    assert few.topics == []
    assert few.outliers == 6


def test_a_topic_that_many_begin_to_speak_of_is_emerging() -> None:
    items = said(["card", "parcel", "language"], 40)
    lately = [
        item._replace(created_at=NOW - timedelta(days=random.Random(place).uniform(0, 6)))
        for place, item in enumerate(said(["login"], 40, seed=4))
    ]
    emerging = [topic for topic in survey([*items, *lately]).topics if topic.emerging]
    assert len(emerging) == 1
    assert {"password", "login"} & set(" ".join(emerging[0].words).split())


def test_one_person_who_repeats_makes_nothing_emerge() -> None:
    items = said(["card", "parcel", "language", "login"], 40)
    loud = [
        Said(derived_id("loud", str(n)), text, "loud", NOW - timedelta(hours=n))
        for n, text in enumerate(texts("login", 60, 6))
    ]
    assert not any(topic.emerging for topic in survey([*items, *loud]).topics)


def test_growth_of_everything_makes_nothing_emerge() -> None:
    items = [
        item._replace(created_at=NOW - timedelta(days=random.Random(place).uniform(0, 6)) * (1 if place % 4 else 5))
        for place, item in enumerate(said(list(WORDS), 60))
    ]
    assert not any(topic.emerging for topic in survey(items).topics)


@pytest.mark.parametrize("topics", [1, 8])
def test_of_runs_in_which_nothing_changed_at_most_one_in_twenty_calls_something_emerging(topics: int) -> None:
    rules = TopicRules(false_alarm_rate=0.05)
    dice = np.random.default_rng(7)
    runs, alarms = 400, 0
    for _ in range(runs):
        weights = dice.dirichlet(np.ones(topics + 1))
        members = dice.choice(topics + 1, size=300, p=weights) - 1
        people = dice.zipf(1.6, size=300) % 150  # a few say most of it
        ages = dice.uniform(0, 35, size=300)
        items = [
            Said(str(n), "", f"user-{people[n]}", NOW - timedelta(days=float(ages[n]))) for n in range(len(members))
        ]
        odds = emergence(items, members.astype(np.intp), topics, now=NOW, rules=rules)
        alarms += min(odds) <= rules.false_alarm_rate / topics
    # 400 runs at exactly 5% would give 32 or fewer with 99.9% probability.
    assert alarms <= 32
