"""From settings to a running engine: every choice of a part is made here and nowhere else."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from trimtab.act.decisions import Decisions
from trimtab.act.memory import FittedMemory
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.runner import Runner
from trimtab.act.runs import DbosRuns, Runs
from trimtab.act.stage import CURSOR as ACT_CURSOR
from trimtab.act.stage import ActStage
from trimtab.archive.retention import RetentionStage
from trimtab.archive.stage import ArchiveStage
from trimtab.clock import Clock, SystemClock
from trimtab.config import Settings
from trimtab.detect.propensity import PropensityStage
from trimtab.detect.rules.stage import RulesStage
from trimtab.detect.stage import CURSOR as DETECT_CURSOR
from trimtab.detect.stage import DetectStage
from trimtab.detect.topics.names import Namer
from trimtab.detect.topics.stage import TopicStage
from trimtab.enrich.calibrate import CalibrateStage
from trimtab.enrich.rescan import RescanStage
from trimtab.enrich.space import SpaceStage
from trimtab.enrich.stage import FEEDBACK_CURSOR, INFERENCE_CURSOR, EnrichStage
from trimtab.enrich.vectorise import VectoriseStage
from trimtab.errors import ConfigError, Conflict, MissingExtra, Unavailable
from trimtab.ingest.intake import Intake
from trimtab.measure.search import Search
from trimtab.records import Project, RedactionSettings
from trimtab.redact.ner import SecondLook
from trimtab.redact.plugin import open_detector
from trimtab.redact.policy import LENIENT, STRICT
from trimtab.redact.project import Redactors
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
    "SPACES",
    "VECTORS",
    "WORKFLOWS",
    "Engine",
    "Stage",
    "assemble",
    "open_redactors",
    "open_store",
]

DATABASE = "trimtab.db"
WORKFLOWS = "workflows.db"
SPACES = "spaces"
VECTORS = "vectors.db"
KEY_FILE = "redaction.key"
_LOCK_FILE = "engine.lock"
_MAX_ROUNDS = 10_000
_KEY_BYTES = 32
_READERS: Mapping[PurgedKind, Sequence[str]] = {
    "inferences": [INFERENCE_CURSOR],
    "feedback": [FEEDBACK_CURSOR],
    "outcomes": [DETECT_CURSOR, ACT_CURSOR],
}


class Stage(Protocol):
    """A stage of the loop: a cursor that moves when it is ticked."""

    name: str

    def tick(self, now: datetime) -> int:
        """Do a bounded amount of work as of `now` and return how many rows were handled."""
        ...


class Engine:
    """Everything that runs beside the app, in one place. Close it when done; a context manager does."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        store: HotStore,
        redactor: Redactors,
        rescan: RescanStage,
        intake: Intake,
        decisions: Decisions,
        runner: Runner,
        playbook: IncidentPlaybook,
        runs: Runs,
        vectors: VectorStore,
        search: Search,
        stages: Sequence[Stage],
        closing: contextlib.ExitStack,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.store = store
        self.redactor = redactor
        self.rescan = rescan
        self.intake = intake
        self.decisions = decisions
        self.runner = runner
        self.playbook = playbook
        self.runs = runs
        self.vectors = vectors
        self.search = search
        self.stages = tuple(stages)
        self._closing = closing

    def tick(self, now: datetime | None = None) -> int:
        """Let each stage do one bounded piece of work, in order; return the rows handled."""
        when = now or self.clock.now()
        return sum(stage.tick(when) for stage in self.stages)

    def settle(self, now: datetime | None = None) -> int:
        """Tick until nothing is left to do at this time; return the rows handled."""
        handled = 0
        for _ in range(_MAX_ROUNDS):
            round_rows = self.tick(now)
            handled += round_rows
            if round_rows == 0:
                return handled
        raise Unavailable(f"the stages still found work after {_MAX_ROUNDS} rounds; is something feeding itself?")

    def close(self) -> None:
        """Stop what runs beside the stages, close the stores, release the directory. A second call does nothing."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def assemble(
    settings: Settings, *, clock: Clock | None = None, runner: Runner | None = None, inline_runs: bool = False
) -> Engine:
    """Open or create everything under `settings.storage.path` and return the engine, its stages not yet running.

    `runner` overrides what answers when the engine must ask a feature itself; `inline_runs` makes a tick wait for the
    runs it starts. Raises Conflict while another process uses the directory, ConfigError or Unavailable where it
    cannot be used.
    """
    clock = clock or SystemClock()
    folder = Path(settings.storage.path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot use storage.path {str(folder)!r}: {error}", param="storage.path") from error
    with contextlib.ExitStack() as undo:
        lock = _locked(folder)
        undo.callback(os.close, lock)
        store = open_store(settings, alone=True)
        undo.callback(store.close)
        redactor = open_redactors(settings, store)
        rescan = RescanStage(store, redactor)
        vectors = _open_vectors(settings)
        undo.callback(vectors.close)
        if not store.projects():
            store.commit({"default": Writes(projects=[Project(id="default", created_at=clock.now())])})
        answering = runner or _runner(settings)
        playbook = IncidentPlaybook(store, redactor, settings, answering, clock=clock)
        runs = DbosRuns(playbook, folder / WORKFLOWS, inline=inline_runs)
        undo.callback(runs.close)
        spaces, meaning = _meaning(settings, store, vectors, redactor, undo, inline=inline_runs)
        rows = settings.engine.batch_rows
        turn = threading.RLock()  # people's decisions and the act stage change the same rows
        return Engine(
            settings=settings,
            clock=clock,
            store=store,
            redactor=redactor,
            rescan=rescan,
            intake=_intake(settings, store, redactor, clock),
            decisions=Decisions(store, redactor, first_share=settings.canary.steps[0], turn=turn),
            runner=answering,
            playbook=playbook,
            runs=runs,
            vectors=vectors,
            search=Search(store, vectors, spaces.embedder_of if spaces else _nothing_embeds),
            stages=[
                EnrichStage(store, settings, batch_rows=rows),  # first: workers tick it by itself, as often as they can
                rescan,
                PropensityStage(store, settings.monitoring),
                DetectStage(store, settings.monitoring, settings.features, batch_rows=rows),
                RulesStage(store, settings),
                ActStage(store, settings, playbook, runs, turn=turn),
                CalibrateStage(store, settings.outcome, settings.features),
                *meaning,
                *_keeping(settings, store, vectors, undo, inline=inline_runs),
            ],
            closing=undo.pop_all(),
        )


def _intake(settings: Settings, store: HotStore, redactor: Redactors, clock: Clock) -> Intake:
    most, late = settings.server.body_bytes, settings.retention.late_events
    return Intake.over(store, redactor, clock, settings.ingest, body_bytes=most, late=late)


def _open_vectors(settings: Settings) -> VectorStore:
    """Open the vectors where the hot store is: in the same PostgreSQL, else in a file of their own."""
    if not settings.storage.url:
        return open_sqlite_vectors(Path(settings.storage.path) / VECTORS)
    try:
        from trimtab.store.vectors.pgvector import open_pgvector  # noqa: PLC0415  the driver is an extra
    except ImportError as error:
        raise MissingExtra("storage.url needs pgvector's driver: pip install 'trimtab[server,postgres]'") from error
    return open_pgvector(settings.storage.url)


def _meaning(
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


def _keeping(
    settings: Settings, store: HotStore, vectors: VectorStore, undo: contextlib.ExitStack, *, inline: bool
) -> list[Stage]:
    """Return the stages that ship history to the lake and let old rows go; without a lake rows stay unless told."""
    stages: list[Stage] = []
    shipped = None
    if settings.lake.enabled:
        lake = LazyLake(_lake_opener(settings))
        undo.callback(lake.close)
        archive = ArchiveStage(store, lake, settings.lake, inline=inline, patient=True)
        undo.callback(archive.close)
        shipped = archive.reached
        stages.append(archive)
    if settings.lake.enabled or settings.retention.without_lake:
        stages.append(RetentionStage(store, settings, _READERS, shipped=shipped, vectors=vectors))
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


def _nothing_embeds(_project_id: str, _space: str) -> None:
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


def _runner(settings: Settings) -> Runner:
    memory = FittedMemory()
    if settings.runner.kind == "memory":
        return memory
    from trimtab.act.llm import LlmRunner  # noqa: PLC0415  an HTTP client, only where an endpoint is named

    return LlmRunner(settings.runner, memory.nearest)


def _locked(folder: Path) -> int:
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
