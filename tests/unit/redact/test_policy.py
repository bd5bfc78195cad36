"""What a policy refuses, what it covers, and what settings make of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from trimtab.errors import ConfigError
from trimtab.records import RedactionPattern, RedactionSettings
from trimtab.redact import LENIENT, STRICT, ExtraPattern, Policy
from trimtab.redact.policy import policy_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def with_extra(pattern: str) -> Policy:
    return Policy(name="p", extra=(ExtraPattern("one", pattern),))


def settings(**fields: Any) -> RedactionSettings:
    return RedactionSettings(**{"revision": 3, "updated_at": NOW, **fields})


@pytest.mark.parametrize(
    "pattern",
    [
        "(a?){40}a{40}",
        "(a{1,60}){1,60}b",
        "(a|a){40}b",
        "a?" * 40 + "a{40}",
        "(?:a{1,3}){1,20}",
        "(?P<word>a|ab|b){13}",
        "a+",
        "a*b",
        "a{2,}",
        "a{,}b",
        "(x[)]{1,80}){3}",
    ],
)
def test_pattern_that_a_text_could_make_slow_is_refused_and_named(pattern: str) -> None:
    with pytest.raises(ConfigError, match="bounded repeats") as caught:
        with_extra(pattern)
    assert repr(pattern) in caught.value.message
    assert caught.value.param == "extra"


@pytest.mark.parametrize(
    "pattern",
    [
        r"\bMB-\d{6}\b",
        r"Kunde \w{1,20}\b",
        r".{1,60}@example\.com",
        "(?i:acme|umbrella) [0-9]{1,9}",
        "a?b{1,3}c{1,9}",
        r"[+*{]{2}x",
        "{}x{",
        r"(?:ab){3}\+",
        "(?<=x)y(?!z)",
    ],
)
def test_bounded_pattern_is_taken(pattern: str) -> None:
    assert with_extra(pattern).extra[0].pattern == pattern


@pytest.mark.parametrize("pattern", [r"(\w{1,12}-){1,2}x", r"(a|b|ab){7}c", r"\w{1,60} \w{1,60}!"])
def test_worst_pattern_that_is_taken_ends_on_the_worst_text(pattern: str) -> None:
    with_extra(pattern)
    for text in ("a" * 2000, "ab" * 1000, "a-" * 1000, "a " * 1000):
        assert re.compile(pattern).search(text) is None or "-" in text  # exponential would take years


def test_policy_covers_what_takes_no_more() -> None:
    assert STRICT.covers(LENIENT)
    assert not LENIENT.covers(STRICT)
    assert STRICT.covers(Policy(name="other"))
    assert STRICT.covers(Policy(name="p", disabled=frozenset({"IP"}), allow=("a{1,3}",)))
    assert not Policy(name="p", disabled=frozenset({"IP"})).covers(STRICT)
    assert not Policy(name="p", allow=("a{1,3}",)).covers(STRICT)
    assert with_extra("MB").covers(STRICT)
    assert not STRICT.covers(with_extra("MB"))
    assert not Policy(name="p", max_chars=10_000_000).covers(STRICT)


def test_settings_make_a_policy_named_by_their_revision() -> None:
    extra = [RedactionPattern(name="member", pattern=r"MB-\d{6}")]
    policy = policy_of(settings(mode="lenient", disabled=["IP", "MAC"], allow=["x{3}"], extra=extra))
    assert policy == Policy(
        name="r3",
        mode="lenient",
        disabled=frozenset({"IP", "MAC"}),
        allow=("x{3}",),
        extra=(ExtraPattern("member", r"MB-\d{6}"),),
    )
    assert policy_of(settings()).version == STRICT.version


def test_settings_with_an_unknown_entity_are_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match="'SHOE_SIZE'") as caught:
        policy_of(settings(disabled=["SHOE_SIZE"]))
    assert caught.value.param == "disabled"
