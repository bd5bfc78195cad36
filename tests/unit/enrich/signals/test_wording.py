"""Objections and thanks in six languages: our own material, a file each, and what neither is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from trimtab.config import Language, Signals
from trimtab.enrich.signals.language import LANGUAGES
from trimtab.enrich.signals.phrase import phrases
from trimtab.enrich.signals.wording import Tone, goes_on, tone_of

ALL = Signals().languages
MEANING: dict[str, Tone | None] = {"-": "objection", "+": "thanks", "0": None}
FILES = sorted(Path(__file__).with_name("tone").glob("*.txt"))


def material(path: Path) -> list[tuple[Tone | None, str]]:
    """Read the lines of a file: `-` objects, `+` thanks, `0` does neither."""
    return [(MEANING[line[0]], line[2:]) for line in path.read_text("utf-8").splitlines()]


def test_every_language_of_the_settings_has_its_list_and_its_material() -> None:
    assert set(get_args(Language)) == set(LANGUAGES) == {path.stem for path in FILES}
    assert all(len(material(path)) >= 40 for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_says_nothing_is_never_taken_for_an_objection_or_thanks(path: Path) -> None:
    assert [text for meant, text in material(path) if meant != tone_of(text, ALL) is not None] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nearly_all_objections_and_thanks_of_a_language_are_heard(path: Path) -> None:
    meant = [(tone, text) for tone, text in material(path) if tone is not None]
    missed = [text for tone, text in meant if tone_of(text, ALL) is None]
    assert len(missed) <= 0.05 * len(meant), missed


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_phrase_means_two_things(language: str) -> None:
    lists = {kind: set(phrases(getattr(LANGUAGES[language], kind))) for kind in ("objection", "thanks")}
    for other in LANGUAGES.values():
        assert not lists["objection"] & set(phrases(other.thanks))
        assert not lists["objection"] & set(phrases(other.neither))
        assert not lists["thanks"] & set(phrases(other.neither))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["objection", "thanks", "neither", "steps"])
def test_phrases_choose_on_one_level_only(language: str, kind: str) -> None:
    for line in getattr(LANGUAGES[language], kind).splitlines():
        depth = [0]
        for mark in line:
            depth.append(depth[-1] + {"(": 1, ")": -1}.get(mark, 0))
        assert max(depth) <= 1, line
        assert (min(depth), depth[-1]) == (0, 0), line


def test_a_language_that_is_switched_off_is_not_heard() -> None:
    assert tone_of("Das stimmt nicht.", ("de",)) == "objection"
    assert tone_of("Das stimmt nicht.", ("en", "fr")) is None


@pytest.mark.parametrize(
    "text",
    [
        "Write an apology.\nThat's wrong, and we are sorry.",
        "```\nthat's wrong\n```",
        "> that's wrong\nWhat does he mean by this?",
        "'That's wrong' he said. What now?",
        "Summarise this review: it doesn't work, wrong size.",
        "",
        "\u00bf?",
    ],
)
def test_words_of_others_are_not_the_users_own(text: str) -> None:
    assert tone_of(text, ALL) is None


def test_an_objection_wins_over_thanks() -> None:
    assert tone_of("Thanks! Great. But that's not what I asked for.", ALL) == "objection"


def test_a_question_whether_it_works_is_no_thanks() -> None:
    assert tone_of("that works?", ALL) is None
    assert tone_of("that works!", ALL) == "thanks"


@pytest.mark.parametrize(
    "text", ["and now in French", "Und jetzt auf Englisch", "maintenant en anglais", "Also sort it"]
)
def test_next_steps_are_known_by_how_they_begin(text: str) -> None:
    assert goes_on(text, "Translate the letter", ALL)
    assert not goes_on(text, text, ALL)
