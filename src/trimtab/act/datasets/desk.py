"""Takes orders for datasets, builds them one after another in a thread of its own, hands out their files.

A set lies in `datasets/<id>/<revision>` under the storage path. Its record says which revision holds; what no record
names was left by somebody who was killed, and goes at the next start.
"""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from trimtab.act.datasets.build import Built, Given, build
from trimtab.act.datasets.request import DatasetRequest, checked
from trimtab.act.datasets.revise import Gone, revise
from trimtab.act.datasets.source import HotWords, Look, Source
from trimtab.clock import Clock
from trimtab.errors import Conflict, NotFound, TrimtabError, Unavailable
from trimtab.ids import new_id
from trimtab.records import Case, Dataset
from trimtab.redact.project import Cleaners
from trimtab.store.ports import CatalogStore, DatasetStore, LoopStore, Query, Writes

__all__ = ["FOLDER", "DatasetDesk", "DeskStore", "given_by", "prepared"]

FOLDER = "datasets"
_PAGE = 1000
_MOST_WAITING = 20


class DeskStore(HotWords, CatalogStore, LoopStore, DatasetStore, Protocol):
    """What the desk needs of the hot store."""


class DatasetDesk:
    """Builds datasets of all projects. `inline` builds within `order`, for tests and studies."""

    def __init__(
        self,
        store: DeskStore,
        cleaners: Cleaners,
        open_source: Callable[[], Source],
        storage: Path,
        clock: Clock,
        *,
        inline: bool = False,
    ) -> None:
        self._store = store
        self._cleaners = cleaners
        self._open_source = open_source
        self._storage = storage
        self._clock = clock
        self._inline = inline
        self._lock = threading.RLock()  # a set is finished, revised or deleted by one at a time
        self._orders: deque[tuple[str, Dataset, DatasetRequest]] = deque()
        self._thread: threading.Thread | None = None
        self._source: Source | None = None
        self._meanwhile: list[tuple[str, Gone]] = []  # who was erased while a build was reading
        self._closing = False
        self._log = structlog.get_logger("trimtab.datasets")

    def recover(self) -> None:
        """Give up what a process that ended was building, and remove what no record names. Called before any order."""
        named = set()
        for project in self._store.projects():
            for record in self._all(project.id):
                if record.state == "building":
                    self._write(project.id, self._failed(record, "the engine stopped while this was built; order anew"))
                elif record.state == "done":
                    named.add(self._storage / record.path)
        for folder in (self._storage / FOLDER).glob("*"):
            _tidied(folder, named)

    def order(self, project_id: str, request: DatasetRequest) -> Dataset:
        """Begin to build a set and return its record. Raises InvalidField, or Conflict where too many wait."""
        told = prepared(request, self._cleaners, project_id)
        now = self._clock.now()
        record = Dataset(
            id=new_id(now),
            kind=told.kind,
            format=told.format,
            state="building",
            created_at=now,
            request=msgspec.to_builtins(told),
        )
        with self._lock:
            if len(self._orders) >= _MOST_WAITING:
                raise Conflict(f"{_MOST_WAITING} datasets wait to be built; order again when one is done")
            if self._closing:
                raise Unavailable("the engine is stopping")
            self._write(project_id, record)
            self._orders.append((project_id, record, told))
            if not self._inline and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="trimtab-datasets", daemon=True)
                self._thread.start()
        if self._inline:
            self._work()
        return self._store.dataset(project_id, record.id) or record

    def file(self, project_id: str, dataset_id: str, name: str) -> Path:
        """Return the path of one file of a finished set. Raises NotFound for any other name than its record lists."""
        record = self._found(project_id, dataset_id)
        if record.state != "done" or all(file.name != name for file in record.files):
            known = ", ".join(file.name for file in record.files) or f"none: it is {record.state}"
            raise NotFound(f"no file {name[:80]!r} in dataset {dataset_id!r}; there is {known}", param="name")
        return self._storage / record.path / name

    def delete(self, project_id: str, dataset_id: str) -> Dataset:
        """Remove a set's files; its record stays and says so. Raises NotFound, or Conflict while it is being built."""
        with self._lock:
            record = self._found(project_id, dataset_id)
            if record.state == "building":
                raise Conflict(f"dataset {dataset_id!r} is being built; delete it when it is done")
            gone = msgspec.structs.replace(record, state="deleted", files=[], path="")
            self._write(project_id, gone)
            shutil.rmtree(self._storage / FOLDER / dataset_id, ignore_errors=True)
            return gone

    def erase(
        self,
        project_id: str,
        *,
        inference_ids: Iterable[str] = (),
        feedback_ids: Iterable[str] = (),
        case_ids: Iterable[str] = (),
    ) -> dict[str, int]:
        """Take the rows made from these answers, words and cases out of every set; return how many went, by set's id.

        Files are rewritten and the old ones removed; killed in between, a second call or the next start ends the work.
        A set that is being built is freed of them when it is done. Raises Unavailable where the disk fails.
        """
        gone = Gone.of(inference_ids, feedback_ids, case_ids)
        found: dict[str, int] = {}
        with self._lock:
            if self._orders:
                self._meanwhile.append((project_id, gone))
            for record in self._all(project_id):
                if record.state == "done" and (removed := self._freed(project_id, record, gone)):
                    found[record.id] = removed
        return found

    def building(self, project_id: str) -> bool:
        """Say whether a set of the project is being built: its draft on disk may hold what was erased meanwhile."""
        with self._lock:
            return any(owner == project_id for owner, _, _ in self._orders)

    def close(self) -> None:
        """Give up what is being built and wait for the thread. A second call does nothing."""
        with self._lock:
            self._closing = True
            thread, source = self._thread, self._source
        if thread is not None:
            if source is not None:
                source.cancel()
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._orders or self._closing:
                    self._thread = None
                    self._meanwhile.clear()
                    return
                project_id, record, request = self._orders[0]
            done = self._built(project_id, record, request)
            with self._lock:
                try:
                    self._write(project_id, self._without_erased(project_id, done))
                except TrimtabError as error:  # the store fails: the next start gives the order up
                    self._log.error("dataset not recorded", dataset=record.id, error=error.message)
                self._orders.popleft()

    def _without_erased(self, project_id: str, record: Dataset) -> Dataset:
        """Free a set just built of who was erased meanwhile, before anybody can see it."""
        for owner, gone in self._meanwhile:
            if owner == project_id and record.state == "done":
                try:
                    record, _ = self._revised(record, gone)
                except TrimtabError as error:
                    shutil.rmtree(self._storage / FOLDER / record.id, ignore_errors=True)
                    return self._failed(msgspec.structs.replace(record, files=[], path=""), error.message)
        if record.path:
            _tidied(self._storage / FOLDER / record.id, {self._storage / record.path})
        return record

    def _built(self, project_id: str, record: Dataset, request: DatasetRequest) -> Dataset:
        path = f"{FOLDER}/{record.id}/1"
        try:
            self._source = self._open_source()
            given = given_by(self._store, self._cleaners, project_id, request, self._clock)
            made = build(request, self._source, given, self._storage / path, look=self._look(record))
        except Exception as error:  # noqa: BLE001  a thread's error has nobody else to tell
            reason = error.message if isinstance(error, TrimtabError) else f"unexpected {type(error).__name__}"
            self._log.error("dataset failed", dataset=record.id, error=reason, exc_info=True)
            return self._failed(record, reason)
        return _finished(msgspec.structs.replace(record, finished_at=self._clock.now()), made, path)

    def _look(self, record: Dataset) -> Look:
        def look(what: str, done: int) -> None:
            if self._closing:
                raise Unavailable("the engine stopped while this was built; order anew")
            self._log.debug("building", dataset=record.id, step=what, done=done)

        return look

    def _freed(self, project_id: str, record: Dataset, gone: Gone) -> int:
        """Revise one finished set; return how many rows went."""
        folder = self._storage / record.path
        _tidied(folder.parent, {folder})  # what an erasure that was killed left
        fresh, removed = self._revised(record, gone)
        if removed:
            self._write(project_id, fresh)
            shutil.rmtree(folder)
        return removed

    def _revised(self, record: Dataset, gone: Gone) -> tuple[Dataset, int]:
        """Write what stays of a set beside it; return the record to be, and how many rows went."""
        folder = self._storage / record.path
        path = f"{FOLDER}/{record.id}/{int(folder.name) + 1}"
        now = self._clock.now()
        try:
            made = revise(folder, self._storage / path, gone, now)
        except OSError as error:
            raise Unavailable(f"cannot revise dataset {record.id!r}: {error.strerror or error}") from error
        if made is None:
            return record, 0
        built, removed = made
        fresh = msgspec.structs.replace(record, revised_at=now, erased=record.erased + removed)
        return _finished(fresh, built, path), removed

    def _failed(self, record: Dataset, reason: str) -> Dataset:
        return msgspec.structs.replace(record, state="failed", error=reason[:2000], finished_at=self._clock.now())

    def _found(self, project_id: str, dataset_id: str) -> Dataset:
        record = self._store.dataset(project_id, dataset_id)
        if record is None or record.state == "deleted":
            raise NotFound(f"no dataset {dataset_id!r}", param="dataset_id")
        return record

    def _all(self, project_id: str) -> Iterator[Dataset]:
        after: int | None = None
        while True:
            page = self._store.datasets(project_id, Query(after=after, limit=_PAGE))
            yield from (row.record for row in page.rows)
            if page.next is None:
                return
            after = page.next

    def _write(self, project_id: str, record: Dataset) -> None:
        self._store.commit({project_id: Writes(datasets=[record])})


def prepared(request: DatasetRequest, cleaners: Cleaners, project_id: str) -> DatasetRequest:
    """Return the request in its one form, the values of its segments cleaned as those they are compared with were."""
    told = checked(request)
    cleaner = cleaners.of(project_id)
    segments = {key: cleaner.identifier(value) for key, value in told.segments.items()}
    return msgspec.structs.replace(told, segments=segments)


def given_by(store: DeskStore, cleaners: Cleaners, project_id: str, request: DatasetRequest, clock: Clock) -> Given:
    """Return what a build needs of the store besides people's words: cases, and what changes were made from what."""
    cases: list[Case] = []
    changes: dict[str, str] = {}
    for feature in store.features(project_id):
        cases += store.cases(project_id, feature.name, retired=True)
        if request.features and feature.name not in request.features:
            continue
        for version in store.versions(project_id, feature.name):
            for item in version.exemplars:
                if version.change_id and item.source_feedback_id:
                    changes.setdefault(item.source_feedback_id, version.change_id)
    rules = cleaners.of(project_id).version
    return Given(project_id=project_id, cases=cases, changes=changes, rules=rules, now=clock.now())


def _finished(record: Dataset, made: Built, path: str) -> Dataset:
    return msgspec.structs.replace(
        record,
        state="done",
        content_id=made.content_id,
        rows=made.rows,
        left_out=made.left_out,
        files=made.files,
        path=path,
    )


def _tidied(folder: Path, named: set[Path] | Sequence[Path]) -> None:
    """Remove the revisions in a set's folder that are not among `named`, and the folder when none stays."""
    stays = False
    for revision in folder.iterdir() if folder.is_dir() else ():
        if revision in named:
            stays = True
        else:
            shutil.rmtree(revision, ignore_errors=True)
    if not stays:
        shutil.rmtree(folder, ignore_errors=True)
