"""Lists of phrases as a tree of words: each text is walked once, so no text can make it slow."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Generic, TypeVar

__all__ = ["PhraseTree", "folded", "phrases", "words_of"]

T = TypeVar("T")
_WORD = re.compile(r"\w+")
_CHOICE = re.compile(r"\(([^()]*)\)")
_APOSTROPHES = str.maketrans("", "", "'\u2019\u2018\u02bc`\u00b4")
_BARE = str.maketrans("", "", "'\u2019\u2018\u02bc`\u00b4\u00b7")


def folded(text: str) -> str:
    """Return the text without case, accents and apostrophes: `C'est là` and `cest la` are the same."""
    if text.isascii():
        return text.lower().translate(_APOSTROPHES)
    bare = unicodedata.normalize("NFKD", text.translate(_BARE).casefold())
    return "".join(character for character in bare if not unicodedata.combining(character))


def words_of(text: str) -> list[str]:
    """Return the words of a text, folded."""
    return _WORD.findall(folded(text))


def phrases(listed: str) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield every phrase of a list, one a line, with its choices written out, and whether it is a whole clause.

    >>> sorted(phrases("(that|it) is (|so )wrong."))[0]
    (('it', 'is', 'so', 'wrong'), True)
    """
    for line in listed.splitlines():
        parts = _CHOICE.split(line.strip())
        choices = [part.split("|") if place % 2 else [part] for place, part in enumerate(parts)]
        for chosen in product(*choices):
            written = "".join(chosen).strip()
            words = tuple(words_of(written))
            if words:
                yield words, written.endswith(".")


class _Node(Generic[T]):
    __slots__ = ("begun", "following", "whole")

    def __init__(self) -> None:
        self.following: dict[str, _Node[T]] = {}
        self.begun: T | None = None
        self.whole: T | None = None


class PhraseTree(Generic[T]):
    """Finds the longest phrase with which a row of words begins, in time linear in the phrase."""

    def __init__(self, fillers: Iterable[str] = ()) -> None:
        self._root: _Node[T] = _Node()
        self._fillers = frozenset(fillers)

    def add(self, words: Sequence[str], meaning: T, *, whole: bool = False) -> None:
        """Add a phrase; one that is there keeps its first meaning."""
        node = self._root
        for word in words:
            node = node.following.setdefault(word, _Node())
        if whole:
            node.whole = meaning if node.whole is None else node.whole
        else:
            node.begun = meaning if node.begun is None else node.begun

    def find(self, words: Sequence[str], start: int = 0) -> tuple[T, int] | None:
        """Return the meaning of the longest phrase that begins at `start`, and where it ends; None if there is none.

        Fillers between the words of a phrase are passed over.
        """
        node, found = self._root, None
        for place in range(start, len(words)):
            step = node.following.get(words[place])
            if step is None:
                if place > start and words[place] in self._fillers:
                    continue
                return found
            node = step
            if node.begun is not None:
                found = (node.begun, place + 1)
        if node.whole is not None:
            found = (node.whole, len(words))
        return found
