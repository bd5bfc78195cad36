"""What the words of a turn say about the answer before it: an objection, thanks, or neither.

Only how a text begins counts. Clauses are read one after the other for as long as each is an opener ("no", "sorry") or
a phrase of a list; the first clause about anything else ends the reading, so "write a letter that says: that is wrong"
says nothing. Code and quotations are left out. An objection after thanks wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

from trimtab.enrich.signals.language import LANGUAGES
from trimtab.enrich.signals.phrase import PhraseTree, phrases, words_of

__all__ = ["Tone", "common_words", "goes_on", "tone_of"]

Tone = Literal["objection", "thanks"]
_READ = 600
_FENCE = re.compile(r"```|~~~")
_QUOTATION = re.compile(
    r'`[^`\n]{0,400}`|"[^"\n]{0,400}"|\u201c[^\u201d\n]{0,400}\u201d|\u201e[^\u201c\u201d\n]{0,400}[\u201c\u201d]'
    r"|\u00ab[^\u00bb\n]{0,400}\u00bb|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w)){0,400}'(?!\w)"
)
_CLAUSE = re.compile(r"([^.!?;:,\n\u2026\u2013\u2014()]*)([.!?;:,\n\u2026\u2013\u2014()]|$)")
_STAND_IN = "\u00a4"
_QUOTED = " quoted_ "


class _Book(NamedTuple):
    tones: PhraseTree[Tone | Literal["neither"]]
    steps: PhraseTree[str]
    openers: frozenset[str]
    turns: frozenset[str]


def tone_of(text: str, languages: tuple[str, ...]) -> Tone | None:
    """Return what a text says, by how it begins, about the answer before it. Takes bounded time on any text.

    >>> tone_of("Thanks, but that's wrong.", ("en",))
    'objection'
    >>> tone_of("Nein danke.", ("de",)) is None
    True
    """
    return _tone(_spoken(text), languages)


@lru_cache(maxsize=8192)  # each turn is heard again when the next ones come
def _tone(spoken: str, languages: tuple[str, ...]) -> Tone | None:
    book = _book(languages)
    heard: Tone | None = None
    opened: list[str] = []
    for clause, end in _clauses(spoken):
        words = opened + clause  # "no" and "thank you" are one phrase, comma or not
        place: int | None = 0
        opened = clause[-1:]
        while place is not None and place < len(words):
            found = book.tones.find(words, place)
            if found is None:
                if words[place] not in book.openers:
                    return heard
                place += 1
                continue
            tone, until = found
            if tone == "objection":
                return tone
            if tone == "thanks" and not (end == "?" and until == len(words)):
                heard = tone
            opened = []
            place = next((at + 1 for at in range(until, len(words)) if words[at] in book.turns), None)
    return heard


def goes_on(text: str, before: str, languages: tuple[str, ...]) -> bool:
    """Say whether a request begins like a next step ("and now", "also"), unless the one before begins the same way."""
    book = _book(languages)
    step = book.steps.find(words_of(text[:_READ]))
    return step is not None and step != book.steps.find(words_of(before[:_READ]))


@lru_cache(maxsize=64)
def common_words(languages: tuple[str, ...]) -> frozenset[str]:
    """Return the words that say nothing about what is asked for."""
    return frozenset(word for name in languages for word in words_of(LANGUAGES[name].common))


@lru_cache(maxsize=64)
def _book(languages: tuple[str, ...]) -> _Book:
    chosen = [LANGUAGES[name] for name in languages]
    tones: PhraseTree[Tone | Literal["neither"]] = PhraseTree(
        word for lexicon in chosen for word in words_of(lexicon.fillers)
    )
    steps: PhraseTree[str] = PhraseTree()
    for lexicon in chosen:  # what says neither is added first: the same words say nothing in every language then
        for words, whole in phrases(lexicon.neither):
            tones.add(words, "neither", whole=whole)
    for lexicon in chosen:
        for words, whole in phrases(lexicon.objection):
            tones.add(words, "objection", whole=whole)
        for words, whole in phrases(lexicon.thanks):
            tones.add(words, "thanks", whole=whole)
        for words, _ in phrases(lexicon.steps):
            steps.add(words, " ".join(words))
    return _Book(
        tones,
        steps,
        frozenset(word for lexicon in chosen for word in words_of(lexicon.openers)),
        frozenset(word for lexicon in chosen for word in words_of(lexicon.turns)),
    )


def _clauses(spoken: str) -> Iterator[tuple[list[str], str]]:
    """Yield the words of each clause with the mark that ends it."""
    for match in _CLAUSE.finditer(spoken):
        words = words_of(match.group(1).replace(_STAND_IN, _QUOTED))
        if words:
            yield words, match.group(2)


def _spoken(text: str) -> str:
    """Return the first words of a text that are its writer's own: up to its first block of code, quotations left out.

    A quotation leaves a mark, so that what comes after it does not count as the beginning.
    """
    own = _FENCE.split(text[: 4 * _READ], maxsplit=1)[0]
    lines = [line for line in own.splitlines() if not line.lstrip().startswith(">")]
    return _QUOTATION.sub(_STAND_IN, "\n".join(lines))[:_READ]
