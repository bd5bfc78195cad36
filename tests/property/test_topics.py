"""Topics whatever the order, the day and the space: who is who, what is news, and what is not."""

from __future__ import annotations

import random
from datetime import timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.topic_world import NOW, SUBJECTS, sentences, space_of
from trimtab.detect.topics import Known, Said, Survey, emergence, find_topics
from trimtab.detect.topics.find import TopicRules
from trimtab.detect.topics.identity import told_again
from trimtab.ids import derived_id
from trimtab.stats.holm import holm

DAY = timedelta(days=1)
SPACES = [space_of(seed) for seed in (3, 4)]


def world(seed: int, *, lately: int = 0) -> list[Said]:
    """Return four weeks of texts on three subjects, and `lately` ones of the last five days on a fourth."""
    dice = random.Random(seed)
    said = []
    for subject, count, days in (("card", 40, 28), ("parcel", 35, 28), ("language", 30, 28), ("login", lately, 5)):
        for place, text in enumerate(sentences(subject, count, seed)):
            at = NOW - timedelta(days=dice.uniform(0, days))
            said.append(Said(derived_id(subject, str(seed), str(place)), text, f"user-{dice.randrange(400)}", at))
    return said


def survey(said: list[Said], *, space: int = 0, before: Survey | None = None, past: list[Said] | None = None) -> Survey:
    known = [
        Known(
            topic.id,
            topic.space,
            row,
            frozenset(item.id for item, member in zip(past or [], before.members, strict=True) if member == place),
        )
        for place, (topic, row) in enumerate(zip(before.topics, before.centroids, strict=True))
    ] if before else []  # fmt: skip
    embedder = SPACES[space]
    return find_topics(
        said,
        embedder.embed([item.text for item in said]),
        feature=None,
        space=embedder.space,
        now=NOW,
        known=known,
        seen=[item.id for item in past or []],
    )


@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_the_order_in_which_texts_are_read_changes_nothing(seed: int, dice: random.Random) -> None:
    said = world(seed)
    shuffled = dice.sample(said, len(said))
    first, again = survey(said), survey(shuffled)
    assert first.topics == again.topics
    by_id = {item.id: member for item, member in zip(shuffled, again.members.tolist(), strict=True)}
    assert [by_id[item.id] for item in said] == first.members.tolist()


@given(st.integers(0, 10_000), st.integers(0, 1), st.floats(0, 0.3))
@settings(max_examples=15, deadline=None)
def test_ids_live_through_runs_that_lose_some_texts_get_others_and_change_the_space(
    seed: int, space: int, lost: float
) -> None:
    said = world(seed)
    before = survey(said)
    kept = [item for item in said if random.Random(item.id).random() >= lost]
    more = [item._replace(id=derived_id("more", item.id)) for item in world(seed + 1) if int(item.id[:2], 16) % 5 == 0]
    after = survey([*kept, *more], space=space, before=before, past=said)
    names = {topic.id: set(" ".join(topic.words[:1]).split()) for topic in before.topics}
    told = [topic for topic in after.topics if topic.id in names]
    assert len(told) >= min(len(before.topics), len(after.topics)) - 1
    stems = [set(stem.split()) for stem, _ in SUBJECTS.values()]
    for topic in told:
        words = set(" ".join(topic.words).split())
        (subject,) = [stem for stem in stems if stem & words]
        assert subject & names[topic.id] or not any(stem & names[topic.id] for stem in stems)


def test_a_planted_topic_is_emerging_and_where_nothing_changes_nearly_never_any_is() -> None:
    worlds = 60
    alarms = sum(any(topic.emerging for topic in survey(world(seed)).topics) for seed in range(worlds))
    assert alarms <= 8  # of 60 at exactly 5%, more than 8 come in 0.4% of all tries
    for seed in range(20):
        news = [topic for topic in survey(world(seed, lately=25)).topics if topic.emerging]
        assert any({"password", "login"} & set(" ".join(topic.words).split()) for topic in news)


def test_people_who_speak_often_make_no_topic_of_others_seem_new() -> None:
    # Half of the topics have few people who speak again and again, half have people who speak once; nothing changes.
    rules = TopicRules(recent=7 * DAY, before=21 * DAY)
    alarms = 0
    for seed in range(200):
        dice = np.random.default_rng(seed)
        items, members = [], []
        for topic in range(6):
            people = 12 if topic % 2 else 10_000
            for place, age in enumerate(dice.uniform(0, 28, 120)):
                at = NOW - float(age) * DAY
                items.append(Said(f"{seed}.{topic}.{place}", "", f"{topic}-{dice.integers(people)}", at))
                members.append(topic)
        odds = emergence(items, np.array(members, dtype=np.intp), 6, now=NOW, rules=rules)
        alarms += min(holm(odds)) <= 0.05
    assert alarms <= 20  # of 200 at exactly 5%, more than 20 come in 0.1% of all tries


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.001, 0.3))
def test_holm_rejects_no_less_than_bonferroni_and_no_more_than_no_correction(odds: list[float], alpha: float) -> None:
    told = holm(odds)
    for p, adjusted in zip(odds, told, strict=True):
        assert p <= adjusted <= min(1.0, len(odds) * p) + 1e-12
    assert [sum(a <= alpha for a in told)] >= [sum(p * len(odds) <= alpha for p in odds)]
    order = sorted(range(len(odds)), key=odds.__getitem__)
    assert [told[place] for place in order] == sorted(told)


@given(
    st.lists(st.frozensets(st.integers(0, 30), min_size=1), max_size=6),
    st.lists(st.frozensets(st.integers(0, 30)), min_size=1, max_size=6),
)
def test_no_id_is_given_twice_and_none_without_enough_in_common(
    before: list[frozenset[int]], now: list[frozenset[int]]
) -> None:
    def texts(members: frozenset[int]) -> frozenset[str]:
        return frozenset(map(str, members))

    nowhere = np.zeros(2, dtype=np.float32)
    known = [Known(f"t{place}", "old", nowhere, texts(each)) for place, each in enumerate(before)]
    seen = [str(number) for number in range(31)]
    rows = np.zeros((len(now), 2), dtype=np.float32)
    found = told_again(known, seen, rows, [texts(each) for each in now], space="new", same_cosine=0.7, same_members=0.5)
    assert len(set(found.values())) == len(found)
    both = frozenset().union(*now)
    for place, topic_id in found.items():
        held = before[int(topic_id[1:])] & both
        assert len(held & now[place]) >= 0.5 * (len(held) * len(now[place])) ** 0.5
