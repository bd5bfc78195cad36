"""The product: an index of help pages and of what Trimtab put beside them, and a reader that answers from them.

The reader stands for a language model that is shown chunks and repeats what they say. It answers with the best chunk
found; where entries correct that page, with what most of them say.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from trimtab.act.knowledge.facts import nearest_facts
from trimtab.act.knowledge.words import content_words
from trimtab.client import Patch
from trimtab.records import Chunk, Knowledge, Payload, Version, text_of
from trimtab.study.knowledge.pages import Page
from trimtab.study.stream import Answered

__all__ = ["PAGE", "Found", "HelpDesk"]

PAGE = "page"

_SHOWN = 3


class Found(NamedTuple):
    """One document that was found, and how near it is."""

    id: str
    score: float


class _Entry(NamedTuple):
    question: str
    text: str
    source_id: str | None


class HelpDesk:
    """Answers from its index, and from what the served Version knows. The index is the app's own; patches come in.

    A document's nearness is the sum of the squared weights of the words it shares with the question over the length of
    its own; a word's weight is its inverse document frequency.
    """

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self.pages = dict(pages)
        self._entries: dict[str, _Entry] = {}
        self._words: dict[str, frozenset[str]] = {}
        self._weights: dict[str, float] = {}
        self._lengths: dict[str, float] = {}
        self._said: dict[tuple[str, str], Answered] = {}
        self._changed()

    def write(self, page_id: str, answer: str) -> None:
        """Let a page say something else."""
        page = self.pages[page_id]
        self.pages[page_id] = Page(page.title, answer, page.asked)
        self._changed()

    def bring(self, patch: Patch) -> Iterable[str]:
        """Carry out a patch; it may come twice."""
        if patch.kind == "delete":
            self._entries.pop(patch.entry_id, None)
            written = []
        else:
            self._entries[patch.entry_id] = _Entry(patch.question, patch.text, patch.source_id)
            written = [patch.entry_id]
        self._changed()
        return written

    def search(self, question: str, k: int) -> list[Found]:
        """Return the `k` nearest documents, the nearest first."""
        asked = content_words(question)
        near = [Found(name, self._near(asked, words, self._lengths[name])) for name, words in self._words.items()]
        return sorted(near, key=lambda found: -found.score)[:k]

    def retrieve(self, question: str, k: int) -> list[str]:
        """Return the ids of what the index gives now."""
        return [found.id for found in self.search(question, k)]

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        """Answer as somebody is answered who is served that version; the gate asks this."""
        return [self.say(version, text_of(each)).output for each in inputs]

    def say(self, version: Version, text: str) -> Answered:
        """Answer one question, naming the chunks it was answered from, the best first."""
        key = (version.id, text)
        if key not in self._said:
            self._said[key] = self._read(version, text)
        return self._said[key]

    def _read(self, version: Version, text: str) -> Answered:
        """Look up, let what corrects a page that was found come with it, and say what the best group of chunks says."""
        found = {item.id: item.score for item in self.search(text, _SHOWN)}
        known = {**self._entries, **{fact.id: _entry_of(fact) for fact in version.knowledge}}
        roots = {name: _root(name, known) for name in known}
        asked = content_words(text)
        for fact in nearest_facts(version.knowledge, text, found=found):
            words = content_words(f"{fact.question}\n{fact.text}")
            found.setdefault(fact.id, self._near(asked, words, self._length(words)))
        for name in self._entries:
            if roots[name] in found:
                found.setdefault(name, self._near(asked, self._words[name], self._lengths[name]))
        groups: dict[str, list[str]] = {}
        for name in sorted(found, key=lambda name: -found[name]):
            groups.setdefault(roots.get(name, name), []).append(name)
        chunks = [self._settled(group, found, known) for group in groups.values()][:_SHOWN]
        first = chunks[0]
        output = self.pages[first.id].answer if first.id in self.pages else str(first.text)
        return Answered(output, chunks, {PAGE: roots.get(first.id, first.id)})

    def _settled(self, group: Sequence[str], found: Mapping[str, float], known: Mapping[str, _Entry]) -> Chunk:
        """Return which of the chunks about one page is believed: the nearest entry, if it is nearer than the page.

        Else what most of them say, the page having a word as well, and where as many say either, the page.
        """
        best, score = group[0], round(found[group[0]], 3)
        pages = [name for name in group if name in self.pages]
        if pages and best in pages:
            said = Counter(known[name].text for name in group if name in known)
            text, count = said.most_common(1)[0] if said else ("", 0)
            if count > 1:
                best = next(name for name in group if name in known and known[name].text == text)
        shown = self.pages[best].text if best in self.pages else known[best].text
        return Chunk(id=best, text=shown, score=score)

    def _changed(self) -> None:
        documents = {name: f"{page.text} {' '.join(page.asked)}" for name, page in self.pages.items()}
        documents |= {name: f"{entry.question}\n{entry.text}" for name, entry in self._entries.items()}
        self._words = {name: content_words(text) for name, text in documents.items()}
        seen = Counter(word for page in self.pages for word in self._words[page])
        self._weights = {word: math.log(1 + len(self.pages) / count) for word, count in seen.items()}
        self._lengths = {name: self._length(words) for name, words in self._words.items()}
        self._said = {}

    def _weight(self, word: str) -> float:
        return self._weights.get(word, math.log(1 + len(self.pages)))

    def _length(self, words: Iterable[str]) -> float:
        return math.sqrt(sum(self._weight(word) ** 2 for word in words)) or 1.0

    def _near(self, asked: frozenset[str], words: frozenset[str], length: float) -> float:
        return sum(self._weight(word) ** 2 for word in sorted(asked & words)) / length


def _entry_of(fact: Knowledge) -> _Entry:
    return _Entry(fact.question, fact.text, fact.source_id)


def _root(name: str, entries: Mapping[str, _Entry]) -> str:
    """Return the page that an entry corrects in the end: of one that corrects an entry, the one that this corrects."""
    seen: set[str] = set()
    while name in entries and name not in seen:
        seen.add(name)
        name = entries[name].source_id or name
    return name
