"""Words that tell groups apart."""

from __future__ import annotations

from trimtab.stats.ctfidf import telling_terms

CARDS = ["my card was charged twice", "the card was charged two times", "charged my card again"]
PARCELS = ["the parcel is late", "my parcel is late again", "where is my parcel"]


def test_a_group_is_named_by_what_the_others_do_not_say() -> None:
    cards, parcels = telling_terms([CARDS, PARCELS])
    assert set(" ".join(cards).split()) >= {"card", "charged"}
    assert "parcel" in " ".join(parcels).split()
    assert not set(" ".join(cards).split()) & {"my", "the", "was", "is"}


def test_a_pair_that_stands_together_is_one_term() -> None:
    named = telling_terms([["credit card declined", "credit card lost", "a credit card please"], PARCELS], terms=1)
    assert named[0] == ["credit card"]


def test_no_word_is_said_twice_in_a_name() -> None:
    for name in telling_terms([CARDS, PARCELS]):
        words = " ".join(name).split()
        assert len(words) == len(set(words))


def test_one_long_text_does_not_name_its_group() -> None:
    named = telling_terms([[*CARDS, "spam " * 500], PARCELS], terms=2)
    assert "spam" not in named[0]


def test_words_of_several_languages_that_only_join_others_are_left_out() -> None:
    named = telling_terms([["die Karte wurde nicht belastet", "die Karte ist nicht da"], ["le colis est en retard"]])
    assert not set(named[0]) & {"die", "nicht", "ist", "da"}
    assert "colis" in " ".join(named[1]).split()
    assert not set(" ".join(named[1]).split()) & {"le", "est", "en"}


def test_no_groups_and_groups_without_words_have_no_names() -> None:
    assert telling_terms([]) == []
    assert telling_terms([["?!", "..."], CARDS])[0] == []
