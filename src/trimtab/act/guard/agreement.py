"""Sudden agreement: corrections that say nearly the same, from few people or from people nobody had heard before.

Honest people agree too: that is how a real mistake is found. So agreement alone sets nothing aside. It must come from
fewer than half as many people as there are corrections, or from far more newcomers than the feature usually hears.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from trimtab.config import Guard
from trimtab.records import Correction, Name, Time, Uuid, text_of
from trimtab.records.field import Line

__all__ = ["Agreement", "author_of", "folded", "sudden"]

_CHARACTERS = 4  # per shingle
_ALIKE = 0.5  # Jaccard likeness from which two texts say the same
_TELLING = 8  # words from which the same answer is no coincidence, whatever was asked
_READ = 4000  # characters of a text that are compared: nobody's correction may fill the memory
_COMMON = 200  # a shingle in more texts than this tells nothing apart
_SURE = 0.001


class Agreement(Struct, frozen=True, kw_only=True):
    """Corrections set aside together: they neither build nor judge until a person releases them.

    `few`: they come from fewer than half as many people; `new`: from people who were first heard of just before and
    have said nothing else.
    """

    feature: Name
    rule: Literal["few", "new"]
    reason: Line
    people: int
    since: Time
    until: Time
    corrections: list[Uuid]


def author_of(correction: Correction) -> str:
    """Return who said it, as votes name them; a correction of nobody's stands for itself."""
    return correction.author_id or correction.user_id or f"inference:{correction.inference_id}"


def sudden(
    corrections: Sequence[Correction],
    *,
    heard: Callable[[Collection[str]], Mapping[str, datetime]],
    around: Callable[[datetime, datetime], Collection[str]],
    released: Collection[str],
    settings: Guard,
) -> list[Agreement]:
    """Return what to set aside of a feature's corrections.

    `heard` says when each of these people was first heard of, `around` who voted on answers in a span of time.
    Reviewers' corrections, and those a person released, are left alone. A cluster is set aside where at least
    `agreement` of it lie within `window_hours` and either people <= corrections / 2 (a short answer to questions that
    are not alike: at least twice `agreement`, and people <= corrections / 4), or the number of newcomers among
    its people has a probability below 0.001 after what was seen of all others who voted around that time (tail of the
    beta-binomial distribution, under a uniform prior on the share of newcomers). Where everyone is new, as in a
    product's first days or where people come only once, or where there are no others, that never happens to fewer
    than a thousand.
    """
    words = [item for item in corrections if item.source in ("user", "app") and item.feedback_id not in released]
    words.sort(key=lambda item: (item.created_at, item.feedback_id))
    window = timedelta(hours=settings.window_hours)
    answers = _clusters([item.corrected for item in words])
    found: list[Agreement] = []
    taken: set[str] = set()
    for cluster in _by(words, answers):
        for near in _near(cluster):
            burst = _burst(near, window)
            people = {author_of(item) for item in burst}
            if len(burst) >= settings.agreement and 2 * len(people) <= len(burst):
                found.append(_agreement("few", burst, len(people), window))
                taken |= {item.feedback_id for item in burst}
        burst = [item for item in _burst(cluster, window) if item.feedback_id not in taken]
        people = {author_of(item) for item in burst}
        if len(burst) >= 2 * settings.agreement and 4 * len(people) <= len(burst):
            found.append(_agreement("few", burst, len(people), window))
            taken |= {item.feedback_id for item in burst}
    said = _said(words, answers)
    for place, cluster in enumerate(_by(words, answers)):
        burst = [item for item in _burst(cluster, window) if item.feedback_id not in taken]
        people = {author_of(item) for item in burst}
        if len(people) < settings.agreement:
            continue
        since = burst[0].created_at - window
        new = _since(heard(people), people, since)
        fresh = {person for person in new if said[person] == {place}}
        others = set(around(since, burst[-1].created_at + window)) - people
        usual = len(_since(heard(others), others, since))
        if len(fresh) >= settings.agreement and _tail(len(people), len(fresh), usual, len(others)) < _SURE:
            held = [item for item in burst if author_of(item) in fresh]
            found.append(_agreement("new", held, len(fresh), window))
    return sorted(found, key=lambda each: (each.since, each.corrections))


def folded(text: str) -> str:
    """Return a text without what does not change its words: case, accents' spelling, punctuation, hidden characters."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    visible = "".join(mark for mark in plain if unicodedata.category(mark) != "Cf")
    return " ".join(re.findall(r"\w+", visible))


def _shingles(text: str) -> frozenset[str]:
    return frozenset(text[at : at + _CHARACTERS] for at in range(max(len(text) - _CHARACTERS + 1, 1)))


def _clusters(texts: Sequence[str]) -> list[int]:
    """Return the number of each text's cluster: that of the earliest text it is like, its own where it is like none."""
    known: dict[str, int] = {}
    leaders: list[frozenset[str]] = []
    numbers: list[frozenset[str]] = []  # those who name other numbers do not agree, however alike their words
    where: dict[str, list[int]] = defaultdict(list)
    keys = [folded(text[:_READ]) for text in texts]
    for key in dict.fromkeys(keys):
        shingles, named = _shingles(key), frozenset(re.findall(r"\d+", key))
        shared: dict[int, int] = defaultdict(int)
        for shingle in shingles:
            for leader in where[shingle]:
                shared[leader] += 1
        alike = [
            at
            for at, both in shared.items()
            if numbers[at] == named and both >= _ALIKE * (len(shingles) + len(leaders[at]) - both)
        ]
        if alike:
            known[key] = min(alike)
            continue
        known[key] = len(leaders)
        for shingle in shingles:
            if len(where[shingle]) < _COMMON:
                where[shingle].append(len(leaders))
        leaders.append(shingles)
        numbers.append(named)
    return [known[key] for key in keys]


def _by(words: Sequence[Correction], numbers: Sequence[int]) -> list[list[Correction]]:
    clusters: dict[int, list[Correction]] = {number: [] for number in range(max(numbers, default=-1) + 1)}
    for item, number in zip(words, numbers, strict=True):
        clusters[number].append(item)
    return list(clusters.values())


def _near(cluster: list[Correction]) -> list[list[Correction]]:
    """Split corrections with the same short answer by what was asked: "yes" is the right answer to many things."""
    if all(len(folded(item.corrected).split()) >= _TELLING for item in cluster):
        return [cluster]
    return _by(cluster, _clusters([text_of(item.input) for item in cluster]))


def _burst(cluster: Sequence[Correction], window: timedelta) -> list[Correction]:
    """Return all corrections that lie in a fullest span of one window, the earliest of several; in time order."""
    best, start = (0, 0), 0
    for end in range(len(cluster)):
        while cluster[end].created_at - cluster[start].created_at > window:
            start += 1
        if end + 1 - start > best[1] - best[0]:
            best = (start, end + 1)
    return list(cluster[best[0] : best[1]])


def _said(words: Sequence[Correction], numbers: Sequence[int]) -> dict[str, set[int]]:
    said: dict[str, set[int]] = defaultdict(set)
    for item, number in zip(words, numbers, strict=True):
        said[author_of(item)].add(number)
    return said


def _since(first: Mapping[str, datetime], people: Collection[str], since: datetime) -> set[str]:
    """Return those nobody had heard of before `since`."""
    return {person for person in people if first.get(person, since) >= since}


def _tail(n: int, least: int, seen: int, others: int) -> float:
    """Return P(X >= least) among `n`, when `seen` of `others` were: X is beta-binomial, its prior Beta(1, 1)."""
    yes, no = seen + 1, others - seen + 1

    def log_beta(a: int, b: int) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    each = (math.log(math.comb(n, k)) + log_beta(k + yes, n - k + no) for k in range(least, n + 1))
    return sum(math.exp(weight - log_beta(yes, no)) for weight in each)


def _agreement(rule: Literal["few", "new"], held: Iterable[Correction], people: int, window: timedelta) -> Agreement:
    items = list(held)
    who = f"{people} people" if rule == "few" else f"{people} people nobody had heard of before"
    hours = window.total_seconds() / 3600
    return Agreement(
        feature=items[0].feature,
        rule=rule,
        reason=f"{len(items)} corrections that say nearly the same came from {who} within {hours:.0f} h",
        people=people,
        since=items[0].created_at,
        until=items[-1].created_at,
        corrections=[item.feedback_id for item in items],
    )
