from __future__ import annotations

import pytest

from trimtab.config import Signals
from trimtab.enrich.signals.likeness import Spelling
from trimtab.enrich.signals.rephrase import comparable, normalised, swapped

ALL = Signals().languages

AGAIN = [
    ("how to get length of numpy array", "how to get numpy array length"),
    ("Where can I park near the stadium?", "parking near the stadium"),
    ("How do I cancel my subscription?", "how can I cancel the subscription I have"),
    ("Wie kann ich mein Abo kündigen?", "Ich möchte mein Abo kündigen, wie geht das?"),
    ("Comment annuler mon abonnement ?", "je veux annuler mon abonnement"),
    ("¿Cómo cancelo mi suscripción?", "quiero cancelar mi suscripción"),
]
NEXT = [
    ("how do i delete a column from a table", "how do i reorder columns in a table"),
    ("What is the weather in Paris tomorrow?", "What is the weather in London tomorrow?"),
    ("Sum the revenue of 2023 by month", "Sum the revenue of 2024 by month"),
    ("Translate the letter to English", "and now translate the letter to French"),
    ("get mean of a list of data", "get variance of a list of data"),
    ("def total(xs):\n    return sum(xs)", "def total(xs):\n    return sum(xs) + 1"),
    ("yes", "yes please"),
]


def is_rephrase(before: str, after: str) -> bool:
    return (
        comparable(before, after, ALL)
        and swapped(before, after, ALL) <= 0.2
        and Spelling()([(before, after)])[0] >= Signals().rephrase_likeness
    )


@pytest.mark.parametrize(("before", "after"), AGAIN)
def test_the_same_asked_in_other_words_is_a_rephrase(before: str, after: str) -> None:
    assert is_rephrase(before, after)


@pytest.mark.parametrize(("before", "after"), NEXT)
def test_a_next_step_is_no_rephrase(before: str, after: str) -> None:
    assert not is_rephrase(before, after)
    assert not is_rephrase(after, before)


def test_two_questions_about_one_pasted_text_are_no_rephrase() -> None:
    document = "The quick brown fox jumps over the lazy dog near the river bank. " * 20
    assert not is_rephrase(f"{document} Who jumps?", f"{document} Where does it happen?")


def test_case_accents_spaces_and_punctuation_do_not_make_a_request_another() -> None:
    assert normalised("  Où est  la GARE ?") == normalised("ou est la gare")


def test_short_words_are_never_the_same_request() -> None:
    assert normalised("go on") == ""


def test_code_with_another_operator_is_another_request() -> None:
    assert normalised("print(a[0] + b[1]) * (c)") != normalised("print(a[0] - b[1]) * (c)")


def test_likeness_of_scripts_without_spaces_is_by_characters() -> None:
    near, far = Spelling()([("退货政策是什么", "退货政策是怎样的"), ("退货政策是什么", "今天天气很好")])
    assert near > 0.5 > far
