"""Whatever goes wrong inside, the raw text is not what comes out."""

from __future__ import annotations

import pytest

from trimtab.redact import FAILED, Redactor, number
from trimtab.redact.span import Span

KEY = b"a test key of 32 bytes, not real"
TEXT = "jane@example.com, +1 415 555 2671"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Redactor:
    def fail(*_: object, **__: object) -> list[Span]:
        raise RuntimeError(TEXT)

    monkeypatch.setattr(number, "find", fail)
    return Redactor(key=KEY)


def test_text_whose_matcher_raises_becomes_the_mark_of_failure_and_is_counted(broken: Redactor) -> None:
    assert broken.text(TEXT) == FAILED
    assert broken.failures == 1


def test_value_keeps_what_did_not_fail_around_the_leaf_that_did(broken: Redactor) -> None:
    assert broken.value({"rating": 4, "note": TEXT, "id": "abc"}) == {"rating": 4, "note": FAILED, "id": "abc"}
    assert broken.failures == 1


def test_batch_keeps_its_order_around_a_text_that_fails(broken: Redactor) -> None:
    assert broken.batch(["one", TEXT, "two"]) == ["one", FAILED, "two"]


def test_what_is_no_string_fails_closed_without_raising() -> None:
    redactor = Redactor(key=KEY)
    assert redactor.text(b"jane@example.com") == FAILED  # type: ignore[arg-type]
    assert redactor.batch(["fine", None]) == ["fine", FAILED]  # type: ignore[list-item]
    assert redactor.identifier(None) == FAILED  # type: ignore[arg-type]
    assert redactor.failures == 3


def test_value_nested_too_deep_is_cut_off_closed() -> None:
    deep: object = "jane@example.com"
    for _ in range(2000):
        deep = [deep]
    redactor = Redactor(key=KEY)
    assert "jane" not in str(redactor.value(deep))


@pytest.mark.parametrize("text", ["\ud800 jane@example.com", "jane@example.com\x00", "\U0010ffff jane@example.com"])
def test_odd_characters_do_not_hide_an_address(text: str) -> None:
    redactor = Redactor(key=KEY)
    assert "jane" not in redactor.text(text)
    assert redactor.failures == 0
