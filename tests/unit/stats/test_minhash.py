"""Sketches of texts: what is nearly the same is found, what is not is left, and the estimate is what it says."""

from __future__ import annotations

import random

import numpy as np
import pytest

from trimtab.stats.minhash import Sketcher, banded, like_any, repeats

WORDS = [f"word{number}" for number in range(500)]


def found(texts: list[str], groups: list[int] | None = None) -> list[bool]:
    sketches = Sketcher().sketch(texts)
    marks = np.array(groups or [0] * len(texts), dtype=np.uint64)
    return [bool(one) for one in repeats(sketches, banded(sketches), marks)]


def text(seed: int, length: int = 60) -> list[str]:
    return random.Random(seed).choices(WORDS, k=length)


def likeness(left: list[str], right: list[str]) -> float:
    runs = [{tuple(words[place : place + 3]) for place in range(len(words) - 2)} for words in (left, right)]
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1])


def test_the_share_of_agreeing_places_estimates_the_likeness() -> None:
    dice = random.Random(7)
    sketcher = Sketcher()
    errors = []
    for seed in range(200):
        one = text(seed, 80)
        other = [word if dice.random() > 0.03 else dice.choice(WORDS) for word in one]
        left, right = sketcher.sketch([" ".join(one), " ".join(other)])
        errors.append((left == right).mean() - likeness(one, other))
    assert abs(np.mean(errors)) < 4 * 0.045 / np.sqrt(len(errors))
    assert np.std(errors) < 0.06


def test_the_later_of_two_nearly_same_texts_is_a_repeat() -> None:
    one = text(1)
    changed = [*one[:-1], "other"]
    assert likeness(one, changed) > 0.9
    assert found([" ".join(one), " ".join(text(2)), " ".join(changed)]) == [False, False, True]


def test_texts_that_share_half_of_their_words_are_no_repeats() -> None:
    pairs = [(text(seed), text(seed)[:30] + text(seed + 1000)[:30]) for seed in range(100)]
    assert not any(found([" ".join(words) for pair in pairs for words in pair]))


def test_texts_of_different_groups_are_never_compared() -> None:
    same = " ".join(text(1))
    assert found([same, same], [0, 1]) == [False, False]
    assert found([same, same], [1, 1]) == [False, True]


@pytest.mark.parametrize("pair", [("yes", "no"), ("send it", "it send"), ("a b c d", "a b c e")])
def test_short_texts_are_the_same_only_when_their_words_are(pair: tuple[str, str]) -> None:
    assert found(list(pair)) == [False, False]
    assert found([pair[0], pair[0].upper() + " "]) == [False, True]


def test_a_script_without_blanks_is_compared_by_its_characters() -> None:
    one = "".join(random.Random(1).choices([chr(0x4E00 + place) for place in range(400)], k=80))
    assert found([one, one[:-1] + "\u4e00"]) == [False, True]
    assert found([one, one[::-1]]) == [False, False]


def test_what_is_like_a_known_text_is_found() -> None:
    known = [" ".join(text(seed)) for seed in range(50)]
    asked = [" ".join([*text(7)[:-1], "other"]), " ".join(text(999))]
    sketcher = Sketcher()
    ours, theirs = sketcher.sketch(asked), sketcher.sketch(known)
    assert list(like_any(ours, banded(ours), theirs, banded(theirs))) == [True, False]
    none = sketcher.sketch([])
    assert list(like_any(ours, banded(ours), none, banded(none))) == [False, False]
