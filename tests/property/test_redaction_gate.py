"""The gate changes the speed and nothing else; threads, repetition and batching change nothing at all."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benches.redaction_corpus import dirty_texts, left_over
from trimtab.redact import FAILED, LENIENT, ExtraPattern, KnownValue, Policy, Redactor, gate

KEY = b"a test key of 32 bytes, not real"
EXTRA = Policy(
    name="extra",
    extra=(ExtraPattern("member", r"MB-\d{6}"), ExtraPattern("word", r"Kunde \w{1,20}\b")),
    allow=(r".{1,40}@example\.org",),
)
POLICIES = [Policy(name="strict"), LENIENT, EXTRA]
GATED = [Redactor(key=KEY, policy=policy) for policy in POLICIES]
UNGATED = [Redactor(key=KEY, policy=policy, gate=False) for policy in POLICIES]

# Pieces that matchers and the gate care about, glued and mixed with whatever else.
PIECES = st.sampled_from([
    "jane@example.com", "@", ".com", " [at] ", " at ", " dot ", "dot", "+1 415 555 2671", "4111 1111 1111 1111",
    "0049", "4155552671", "536-90-4399", "12345678Z", "X1234567L", "AB123456C", "DE89370400440532013000",
    "GB29 NWBK 6016", "RSSMRA85T10A562S", "ACUPA7085R", "2001:db8::1:2", "::", ":", "68:9a:97:f0:2a:1f",
    "203.0.113.77", "1.2.3", "v1.", "password: ", "mot de passe = ", "contraseña es ", "пароль: ", "密码:",
    "token=", "?access_token=", "Bearer ", "hunter2", "AKIAIOSFODNN7EXAMPLE", "sk-", "ghp_", "eyJ",
    "-----BEGIN ", "https://", "user:pass@", "hT9xQ2mZ7vLp4Rk8Wd3Yb6Nc", "amFuZUBleGFtcGxlLmNvbQ==", "%40",
    "&#64;", "\\u0040", "&commat;", "\u200b", "\xa0", "–", "＠", "４", "①", "ſ", "K", "ı", "а", "é", "ü",
    "<EMAIL:abcdefghijkl>", "<SECRET>", "<", ">", "MB-123456", "Kunde Ärger", "order ",
    "phone_", "hotel ", "call me ", "ssn_", " office", "телефон ", "phone ", "2024-07-18",
    "550e8400-e29b-41d4-a716-446655440000", "\n", "\t", " ", "-", ".", "/", "(", ")", "+", "=", "_", "0", "7",
])  # fmt: skip
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=6)), max_size=14).map("".join)


@pytest.mark.skipif(gate.opened() is None, reason="the scanner is not installed: there is nothing to compare")
@settings(max_examples=500, deadline=None)
@given(text=TEXTS)
def test_gate_changes_no_output(text: str) -> None:
    for gated, ungated in zip(GATED, UNGATED, strict=True):
        assert gated.text(text) == ungated.text(text)


@settings(max_examples=400, deadline=None)
@given(text=TEXTS)
def test_redacting_twice_is_redacting_once(text: str) -> None:
    for redactor in GATED:
        once = redactor.text(text)
        assert redactor.text(once) == once
        assert FAILED not in once


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXTS, max_size=12))
def test_batch_and_value_redact_as_text_does(texts: list[str]) -> None:
    for redactor in GATED:
        single = [redactor.text(text) for text in texts]
        assert redactor.batch(texts) == single
        assert redactor.value(texts) == single


@settings(max_examples=100, deadline=None)
@given(text=TEXTS, name=st.sampled_from(["Maria Okafor", "Æsir", "J. R.", "x"]))
def test_known_value_is_gone_wherever_it_stands(text: str, name: str) -> None:
    known = [KnownValue("name", name)]
    once = GATED[0].text(f"{text} {name} {text}", known)
    assert len(name) < 3 or f" {name} " not in once
    assert GATED[0].text(once, known) == once
    assert UNGATED[0].text(f"{text} {name} {text}", known) == once


def test_generated_dirty_texts_keep_no_value_and_gate_changes_none_of_them() -> None:
    for dirty in dirty_texts(700, seed=20):
        clean = GATED[0].text(dirty.text)
        assert left_over(clean, dirty) == []
        assert UNGATED[0].text(dirty.text) == clean
        assert GATED[0].text(clean) == clean


def test_four_threads_find_what_one_finds() -> None:
    texts = [dirty.text for dirty in dirty_texts(800, seed=21)]
    random.Random(3).shuffle(texts)
    alone = [GATED[0].text(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(GATED[0].text, texts, chunksize=5)) == alone
    assert GATED[0].failures == 0
