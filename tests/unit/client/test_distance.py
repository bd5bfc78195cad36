from __future__ import annotations

import random

from trimtab import edit


def test_an_untouched_text_has_no_distance_and_a_replaced_one_has_all() -> None:
    assert edit("same", "same") == 0.0
    assert edit("", "") == 0.0
    assert edit("abc", "xyz") == 1.0
    assert edit("", "abc") == 1.0
    assert edit("abc", "") == 1.0


def test_the_distance_is_levenshteins_over_the_longer_length() -> None:
    assert edit("kitten", "sitting") == 3 / 7
    assert edit("Refunds take 5 days.", "Refunds take 9 days.") == 1 / 20


def test_one_changed_word_in_a_book_is_a_small_distance() -> None:
    words = [f"word{number % 977}" for number in range(200_000)]
    changed = [*words]
    changed[100_000] = "other"
    assert 0 < edit(" ".join(words), " ".join(changed)) < 0.001


def test_two_different_books_are_far_apart_and_stay_within_the_scale() -> None:
    generator = random.Random(5)
    left = " ".join(f"a{generator.random()}" for _ in range(30_000))
    right = " ".join(f"b{generator.random()}" for _ in range(30_000))
    assert 0.9 < edit(left, right) <= 1.0
    assert 0.9 < edit("x" * 1_000_000, "y" * 1_000_000) <= 1.0


def test_long_texts_compared_by_words_keep_the_scale_of_the_whole() -> None:
    left = "start " + " ".join(f"w{number}" for number in range(1_500)) + " end"
    right = "start " + " ".join(f"w{number}" if number % 2 else "gone" for number in range(1_500)) + " end"
    assert 0.4 < edit(left, right) < 0.6
