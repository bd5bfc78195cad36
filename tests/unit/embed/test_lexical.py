from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from trimtab.embed.lexical import LexicalEmbedder


def alike(first: str, second: str) -> float:
    one, two = LexicalEmbedder().embed([first, second])
    return float(one @ two)


def test_rephrased_texts_are_nearer_than_other_texts() -> None:
    assert alike("how do i reset my password", "i forgot my password, help me reset it") > 0.5
    assert alike("how do i reset my password", "where is my parcel") < 0.3


def test_letter_case_width_and_punctuation_do_not_count() -> None:
    assert alike("Reset my PASSWORD!", "reset my password") == pytest.approx(1)
    assert alike("ｒｅｓｅｔ", "reset") == pytest.approx(1)
    assert alike("STRASSE", "straße") == pytest.approx(1)


def test_inflections_and_typing_errors_stay_near() -> None:
    assert alike("cancelled subscriptions", "cancel subscription") > 0.6
    assert alike("recieve the pasword", "receive the password") > 0.5


def test_scripts_without_spaces_are_compared_by_pairs_of_characters() -> None:
    assert alike("我忘记了密码", "密码我忘记了") > 0.3
    assert alike("我忘记了密码", "包裹在哪里") < 0.1


def test_single_characters_have_vectors() -> None:
    assert alike("a", "a") == pytest.approx(1)
    assert alike("a", "b") == pytest.approx(0, abs=0.05)
    assert alike("字", "字") == pytest.approx(1)


def test_repeating_a_word_counts_less_each_time() -> None:
    assert alike("parcel password", "parcel " * 50 + "password") > 0.7


def test_strangers_are_nearly_orthogonal() -> None:
    dice = np.random.default_rng(0)
    words = ["".join(map(chr, dice.integers(97, 123, 8))) for _ in range(400)]
    rows = LexicalEmbedder().embed(words)
    apart = (rows @ rows.T)[np.triu_indices(len(words), 1)]
    assert abs(float(apart.mean())) < 0.01
    assert float(apart.std()) < 0.05


def test_vectors_are_the_same_in_every_process() -> None:
    code = "from trimtab.embed.lexical import *; print(LexicalEmbedder().embed(['where is it, 字?']).tobytes().hex())"
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONPATH": "src", "PYTHONHASHSEED": seed}, capture_output=True,
            text=True, check=True,
        ).stdout.strip()
        for seed in ("0", "1")
    }  # fmt: skip
    assert told == {LexicalEmbedder().embed(["where is it, 字?"]).tobytes().hex()}


def test_space_id_changes_with_the_vectors() -> None:
    row = LexicalEmbedder().embed(["where is it, 字?"])[0]
    places = np.flatnonzero(row)
    # Whoever changes these figures changes the number in LEXICAL_SPACE too: vectors of the old one may be stored.
    assert LexicalEmbedder().space == "lexical_1"
    assert places.tolist()[:6] == [35, 57, 75, 115, 307, 308]
    assert row[places][:3].tolist() == pytest.approx([-0.2901905, 0.2176429, 0.2176429], abs=1e-6)


def test_importing_it_loads_neither_scipy_nor_sklearn() -> None:
    code = "import sys, trimtab.embed.lexical; print(sorted({'scipy', 'sklearn', 'httpx'} & sys.modules.keys()))"
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": "src"}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"
