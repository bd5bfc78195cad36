"""The space stage: one LSA space per project, fitted on its own redacted texts and kept fresh in the background."""

from __future__ import annotations

import hashlib
import heapq
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

import structlog

from trimtab.config import Embedding
from trimtab.embed.choice import configured
from trimtab.embed.lexical import LEXICAL_SPACE, LexicalEmbedder
from trimtab.embed.port import Embedder
from trimtab.embed.shelf import Placed, clear, drop_previous, read_pointer, read_space, replace_space
from trimtab.errors import TrimtabError, UnreadableFile
from trimtab.records import text_of
from trimtab.store.erasing import ERASED
from trimtab.store.ports import CatalogStore, EventStore, LoopStore, Page, Query, Stored

if TYPE_CHECKING:  # a second of importing: only when a space is fitted or loaded
    from trimtab.embed.lsa import LsaEmbedder

__all__ = ["Reason", "SpaceStage", "clear_spaces", "unknown_expected", "unknown_share"]

Reason = Literal["first", "doubled", "unknown words", "age", "erasure"]
T = TypeVar("T")

_LOOK_EVERY = timedelta(seconds=5)
_REST = timedelta(minutes=10)  # between two looks into one project, each of which may read thousands of rows
_REST_AT_FIRST = timedelta(minutes=1)  # while it has no space
_MAX_AGE = timedelta(days=7)
_MAX_FEATURES = 20_000  # as good as 60,000 at a half of the memory (benches/results/rephrase.md)
_UNKNOWN_ABOVE = 0.05  # share of words beyond the expected one; see docs/embeddings.md for what was measured
_NEW_TEXTS = 200
_PAGE = 500
_ROWS_PER_TEXT = 4
_TEXT_CHARS = 4_000
_CORPUS_CHARS = 16_000_000
_LOADED = 8
_WORD = re.compile(r"\w+")


class SpaceStore(EventStore, CatalogStore, LoopStore, Protocol):
    """What this stage needs of the store."""


class _Said(NamedTuple):
    """A text with its age and whether it arrived after the space in use was fitted."""

    created_at: datetime
    text: str
    new: bool


class _Room:
    """What is known of one project's space. `seen` is how far the store was when last looked into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.placed: Placed | None = None
        self.read = False
        self.seen = 0
        self.wait = 1
        self.not_before: datetime | None = None
        self.erased = 0  # how many erasures the space must know nothing of


class _Found(NamedTuple):
    """What looking into one project came to: a fitted space, or when to look again."""

    project_id: str
    texts: int
    fitted: tuple[LsaEmbedder, Placed] | None = None
    failed: bool = False
    cleared: bool = False


class SpaceStage:
    """Keeps each project's embedder.

    `tick` never waits: it starts a thread that reads and fits, and collects what one has finished (`inline` makes it
    wait, for tests and studies). A space is fitted from `min_texts` distinct texts on, on the newest `max_texts` of
    them (inputs of inferences, words of feedback), and again when their number doubled, when new texts have many words
    it does not know, or when it is seven days old. A failed fit is logged and tried again later; it stops no stage.

    Where the settings name an endpoint or a model, that is every project's embedder and nothing is fitted.
    """

    name = "space"

    def __init__(
        self,
        store: SpaceStore,
        settings: Embedding,
        folder: Path,
        *,
        min_texts: int = 200,
        max_texts: int = 20_000,
        inline: bool = False,
    ) -> None:
        self._store = store
        self._folder = folder
        self._min_texts = min_texts
        self._max_texts = max_texts
        self._inline = inline
        self._fixed = configured(settings)
        self._lexical = LexicalEmbedder()
        self._log = structlog.get_logger("trimtab.space")
        self._lock = threading.Lock()  # over rooms and what is loaded; never held while a file is read
        self._reading = threading.Lock()
        self._rooms: dict[str, _Room] = {}
        self._loaded: OrderedDict[str, LsaEmbedder] = OrderedDict()  # by project
        self._found: SimpleQueue[_Found] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._looked_at: datetime | None = None
        self._hurry = False
        self.fits: Counter[Reason] = Counter()
        self.failures = 0

    # ------------------------------------------------------------ for whoever embeds

    def current(self, project_id: str) -> Embedder:
        """Return the project's embedder: its fitted space, before there is one the lexical embedder.

        The first call for a project reads its space from the disk (about a second where nothing was embedded before).
        Keep vectors with the `space` they are of: a later call may return another embedder.
        """
        if self._fixed is not None:
            return self._fixed
        return self._load(project_id) or self._lexical

    def embedder_of(self, project_id: str, space: str) -> Embedder | None:
        """Return the embedder of this very space, None when it is no longer kept (the last two are)."""
        if self._fixed is not None:
            return self._fixed if self._fixed.space == space else None
        if space == LEXICAL_SPACE:
            return self._lexical
        current = self._load(project_id)
        if current is not None and current.space == space:
            return current
        with self._lock:
            room = self._room(project_id)
            placed = room.placed
        if placed is None or placed.previous != space:
            return None
        try:
            return read_space(room.folder, space)
        except UnreadableFile:
            return None

    # ------------------------------------------------------------ for erasures

    def without(self, project_id: str, erased: int) -> bool:
        """Say whether the project's space was fitted after that many erasures; if not, have it fitted anew at once."""
        if self._fixed is not None:  # nothing is fitted; what an earlier setting has left is of no use
            clear_spaces(self._folder, project_id)
            return True
        with self._lock:
            room = self._room(project_id)
            if room.placed is None or room.placed.erased >= erased:
                return True
            self._hurry = self._hurry or room.erased < erased
            room.erased = max(room.erased, erased)
        return False

    def in_use(self, project_id: str) -> str | None:
        """Return the name of the space that the project's vectors are to be of, None where none is ever fitted."""
        return self.current(project_id).space if self._fixed is None else None

    def drop_before(self, project_id: str) -> int:
        """Remove what was in use before the project's space: its searches need it no more. Return how many files."""
        with self._lock:
            room = self._room(project_id)
            if room.placed is None:
                return clear(room.folder)
            before = int(room.placed.previous is not None)
            room.placed = drop_previous(room.folder, room.placed)
            return before

    # ------------------------------------------------------------ for the engine

    def tick(self, now: datetime) -> int:
        """Collect finished fits and start what is due; return on how many texts the collected ones were fitted."""
        if self._fixed is not None:
            return 0
        handled = self._collect(now)
        busy = self._thread is not None and self._thread.is_alive()
        rested = self._looked_at is None or not timedelta(0) <= now - self._looked_at < _LOOK_EVERY
        if busy or not (rested or self._hurry) or self._stop.is_set():
            return handled
        self._looked_at, self._hurry = now, False
        due = [project.id for project in self._store.projects() if self._due(project.id, now)]
        if not due:
            return handled
        self._thread = threading.Thread(target=self._work, args=(due, now), name="trimtab-space", daemon=True)
        self._thread.start()
        if self._inline:
            self._thread.join()
            handled += self._collect(now)
        return handled

    def close(self) -> None:
        """Wait for a fit under way (seconds), begin no other, close what the settings named. May be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        close = getattr(self._fixed, "close", None)
        if close is not None:
            close()

    # ------------------------------------------------------------ when to look

    def _due(self, project_id: str, now: datetime) -> bool:
        """Say whether enough arrived since the last look to look again: two rows read, whatever the store holds."""
        with self._lock:
            room = self._room(project_id)
            if room.placed is not None and room.placed.erased < room.erased:
                return True
        if room.not_before is not None and now < room.not_before:
            return False
        arrived = sum(_places(self._store, project_id)) - room.seen
        old = room.placed is not None and now - room.placed.fitted_at >= _MAX_AGE
        return arrived >= (1 if old else room.wait)

    def _collect(self, now: datetime) -> int:
        handled = 0
        while True:
            try:
                found = self._found.get_nowait()
            except Empty:
                return handled
            with self._lock:
                room = self._room(found.project_id)
                first = room.placed is None and not found.failed and found.fitted is None
                room.not_before = now + (_REST_AT_FIRST if first else _REST)
                # Looks grow rarer as the corpus grows, so that all of them together read it a few times at most.
                room.wait = max(50, found.texts // 4) if room.placed is None else max(_NEW_TEXTS, found.texts // 10)
                if found.cleared:
                    room.placed = None
                    self._loaded.pop(found.project_id, None)
                if found.fitted is not None:
                    embedder, room.placed = found.fitted
                    room.wait = max(_NEW_TEXTS, room.placed.texts // 10)
                    self._keep(found.project_id, embedder)
                    handled += room.placed.texts

    # ------------------------------------------------------------ what is loaded

    def _room(self, project_id: str) -> _Room:
        """Return what is known of the project; under the lock."""
        room = self._rooms.get(project_id)
        if room is None:
            room = self._rooms[project_id] = _Room(self._folder / _folder_name(project_id))
        if not room.read:
            room.read = True
            try:
                room.placed = read_pointer(room.folder)
            except UnreadableFile as error:
                self._log.error("space pointer unreadable", project=project_id, error=error.message)
            if room.placed is not None:
                room.seen = room.placed.inference_seq + room.placed.feedback_seq
                room.wait = max(_NEW_TEXTS, room.placed.texts // 10)
        return room

    def _load(self, project_id: str) -> LsaEmbedder | None:
        """Return the project's fitted space, read from its file where it must be; None where there is none."""
        with self._reading:
            with self._lock:
                room = self._room(project_id)
                placed, known = room.placed, self._loaded.get(project_id)
            if placed is None:
                return None
            if known is None:
                try:
                    known = read_space(room.folder, placed.space)
                except UnreadableFile as error:
                    self._log.error("space unreadable, fitting a new one", project=project_id, error=error.message)
                    with self._lock:
                        if room.placed is placed:
                            room.placed, room.seen, room.wait = None, 0, 1
                    return None
            with self._lock:
                if room.placed is placed:  # else a newer one was collected meanwhile, and is loaded
                    self._keep(project_id, known)
                return self._loaded.get(project_id, known)

    def _keep(self, project_id: str, embedder: LsaEmbedder) -> None:
        """Remember what is loaded, the latest used last; under the lock."""
        self._loaded[project_id] = embedder
        self._loaded.move_to_end(project_id)
        while len(self._loaded) > _LOADED:
            self._loaded.popitem(last=False)

    # ------------------------------------------------------------ in the thread

    def _work(self, due: Sequence[str], now: datetime) -> None:
        for project_id in due:
            if self._stop.is_set():
                return
            try:
                self._found.put(self._look(project_id, now))
            except Exception as error:  # noqa: BLE001  one project's trouble ends neither the thread nor the loop
                self.failures += 1
                said = error.message if isinstance(error, TrimtabError) else type(error).__name__
                self._log.error("fitting a space failed", project=project_id, error=said)
                self._found.put(_Found(project_id, 0, failed=True))

    def _look(self, project_id: str, now: datetime) -> _Found:
        places = _places(self._store, project_id)
        erased = self._store.cursor(ERASED)
        embedder = self._load(project_id)
        with self._lock:
            room = self._room(project_id)
            placed = room.placed
            room.seen = sum(places)
            anew = placed is not None and placed.erased < room.erased
        said = self._newest(project_id, placed)
        if anew and len(said) < self._min_texts and not self._stop.is_set():
            clear(room.folder)
            return _Found(project_id, len(said), cleared=True)
        reason: Reason | None = "erasure" if anew else self._reason(said, embedder, placed, now)
        if reason is None or self._stop.is_set():
            return _Found(project_id, len(said))
        from trimtab.embed.lsa import fit_lsa  # noqa: PLC0415  see above

        texts = [item.text for item in said]
        fitted = fit_lsa(texts, max_features=_MAX_FEATURES)
        before = None if placed is None else placed.previous if placed.space == fitted.space else placed.space
        fresh = Placed(
            space=fitted.space,
            fitted_at=now,
            texts=len(texts),
            unknown=unknown_expected(fitted.knows, texts),
            inference_seq=places[0],
            feedback_seq=places[1],
            previous=before,
            erased=erased,
        )
        replace_space(room.folder, fitted, fresh)
        self.fits[reason] += 1
        self._log.info("space fitted", project=project_id, space=fitted.space, texts=len(texts), reason=reason)
        return _Found(project_id, len(texts), (fitted, fresh))

    def _reason(
        self, said: Sequence[_Said], embedder: LsaEmbedder | None, placed: Placed | None, now: datetime
    ) -> Reason | None:
        """Return why a space is to be fitted now, None when it is not."""
        new = [item.text for item in said if item.new]
        if placed is None or embedder is None:
            return "first" if len(said) >= self._min_texts else None
        if len(said) >= 2 * placed.texts:
            return "doubled"
        if len(new) >= _NEW_TEXTS and unknown_share(embedder.knows, new) > placed.unknown + _UNKNOWN_ABOVE:
            return "unknown words"
        return "age" if new and now - placed.fitted_at >= _MAX_AGE else None

    def _newest(self, project_id: str, placed: Placed | None) -> list[_Said]:
        """Return the newest distinct texts of the project, the oldest first."""
        inference_seq, feedback_seq = (placed.inference_seq, placed.feedback_seq) if placed else (0, 0)
        inputs = (
            _Said(row.record.created_at, text_of(row.record.input), row.seq > inference_seq)
            for row in _pages(lambda query: self._store.list_inferences(project_id, query))
        )
        words = (
            _Said(row.record.created_at, row.record.text or "", row.seq > feedback_seq)
            for row in _pages(lambda query: self._store.list_feedback(project_id, query))
        )
        distinct: dict[str, _Said] = {}
        chars = 0
        both = heapq.merge(inputs, words, key=lambda item: item.created_at, reverse=True)
        for rows, item in enumerate(both):
            text = item.text[:_TEXT_CHARS]
            if text not in distinct and _WORD.search(text):
                distinct[text] = item._replace(text=text)
                chars += len(text)
            full = len(distinct) >= self._max_texts or chars >= _CORPUS_CHARS
            if full or rows >= _ROWS_PER_TEXT * self._max_texts or self._stop.is_set():
                break
        return list(distinct.values())[::-1]


def clear_spaces(folder: Path, project_id: str) -> int:
    """Remove a project's spaces from the folder of all; return how many files that were."""
    return clear(folder / _folder_name(project_id))


def unknown_share(knows: Callable[[str], bool], texts: Sequence[str]) -> float:
    """Return the share of the words of `texts`, counted as often as they are said, that are not known."""
    counts = _counts(texts)
    return sum(count for word, count in counts.items() if not knows(word)) / max(counts.total(), 1)


def unknown_expected(knows: Callable[[str], bool], texts: Sequence[str]) -> float:
    """Return the share of words that another text like these would have and the space fitted on them not know.

    Leave-one-out: a word said once would be unknown had its text not been seen, so (words said once + words not known)
    over all words. This is the Good-Turing estimate of the unseen mass (Good, Biometrika 40, 1953). Assumption: texts
    come from one source, each independently.
    """
    counts = _counts(texts)
    return sum(count for word, count in counts.items() if count == 1 or not knows(word)) / max(counts.total(), 1)


def _counts(texts: Sequence[str]) -> Counter[str]:
    return Counter(word for text in texts for word in _WORD.findall(text.lower()))


def _places(store: SpaceStore, project_id: str) -> tuple[int, int]:
    """Return the places of the newest inference and the newest feedback, 0 where there is none."""
    one = Query(limit=1)
    inferences, feedback = store.list_inferences(project_id, one).rows, store.list_feedback(project_id, one).rows
    return (inferences[0].seq if inferences else 0, feedback[0].seq if feedback else 0)


def _pages(read: Callable[[Query], Page[T]]) -> Iterator[Stored[T]]:
    """Yield rows, the newest first, reading page after page."""
    after: int | None = None
    while True:
        page = read(Query(limit=_PAGE, after=after))
        yield from page.rows
        if page.next is None:
            return
        after = page.next


def _folder_name(project_id: str) -> str:
    """Return a name that is a safe folder on every system and of one project only."""
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,99}", project_id):
        return project_id
    digest = hashlib.sha256(project_id.encode()).hexdigest()[:16]
    return re.sub(r"[^a-z0-9_-]", "_", project_id.lower())[:80] + f"~{digest}"
