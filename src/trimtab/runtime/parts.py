"""The parts of an engine, each opened as the settings say. Only `assemble` puts them together."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.util
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from trimtab.act.datasets.desk import DatasetDesk
from trimtab.act.datasets.source import HotSource, Source
from trimtab.act.stage import CURSOR as ACT_CURSOR
from trimtab.archive.erasing import EraseStage
from trimtab.archive.places import LakePlace, SpacePlace, VectorPlace
from trimtab.archive.retention import RetentionStage
from trimtab.archive.stage import ArchiveStage
from trimtab.clock import Clock, SystemClock
from trimtab.config import Settings
from trimtab.detect.stage import CURSOR as DETECT_CURSOR
from trimtab.detect.topics.names import Namer
from trimtab.detect.topics.stage import TopicStage
from trimtab.enrich.space import SpaceStage, clear_spaces
from trimtab.enrich.stage import FEEDBACK_CURSOR, INFERENCE_CURSOR
from trimtab.enrich.vectorise import VectoriseStage
from trimtab.errors import ConfigError, Conflict, MissingExtra, Unavailable
from trimtab.ingest.intake import Intake
from trimtab.ingest.received import ReceivedStage
from trimtab.measure.reconcile import Reconciler
from trimtab.records import Project, RedactionSettings
from trimtab.redact.ner import SecondLook
from trimtab.redact.plugin import open_detector
from trimtab.redact.policy import LENIENT, STRICT
from trimtab.redact.project import Redactors
from trimtab.store.erasing import Erasable
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.lake.lazy import LazyLake
from trimtab.store.lake.port import LakeStore
from trimtab.store.ports import HotStore, PurgedKind, Writes
from trimtab.store.vectors.port import VectorStore
from trimtab.store.vectors.sqlite import open_sqlite_vectors

if TYPE_CHECKING:
    from trimtab.store.lake.place import Place

__all__ = [
    "DATABASE",
    "KEY_FILE",
    "LAKE",
    "SPACES",
    "VECTORS",
    "WORKFLOWS",
    "Entrance",
    "RedactionBook",
    "Stage",
    "lock_folder",
    "made_folder",
    "nothing_embeds",
    "open_datasets",
    "open_entrance",
    "open_erasing",
    "open_intake",
    "open_keeping",
    "open_lake_lazily",
    "open_meaning",
    "open_redactors",
    "open_store",
    "open_vectors",
    "open_words",
    "reconciler_of",
    "require_project",
]

DATABASE = "trimtab.db"
WORKFLOWS = "workflows.db"
SPACES = "spaces"
VECTORS = "vectors.db"
LAKE = "lake"
KEY_FILE = "redaction.key"
_LOCK_FILE = "engine.lock"
_KEY_BYTES = 32
_READERS: Mapping[PurgedKind, Sequence[str]] = {
    "inferences": [INFERENCE_CURSOR],
    "feedback": [FEEDBACK_CURSOR],
    "outcomes": [DETECT_CURSOR, ACT_CURSOR],
}
_PATIENCE_S = 30.0


class Stage(Protocol):
    """A stage of the loop: a cursor that moves when it is ticked."""

    name: str

    def tick(self, now: datetime) -> int:
        """Do a bounded amount of work as of `now` and return how many rows were handled."""


def made_folder(folder: Path) -> Path:
    """Return the folder, made where there is none. Raises ConfigError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot use storage.path {str(folder)!r}: {error}", param="storage.path") from error
    return folder


def require_project(store: HotStore, clock: Clock) -> None:
    """Make the first project of a new store."""
    if not store.projects():
        store.commit({"default": Writes(projects=[Project(id="default", created_at=clock.now())])})


def open_intake(settings: Settings, store: HotStore, redactor: Redactors, clock: Clock) -> Intake:
    """Return the door of events."""
    most, late = settings.server.body_bytes, settings.retention.late_events
    return Intake.over(store, redactor, clock, settings.ingest, body_bytes=most, late=late)


class Entrance(NamedTuple):
    """The door of events, what keeps count at it, and what compares its counts with all later ones."""

    intake: Intake
    received: ReceivedStage
    books: Reconciler


def open_entrance(
    settings: Settings,
    store: HotStore,
    redactor: Redactors,
    vectors: VectorStore,
    lake: LakeStore | None,
    clock: Clock,
    undo: contextlib.ExitStack,
) -> Entrance:
    """Return where events come in and are counted."""
    intake = open_intake(settings, store, redactor, clock)
    received = ReceivedStage(store, intake.tally)
    undo.callback(received.close)
    return Entrance(intake, received, reconciler_of(settings, store, vectors, lake, written=received.write))


def reconciler_of(
    settings: Settings,
    store: HotStore,
    vectors: VectorStore,
    lake: LakeStore | None,
    *,
    written: Callable[[], None] | None = None,
) -> Reconciler:
    """Return what compares the counts of those parts that are in use."""
    return Reconciler(
        store,
        vectors=vectors if settings.embedding.kind != "none" else None,
        lake=lake if settings.lake.enabled else None,
        written=written,
    )


def open_vectors(settings: Settings) -> VectorStore:
    """Open the vectors where the hot store is: in the same PostgreSQL, else in a file of their own."""
    if not settings.storage.url:
        return open_sqlite_vectors(Path(settings.storage.path) / VECTORS)
    try:
        from trimtab.store.vectors.pgvector import open_pgvector  # noqa: PLC0415  the driver is an extra
    except ImportError as error:
        raise MissingExtra("storage.url needs pgvector's driver: pip install 'trimtab[server,postgres]'") from error
    return open_pgvector(settings.storage.url)


def open_meaning(
    settings: Settings,
    store: HotStore,
    vectors: VectorStore,
    redactor: Redactors,
    undo: contextlib.ExitStack,
    *,
    inline: bool,
) -> tuple[SpaceStage | None, list[Stage]]:
    """Return the stages that turn texts into vectors, where there are any, and the one that finds topics."""
    if settings.embedding.kind == "none":
        return None, [_topics(settings, store, None, redactor, undo, inline=inline)]
    spaces = SpaceStage(store, settings.embedding, Path(settings.storage.path) / SPACES, inline=inline)
    undo.callback(spaces.close)
    vectorise = VectoriseStage(store, vectors, spaces, inline=inline)
    undo.callback(vectorise.close)
    return spaces, [spaces, vectorise, _topics(settings, store, vectors, redactor, undo, inline=inline)]


def open_keeping(
    settings: Settings,
    store: HotStore,
    vectors: VectorStore,
    lake: LakeStore | None,
    undo: contextlib.ExitStack,
    *,
    waits_for: Callable[[PurgedKind], tuple[Sequence[str], timedelta]],
    inline: bool,
) -> list[Stage]:
    """Return the stages that ship history to the lake and let old rows go; without a lake rows stay unless told.

    `waits_for` says what declared watches have yet to hear (`RetentionStage`).
    """
    stages: list[Stage] = []
    shipped = None
    if lake is not None and settings.lake.enabled:
        archive = ArchiveStage(store, lake, settings.lake, inline=inline, patient=True)
        undo.callback(archive.close)
        shipped = archive.reached
        stages.append(archive)
    if settings.lake.enabled or settings.retention.without_lake:
        stages.append(RetentionStage(store, settings, _READERS, waits_for=waits_for, shipped=shipped, vectors=vectors))
    return stages


def _topics(
    settings: Settings,
    store: HotStore,
    vectors: VectorStore | None,
    redactor: Redactors,
    undo: contextlib.ExitStack,
    *,
    inline: bool,
) -> TopicStage:
    """Return the stage that finds what people keep saying; it goes without vectors where none are made."""
    stage = TopicStage(
        store,
        vectors,
        redactor,
        settings.topics,
        namer=Namer(settings.runner, settings.topics.name_model) if settings.topics.name_model else None,
        inline=inline,
    )
    undo.callback(stage.close)
    return stage


def open_lake_lazily(settings: Settings, undo: contextlib.ExitStack) -> LakeStore | None:
    """Return the lake, also one that is written to no more: people are erased from it all the same."""
    left = bool(settings.lake.uri) or (Path(settings.storage.path) / LAKE).is_dir()
    if not settings.lake.enabled and not left:
        return None
    lake = LazyLake(_lake_opener(settings))
    undo.callback(lake.close)
    return lake


def _lake_opener(settings: Settings) -> Callable[[], LakeStore]:
    """Return what opens the lake. Raises MissingExtra without its library and ConfigError for an address of no use."""
    if importlib.util.find_spec("deltalake") is None:
        raise MissingExtra(
            "lake.enabled needs the lake's library: pip install 'trimtab[server]', or set lake.enabled = false"
        )

    def place() -> Place:
        from trimtab.store.lake.place import place_of  # noqa: PLC0415  the lake's library takes long to import

        return place_of(settings.lake, Path(settings.storage.path), os.environ)

    def opened() -> LakeStore:
        from trimtab.store.lake.delta import open_lake  # noqa: PLC0415

        return open_lake(place(), SystemClock())  # leases on S3 last by the machines' time, whatever clock is set

    if settings.lake.uri:  # a directory of our own needs no look
        place()
    return opened


def open_datasets(
    settings: Settings, store: HotStore, redactor: Redactors, clock: Clock, undo: contextlib.ExitStack, *, inline: bool
) -> DatasetDesk:
    """Return what builds datasets, and give up what an earlier process left half built."""
    source = undo.enter_context(open_words(settings, store))
    desk = DatasetDesk(store, redactor, source, Path(settings.storage.path), clock, inline=inline)
    undo.callback(desk.close)
    desk.recover()
    return desk


@contextlib.contextmanager
def open_words(settings: Settings, store: HotStore) -> Iterator[Callable[[], Source]]:
    """Yield what opens the source of training rows: all history where there is a lake, else the hot store."""
    if not settings.lake.enabled:
        yield lambda: HotSource(store)
        return
    with contextlib.ExitStack() as opened:

        @functools.cache
        def history() -> Source:  # opened by the first set that is built: the lake's library takes long to import
            from trimtab.act.datasets.history import LakeSource  # noqa: PLC0415
            from trimtab.archive.stage import ship_all  # noqa: PLC0415
            from trimtab.store.lake.delta import open_lake  # noqa: PLC0415
            from trimtab.store.lake.place import place_of  # noqa: PLC0415
            from trimtab.store.lake.query import SpawnedQuery  # noqa: PLC0415

            place = place_of(settings.lake, Path(settings.storage.path), os.environ)
            lake = opened.enter_context(contextlib.closing(open_lake(place, SystemClock(), patience_s=_PATIENCE_S)))
            query = SpawnedQuery(lake, settings.lake)
            return LakeSource(query, lambda: ship_all(store, lake, batch_rows=settings.lake.commit_rows))

        yield history


def open_erasing(
    settings: Settings,
    store: HotStore,
    made: Sequence[Erasable],
    vectors: VectorStore,
    lake: LakeStore | None,
    spaces: SpaceStage | None,
    clock: Clock,
    undo: contextlib.ExitStack,
    *,
    inline: bool,
) -> EraseStage:
    """Return the stage that erases people, with every place that holds something of them."""
    places: list[Erasable] = [*made, VectorPlace(vectors)]
    if lake is not None:
        places.append(LakePlace(lake))
    places.append(SpacePlace(spaces or _NoSpaces(Path(settings.storage.path) / SPACES), vectors, store))
    stage = EraseStage(store, places, clock, finders=[lake.told] if lake else [], inline=inline)
    undo.callback(stage.close)
    return stage


class _NoSpaces:
    """Stands for the spaces of an engine that makes no vectors: what an earlier setting has left is of no use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def without(self, project_id: str, _erased: int) -> bool:
        clear_spaces(self._folder, project_id)
        return True

    def drop_before(self, _project_id: str) -> int:
        return 0

    def in_use(self, _project_id: str) -> None:
        return None


def nothing_embeds(_project_id: str, _space: str) -> None:
    """Answer for an engine that makes no vectors: search finds words only."""


class RedactionBook(Protocol):
    """Where the redaction settings of projects are kept."""

    def redactions(self, project_id: str) -> Sequence[RedactionSettings]:
        """Return all revisions of a project's settings, oldest first."""
        ...


def open_redactors(settings: Settings, store: RedactionBook) -> Redactors:
    """Return the redactors of the directory `settings.storage.path`, whose key is made on first use.

    Raises ConfigError or MissingExtra for a detector of `[ner]` that cannot be opened.
    """
    detector = open_detector(settings.ner)
    return Redactors(
        key=_redaction_key(Path(settings.storage.path)),
        read=store.redactions,
        default=LENIENT if settings.redaction.policy == "lenient" else STRICT,
        second=SecondLook(detector) if detector is not None else None,
    )


def open_store(settings: Settings, *, alone: bool = False) -> HotStore:
    """Open the hot store that the settings name: PostgreSQL at `storage.url`, else a file in `storage.path`.

    `alone` is for the engine itself. Raises MissingExtra without a driver for the database, Conflict while another
    engine uses it, ConfigError or Unavailable where it cannot be used.
    """
    if not settings.storage.url:
        return open_sqlite(Path(settings.storage.path) / DATABASE)
    try:
        from trimtab.store.hot.postgres import open_postgres  # noqa: PLC0415  the driver is an extra
    except ImportError as error:
        raise MissingExtra("storage.url needs the PostgreSQL driver: pip install 'trimtab[server,postgres]'") from error
    return open_postgres(settings.storage.url, alone=alone)


def lock_folder(folder: Path) -> int:
    """Take the directory for this process: two engines on one store would each run the other's workflows."""
    try:
        lock = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(_unwritable(folder, error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise Conflict(
            f"another engine already uses {str(folder)!r}; stop it, or give this one another storage.path"
        ) from None
    return lock


def _redaction_key(folder: Path) -> bytes:
    """Return the key of pseudonyms, made on first use. It lies beside the database, never in it."""
    file = folder / KEY_FILE
    if not file.exists():
        try:
            _write_key(folder, file)
        except OSError as error:
            raise Unavailable(_unwritable(folder, error)) from error
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigError(
            f"{str(file)!r} is damaged: expected {_KEY_BYTES} bytes in hexadecimal; restore it from a backup"
        )
    return key


def _write_key(folder: Path, file: Path) -> None:
    fresh = folder / f"{KEY_FILE}.new"  # renamed when whole: a kill in between leaves no half a key
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
        out.write(secrets.token_bytes(_KEY_BYTES).hex())
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def _unwritable(folder: Path, error: OSError) -> str:
    told = f"expected a directory that can be written at {str(folder)!r}: {error.strerror}"
    return f"{told}; check its disk, owner and mount"
