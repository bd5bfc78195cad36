from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from trimtab.act.alike import Alike
from trimtab.act.memory import ExemplarMemory, FittedMemory, _standing
from trimtab.embed.lexical import LexicalEmbedder
from trimtab.embed.lsa import LsaEmbedder, fit_lsa
from trimtab.records import Exemplar, Version

NOW = datetime(2026, 1, 5, tzinfo=UTC)
KNOWN = {
    "how do i reset my password": "password",
    "i forgot my password": "password",
    "password does not work": "password",
    "where is my parcel": "delivery",
    "has the parcel been shipped": "delivery",
    "when does my parcel arrive": "delivery",
}


def version(*later: tuple[str, str], known: dict[str, str] = KNOWN) -> Version:
    first = [Exemplar(id=f"e{i}", input=text, output=answer) for i, (text, answer) in enumerate(known.items())]
    added = [
        Exemplar(id=f"n{i}", input=text, output=answer, added_at=NOW + timedelta(days=i))
        for i, (text, answer) in enumerate(later)
    ]
    return Version(feature="support", created_at=NOW, exemplars=[*first, *added]).identified()


class Counting:
    """A real embedder that also tells how many texts it was given."""

    def __init__(self, inner: LsaEmbedder) -> None:
        self.inner = inner
        self.texts = 0

    @property
    def space(self) -> str:
        return self.inner.space

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += len(texts)
        return self.inner.embed(texts)


def test_answers_with_the_nearest_exemplars_output_in_order() -> None:
    memory = ExemplarMemory(fit_lsa(list(KNOWN)))
    assert memory.answer(version(), ["my parcel", "new password"]) == ["delivery", "password"]


def test_version_without_exemplars_answers_nothing() -> None:
    memory = ExemplarMemory(fit_lsa(list(KNOWN)))
    empty = Version(feature="support", created_at=NOW).identified()
    assert memory.answer(empty, ["my parcel", "x"]) == ["", ""]
    assert memory.answer(version(), []) == []


def test_input_unlike_anything_known_gets_no_answer() -> None:
    assert ExemplarMemory(fit_lsa(list(KNOWN))).answer(version(), ["ξξξ"]) == [""]


def test_new_version_embeds_only_its_new_exemplars() -> None:
    counting = Counting(fit_lsa([*KNOWN, "cancel my order"]))
    memory = ExemplarMemory(counting)
    memory.answer(version(), ["my parcel"])
    before = counting.texts
    memory.answer(version(("cancel my order", "cancel")), ["my parcel"])
    assert counting.texts - before == 2  # the one new exemplar and the one input


def test_added_exemplar_teaches_a_new_answer() -> None:
    memory = ExemplarMemory(fit_lsa([*KNOWN, "cancel my order"]))
    taught = version(("cancel my order", "cancel"))
    assert memory.answer(taught, ["please cancel the order"]) == ["cancel"]


def test_newer_exemplars_outweigh_older_ones_that_contradict_them() -> None:
    memory = ExemplarMemory(fit_lsa(list(KNOWN)))
    changed = version(("where is my parcel", "call the courier"), ("has my parcel been shipped", "call the courier"))
    assert memory.answer(changed, ["where is my parcel now"]) == ["call the courier"]
    assert memory.answer(changed, ["forgot my password"]) == ["password"]


def test_exemplars_of_the_launch_do_not_weaken_one_another() -> None:
    known = {"where is my parcel": "delivery", "where is the parcel": "delivery", "where is a parcel": "tracking"}
    memory = ExemplarMemory(fit_lsa(list(known)))
    assert memory.answer(version(known=known), ["where is my parcel"]) == ["delivery"]


def test_refit_moves_the_memory_to_the_new_space() -> None:
    memory = ExemplarMemory(fit_lsa(list(KNOWN)))
    assert memory.answer(version(), ["my parcel"]) == ["delivery"]
    memory.refit(fit_lsa([*KNOWN, "an invoice for my purchase", "send the invoice again"], dimensions=4))
    assert memory.answer(version(), ["my parcel"]) == ["delivery"]


def test_thousands_of_inputs_are_answered_like_single_ones() -> None:
    memory = ExemplarMemory(fit_lsa(list(KNOWN)))
    inputs = ["my parcel", "forgot the password", "shipped?"] * 1500
    assert memory.answer(version(), inputs) == memory.answer(version(), inputs[:3]) * 1500


def test_fitted_memory_needs_no_embedder() -> None:
    memory = FittedMemory()
    assert memory.answer(version(), ["my parcel", "forgot password"]) == ["delivery", "password"]
    assert memory.answer(Version(feature="support", created_at=NOW), ["my parcel"]) == [""]


def test_space_is_that_of_the_answers_and_there_is_none_without_exemplars() -> None:
    embedder = fit_lsa(list(KNOWN))
    assert ExemplarMemory(embedder).space(version()) is embedder
    assert ExemplarMemory(embedder).space(Version(feature="support", created_at=NOW)) is None


def test_standing_is_what_each_later_word_leaves_of_it() -> None:
    """More later exemplars than are looked at together, and a number of rows that is no multiple of four."""
    random = np.random.default_rng(3)
    labels = random.integers(0, 9, 701)
    vectors = (np.eye(9, 16)[labels] + random.normal(0, 0.15, (701, 16))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels[random.random(701) < 0.3] = 0
    exemplars = [
        Exemplar(
            id=f"e{i}", input=f"{i}", output=f"{label}", added_at=NOW + timedelta(days=i // 20) if i > 100 else None
        )
        for i, label in enumerate(labels)
    ]
    expected = np.ones(701)
    for row in range(101, 701):
        for old in range(101 if row < 120 else row // 20 * 20):
            alike = float(vectors[old] @ vectors[row])
            if alike >= 0.55 and labels[old] == labels[row]:
                expected[old] = min(expected[old] * 1.3, 1.0)
            elif alike >= 0.55:
                expected[old] *= 1 - 0.5 * min((alike - 0.55) / 0.45 + 0.3, 1.0)
    pairs = Alike()
    places = pairs.places(exemplars, lambda texts: vectors[[int(text) for text in texts]])
    np.testing.assert_allclose(_standing(exemplars, labels, places, pairs), expected, atol=1e-4)


def test_an_example_for_one_user_says_nothing_of_what_is_typical() -> None:
    own = Exemplar(id="own", input="my own parcel", output="in the safe", audience="u_1")
    first = version()
    mixed = Version(feature="support", created_at=NOW, exemplars=[*first.exemplars, own]).identified()
    memory, asked = ExemplarMemory(LexicalEmbedder()), ["my own parcel", "where is my parcel"]
    assert memory.typical(mixed, asked, before=NOW) == memory.typical(first, asked, before=NOW)


class Told:
    """A space of random vectors, a few directions with noise, so that many texts ask alike."""

    space = "told"

    def __init__(self, count: int) -> None:
        random = np.random.default_rng(5)
        self.rows = (np.eye(12, 96)[np.arange(count) % 12] + random.normal(0, 0.08, (count, 96))).astype(np.float32)
        self.rows /= np.linalg.norm(self.rows, axis=1, keepdims=True)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.rows[[int(text) for text in texts]]


def grown(count: int, *, without: int = -1) -> Version:
    """A version of `count` exemplars, of which those after the first 200 came ten a day."""
    exemplars = [
        Exemplar(
            id=f"e{i}",
            input=f"{i}",
            output=f"{i * 7 % 31 % 12}",
            added_at=NOW + timedelta(days=i // 10) if i >= 200 else None,
        )
        for i in range(count)
        if i % 9 != without
    ]
    return Version(feature="support", created_at=NOW, exemplars=exemplars).identified()


def learned(space: Told) -> ExemplarMemory:
    return ExemplarMemory(space, shrinkage=1.0, balance=0.5, centres=1.0)


def test_memory_that_saw_other_versions_answers_to_the_last_bit_like_one_that_did_not() -> None:
    space = Told(900)
    old, asked = learned(space), [str(place) for place in range(300, 900)]
    for version in (grown(480), grown(440), grown(520, without=4), grown(520), grown(700, without=2)):
        told, fresh = old.consider(version, asked), learned(space).consider(version, asked)
        assert told.answers == fresh.answers
        for here, there in zip(told[1:], fresh[1:], strict=True):
            np.testing.assert_array_equal(here, there)
        before = NOW + timedelta(days=30)
        assert old.typical(version, asked, before=before) == learned(space).typical(version, asked, before=before)


def test_what_was_asked_before_is_answered_to_the_last_bit_as_the_first_time() -> None:
    space, version = Told(900), grown(500)
    memory, asked = learned(space), [str(place) for place in range(900)]
    whole = learned(space).consider(version, asked)
    memory.consider(version, asked[:500])
    for first in (0, 250, 450, 497):
        told = memory.consider(version, asked[first : first + 400])
        assert told.answers == whole.answers[first : first + 400]
        np.testing.assert_array_equal(told.margin, whole.margin[first : first + 400])
        np.testing.assert_array_equal(told.nearest, whole.nearest[first : first + 400])


def test_a_text_that_is_there_twice_counts_twice() -> None:
    known = [Exemplar(id=f"e{i}", input="where is my parcel", output=answer) for i, answer in enumerate("aba")]
    memory = ExemplarMemory(fit_lsa(list(KNOWN)))
    assert memory.answer(Version(feature="support", created_at=NOW, exemplars=known), ["my parcel"]) == ["a"]
