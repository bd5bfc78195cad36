"""An index embedded anew beside the one that answers, and put in its place in one step if it finds no less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from trimtab.client.indexer import Handler, Patch

__all__ = ["Document", "Generation", "Rebuild", "Report", "Shelf"]

_PASSES = 20


class Generation(NamedTuple):
    """One way to hold all documents: what its place is called, and the embedder that fills it, many texts at a time."""

    name: str
    embed: Callable[[Sequence[str]], Sequence[Sequence[float]]]


class Document(NamedTuple):
    """A document of the index; `rest` is whatever else the place keeps of it."""

    id: Any
    text: str
    rest: Any = None


class Report(NamedTuple):
    """What became of a rebuild.

    `refused`: the new generation does not find the questions `lost`, which the old one finds; the old one goes on
    answering. `busy`: others wrote faster than documents could be brought over, or just now; run it again. `found` and
    `found_before` are how many of the `asked` questions the new and the old one find, `embedded` and `removed` what
    this run brought over and took out.
    """

    state: Literal["switched", "refused", "busy"]
    embedded: int = 0
    removed: int = 0
    asked: int = 0
    found: int = 0
    found_before: int = 0
    lost: tuple[str, ...] = ()


class Shelf(Protocol):
    """Where generations stand, one of which answers under the name that the app asks."""

    def serving(self, old: str, new: str) -> str:
        """Return which of both answers."""
        ...

    def prepare(self, source: str, target: str, size: int) -> None:
        """Make an empty place for vectors of `size` dimensions, shaped like the source's, unless it is there."""
        ...

    def exists(self, name: str) -> bool:
        """Say whether the generation has a place."""
        ...

    def behind(self, source: str, target: str, lot: int) -> Iterator[list[Document]]:
        """Yield the source's documents that the target lacks or has otherwise, in lots of at most `lot`."""
        ...

    def surplus(self, source: str, target: str) -> list[Any]:
        """Return the ids that the target alone has."""
        ...

    def write(
        self, source: str, target: str, documents: Sequence[Document], vectors: Sequence[Sequence[float]]
    ) -> None:
        """Write documents to the target; in the place of what it has under their ids."""
        ...

    def remove(self, name: str, ids: Sequence[Any]) -> None:
        """Take documents out."""
        ...

    def search(self, name: str, vector: Sequence[float], k: int) -> list[str]:
        """Return the ids of the `k` nearest documents, the nearest first."""
        ...

    def switch(self, source: str, target: str) -> bool:
        """Let the target answer in the source's place, in one step; False where it has fallen behind meanwhile."""
        ...

    def handler(self, generation: Generation) -> Handler:
        """Return a handler that brings patches into one generation."""
        ...

    def drop(self, name: str) -> None:
        """Remove a generation that does not answer."""
        ...


class Rebuild:
    """Brings an index from one generation to the next, and back.

    `run` may be killed at any moment and run again: it embeds what the new generation lacks, and no document twice.
    `questions` are pairs of a question and the ids of which one must be among the first `k` (`client.known_questions`
    gives those that Trimtab has verified). The old generation is kept until `drop_old`.

    From the first run until then, use `handler` for the app's patches and `retrieve` for its searches: a patch goes
    into both generations, a question to the one that answers, each with its own embedder.
    """

    def __init__(
        self,
        shelf: Shelf,
        old: Generation,
        new: Generation,
        *,
        questions: Iterable[tuple[str, Collection[str]]] = (),
        k: int = 5,
        lot: int = 64,
    ) -> None:
        self._shelf = shelf
        self._old = old
        self._new = new
        self._questions = [(question, frozenset(ids)) for question, ids in questions if ids]
        self._k = k
        self._lot = lot

    @property
    def serving(self) -> Generation:
        """The generation that answers."""
        return self._new if self._shelf.serving(self._old.name, self._new.name) == self._new.name else self._old

    def run(self) -> Report:
        """Fill the new generation, ask both the known questions, and let the new one answer if it finds no less."""
        if self.serving is self._new:
            return Report("switched")
        size = len(self._new.embed(["size"])[0])
        self._shelf.prepare(self._old.name, self._new.name, size)
        return self._taken_over(self._old, self._new, judged=True)

    def revert(self) -> Report:
        """Let the old generation answer again, with everything that was written since."""
        if self.serving is self._old:
            return Report("switched")
        return self._taken_over(self._new, self._old, judged=False)

    def drop_old(self) -> None:
        """Remove the old generation for good. Raises ValueError while it is the one that answers."""
        if self.serving is self._old:
            raise ValueError(
                f"expected {self._new.name!r} to answer, but {self._old.name!r} does; run the rebuild first"
            )
        self._shelf.drop(self._old.name)

    def retrieve(self, question: str, k: int) -> list[str]:
        """Ask the generation that answers."""
        return self._found(self.serving, question, k)

    def handler(self, patch: Patch) -> list[str]:
        """Bring a patch into every generation there is; return the ids of the one that answers."""
        serving = self.serving
        other = self._old if serving is self._new else self._new
        ids = [str(each) for each in self._shelf.handler(serving)(patch) or ()]
        if self._shelf.exists(other.name):
            self._shelf.handler(other)(patch)
        return ids

    def _taken_over(self, source: Generation, target: Generation, *, judged: bool) -> Report:
        embedded = removed = 0
        for _ in range(_PASSES):
            for lot in self._shelf.behind(source.name, target.name, self._lot):
                vectors = target.embed([document.text for document in lot])
                self._shelf.write(source.name, target.name, lot, vectors)
                embedded += len(lot)
            gone = self._shelf.surplus(source.name, target.name)
            self._shelf.remove(target.name, gone)
            removed += len(gone)
            told = Report("busy", embedded, removed, **self._compared(source, target)) if judged else None
            if told is not None and told.lost:
                return told._replace(state="refused")
            if self._shelf.switch(source.name, target.name):
                return (told or Report("busy", embedded, removed))._replace(state="switched")
        return Report("busy", embedded, removed)

    def _compared(self, source: Generation, target: Generation) -> dict[str, Any]:
        found = found_before = 0
        lost: list[str] = []
        for question, ids in self._questions:
            before = not ids.isdisjoint(self._found(source, question, self._k))
            after = not ids.isdisjoint(self._found(target, question, self._k))
            found_before, found = found_before + before, found + after
            if before and not after:
                lost.append(question)
        return {"asked": len(self._questions), "found": found, "found_before": found_before, "lost": tuple(lost)}

    def _found(self, generation: Generation, question: str, k: int) -> list[str]:
        return self._shelf.search(generation.name, generation.embed([question])[0], k)
