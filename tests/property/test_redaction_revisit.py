"""The second look is left out only where it would find nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benches.redaction_corpus import dirty_texts
from benches.redaction_samples import number_chat, number_heavy, one_item
from trimtab.redact import LENIENT, STRICT, Redactor, gate, revisit
from trimtab.redact.gate import Hits
from trimtab.redact.settled import Run
from trimtab.redact.span import Span

KEY = b"a test key of 32 bytes, not real"
POLICIES = [STRICT, LENIENT]
REDACTORS = [Redactor(key=KEY, policy=policy) for policy in POLICIES]

pytestmark = pytest.mark.skipif(gate.opened() is None, reason="the scanner is not installed: every look is whole")

# Findings, and beside them what a word, a mark or a cut may turn into one or spare.
FINDINGS = st.sampled_from([
    "jane@example.com", "+1 415 555 2671", "(415) 555-2671", "4111 1111 1111 1111", "536-90-4399", "203.0.113.77",
    "2001:db8::1:2", "DE89370400440532013000", "ACUPA7085R", "hT9xQ2mZ7vLp4Rk8Wd3Yb6Nc", "+49 30 1234 5678 x12",
])  # fmt: skip
BESIDE = st.sampled_from([
    "7530198", "12345678", "1640430788", "415 555 2671", "1.5", "52.5200 13.4050", "2024-07-18", "20240718-1234",
    "INV-2024-123456", "order 47538779", "978-3-16-148410-0", "035efa259b08923d10c67fd994b2b8fda02f34a6",
    "550e8400-e29b-41d4-a716-446655440000", "1.2.3.4", ".4", "12:34:56", "::", "@", "sha256-", "base64,", "DE89",
    "x", "+", "(", ")", "#", "$", "v", ".", ",", ":", ";", "!", "'", '"', " ", " ", " ", "\n", "\t", "-", "/", "0",
    "order ", "phone ", "call me ", "ssn ", "hotel", " usd", " km", " office", "at", "dot", "Z", "a",
])  # fmt: skip
NUMBERS = st.from_regex(r"[0-9]{1,11}[ .()/\-\n]{0,3}", fullmatch=True)
TEXTS = st.lists(st.one_of(FINDINGS, BESIDE, NUMBERS), max_size=18)


def looked_twice(redactor: Redactor, text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Redact a text with the shortcut switched off."""
    with monkeypatch.context() as patch:
        patch.setattr(revisit, "is_done", lambda *_, **__: False)
        return redactor.text(text)


@settings(max_examples=1500, deadline=None)
@given(pieces=TEXTS)
def test_leaving_out_the_second_look_changes_no_output(pieces: Sequence[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for redactor in REDACTORS:
            text = "".join(pieces)
            assert redactor.text(text) == looked_twice(redactor, text, patch)


def test_leaving_out_the_second_look_changes_no_generated_text(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(11)
    texts = [one.text for one in dirty_texts(900, seed=31)]
    texts += number_heavy(150, 32) + number_chat(50, 33) + one_item(100, 34)
    texts += [" ".join(rng.sample(texts, 2)) for _ in range(300)]
    for redactor in REDACTORS:
        for text in texts:
            assert redactor.text(text) == looked_twice(redactor, text, monkeypatch)


def test_the_shortcut_is_taken_where_numbers_and_findings_stand_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    real = revisit.is_done

    def noted(text: str, clean: str, spans: Sequence[Span], hits: Hits, runs: Sequence[Run], *, strict: bool) -> bool:
        told.append(real(text, clean, spans, hits, runs, strict=strict))
        return told[-1]

    monkeypatch.setattr(revisit, "is_done", noted)
    for text in number_heavy(200, 35):
        REDACTORS[0].text(text)
    assert sum(told) > 0.9 * len(told) > 150
