"""What the redactor promises to whoever calls it, whatever the entity."""

from __future__ import annotations

import re

import pytest

from trimtab.errors import ConfigError
from trimtab.redact import FAILED, LENIENT, ExtraPattern, KnownValue, Policy, Redactor

KEY = b"a test key of 32 bytes, not real"
EMAIL = re.compile(r"<EMAIL:[a-z2-7]{12}>")


@pytest.fixture
def redactor() -> Redactor:
    return Redactor(key=KEY)


def test_email_phone_card_and_secret_leave_only_tokens(redactor: Redactor) -> None:
    clean = redactor.text(
        "mail jane.doe@example.com, call +1 415-555-2671, card 4111 1111 1111 1111, key AKIAIOSFODNN7EXAMPLE."
    )
    assert re.fullmatch(
        r"mail <EMAIL:[a-z2-7]{12}>, call <PHONE:[a-z2-7]{12}>, card <CREDIT_CARD>, key <SECRET>\.", clean
    )


def test_same_address_in_any_case_gets_the_same_token(redactor: Redactor) -> None:
    assert redactor.text("Jane@Example.com") == redactor.text("jane@example.com")


def test_another_key_gives_other_tokens(redactor: Redactor) -> None:
    other = Redactor(key=b"another key of 32 bytes, not real")
    assert redactor.text("jane@example.com") != other.text("jane@example.com")


def test_redacting_twice_changes_nothing_more(redactor: Redactor) -> None:
    once = redactor.text("jane@example.com or 4111111111111111, password: hunter2000 and +44 20 7946 0958")
    assert redactor.text(once) == once


def test_known_values_are_taken_out_in_any_case_at_word_boundaries(redactor: Redactor) -> None:
    known = [KnownValue("name", "Maria Okafor"), KnownValue("user", "mokafor9")]
    clean = redactor.text("I am MARIA  okafor (mokafor9), not mokafor99.", known)
    assert re.fullmatch(r"I am <NAME> \(<USER:[a-z2-7]{12}>\), not mokafor99\.", clean)


def test_value_drops_what_stands_under_a_secret_key_and_redacts_keys(redactor: Redactor) -> None:
    clean = redactor.value(
        {"db_password": "x", "max_tokens": 4096, "jane@example.com": ["a@example.org", None, 1.5, True]}
    )
    assert isinstance(clean, dict)
    assert clean["db_password"] == "<SECRET>"
    assert clean["max_tokens"] == 4096
    (key,) = [key for key in clean if EMAIL.fullmatch(key)]
    assert EMAIL.fullmatch(clean[key][0])
    assert clean[key][1:] == [None, 1.5, True]


def test_keys_that_redact_alike_are_both_kept(redactor: Redactor) -> None:
    clean = redactor.value({"4111111111111111": "a", "5555555555554444": "b"})
    assert isinstance(clean, dict)
    assert sorted(clean.values()) == ["a", "b"]


@pytest.mark.parametrize("identifier", ["gpt-4o-mini-2024-07-18", "user-8841", "0190e1a2-7c1b-7000-8000-0123456789ab"])
def test_identifiers_are_returned_as_they_are(redactor: Redactor, identifier: str) -> None:
    assert redactor.identifier(identifier) == identifier


@pytest.mark.parametrize("identifier", ["jane@example.com", "+1 415 555 2671"])
def test_identifier_that_is_an_address_or_phone_is_pseudonymised_as_text_would(
    redactor: Redactor, identifier: str
) -> None:
    assert redactor.identifier(identifier) == redactor.text(identifier) != identifier


def test_text_over_the_size_limit_fails_closed_and_is_counted() -> None:
    redactor = Redactor(key=KEY, policy=Policy(name="small", max_chars=10))
    assert redactor.text("jane@example.com") == FAILED
    assert redactor.failures == 1


def test_what_is_no_json_fails_closed(redactor: Redactor) -> None:
    assert redactor.value({"a": object()}) == {"a": FAILED}


def test_allowed_finding_is_kept_and_disabled_entity_is_not_looked_for() -> None:
    policy = Policy(name="p", allow=(r".{1,40}@example\.com",), disabled=frozenset({"CREDIT_CARD", "NUMBER"}))
    redactor = Redactor(key=KEY, policy=policy)
    assert redactor.text("help@example.com 4111111111111111") == "help@example.com 4111111111111111"


def test_extra_pattern_is_redacted_as_custom() -> None:
    redactor = Redactor(key=KEY, policy=Policy(name="p", extra=(ExtraPattern("member", r"\bMB-\d{6}\b"),)))
    assert redactor.text("I am MB-123456.") == "I am <CUSTOM>."


@pytest.mark.parametrize("pattern", ["a+b", "(", "x*", "", "a{0,80}b{0,80}"])
def test_extra_pattern_that_is_unbounded_or_broken_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Policy(name="p", extra=(ExtraPattern("bad", pattern),))


def test_short_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16 bytes"):
        Redactor(key=b"short")


def test_version_depends_on_what_a_policy_says_and_not_on_its_order() -> None:
    one = Policy(name="p", disabled=frozenset({"IP", "MAC"}))
    two = Policy(name="p", disabled=frozenset({"MAC", "IP"}))
    assert one.version == two.version != Policy(name="p").version != LENIENT.version
