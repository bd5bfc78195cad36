from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from trimtab.embed.lsa import _directions, fit_lsa

TEXTS = [
    "how do i reset my password",
    "i forgot my password, please help",
    "change the password of my account",
    "where is my parcel",
    "has my parcel been shipped yet",
    "track the parcel i ordered",
    "can i get a refund",
    "refund the money for my last order",
    "when will my refund arrive",
]


def test_rows_have_length_one_and_are_float32() -> None:
    rows = fit_lsa(TEXTS).embed(TEXTS)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_texts_of_one_topic_are_nearer_than_texts_of_two() -> None:
    rows = fit_lsa(TEXTS).embed(["password reset", "reset of passwords", "parcel tracking"])
    assert rows[0] @ rows[1] > 0.6 > rows[0] @ rows[2]


def test_same_texts_and_seed_give_the_same_space_and_vectors() -> None:
    first, second = fit_lsa(TEXTS, seed=3), fit_lsa(TEXTS, seed=3)
    assert first.space == second.space
    assert np.array_equal(first.embed(TEXTS), second.embed(TEXTS))


def test_other_texts_or_dimensions_give_another_space() -> None:
    spaces = {fit_lsa(TEXTS).space, fit_lsa(TEXTS[:-1]).space, fit_lsa(TEXTS, dimensions=4).space}
    assert len(spaces) == 3


def test_dimensions_are_capped_by_the_texts() -> None:
    assert fit_lsa(TEXTS, dimensions=256).dimensions == len(TEXTS)
    assert fit_lsa(["one text alone"]).embed(["one text alone"]).shape == (1, 1)


def test_two_texts_stay_apart() -> None:
    rows = fit_lsa(["reset my password", "where is my parcel"]).embed(["password", "parcel"])
    assert abs(float(rows[0] @ rows[1])) < 0.2


def test_text_without_known_ngrams_is_a_zero_row() -> None:
    rows = fit_lsa(TEXTS).embed(["", "   ", "ξξξ"])
    assert not rows.any()


def test_embedding_alone_equals_embedding_in_a_batch() -> None:
    lsa = fit_lsa(TEXTS)
    together = lsa.embed(TEXTS)
    alone = np.vstack([lsa.embed([text]) for text in TEXTS])
    assert np.allclose(together, alone, atol=1e-6)


def test_no_texts_give_an_empty_matrix() -> None:
    lsa = fit_lsa(TEXTS)
    assert lsa.embed([]).shape == (0, lsa.dimensions)


@pytest.mark.parametrize("texts", [[], ["", "!!"]])
def test_fitting_on_no_words_says_what_is_missing(texts: list[str]) -> None:
    with pytest.raises(ValueError, match="at least one text with a word"):
        fit_lsa(texts)


def test_directions_are_the_leading_singular_vectors() -> None:
    random = np.random.default_rng(2)
    left, right = (np.linalg.qr(random.normal(size=(size, 60)))[0] for size in (400, 900))
    strengths = 0.9 ** np.arange(60)
    matrix = sparse.csr_matrix(((left * strengths) @ right.T).astype(np.float32))
    found = _directions(matrix, 20, 2, np.random.default_rng(0))
    np.testing.assert_allclose(found.T @ found, np.eye(20), atol=1e-5)
    assert np.all(np.abs(np.einsum("ij,ij->j", found, right[:, :20])) > 0.999)


def test_directions_that_texts_do_not_have_are_zero() -> None:
    matrix = sparse.csr_matrix(np.tile(np.eye(3, 50, dtype=np.float32), (10, 1)))
    found = _directions(matrix, 5, 4, np.random.default_rng(0))
    lengths = np.sort(np.linalg.norm(found, axis=0))
    np.testing.assert_allclose(lengths, [0, 0, 1, 1, 1], atol=1e-3)
