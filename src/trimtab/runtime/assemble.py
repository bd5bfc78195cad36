"""From settings to a running engine: every choice of a part is made here and nowhere else."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

from trimtab.act.byhand import ByHand
from trimtab.act.channels import open_channels
from trimtab.act.datasets.desk import DatasetDesk
from trimtab.act.datasets.place import DatasetPlace
from trimtab.act.decisions import Decisions
from trimtab.act.deliver import DeliverStage
from trimtab.act.evidence import Evidence
from trimtab.act.forget import ForgetExemplars
from trimtab.act.knowledge.patches import PatchDesk
from trimtab.act.knowledge.place import PatchPlace
from trimtab.act.learning import LearnDesk
from trimtab.act.memory import ExemplarMemory, FittedMemory
from trimtab.act.notices import Notices
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.quarantine import Quarantine
from trimtab.act.queue.desk import QueueDesk
from trimtab.act.runner import Runner
from trimtab.act.runs import DbosRuns, Runs
from trimtab.act.stage import ActStage
from trimtab.act.training.desk import JobDesk
from trimtab.archive.erasing import EraseStage
from trimtab.clock import Clock, SystemClock
from trimtab.config import Settings
from trimtab.detect.propensity import PropensityStage
from trimtab.detect.rules.stage import RulesStage
from trimtab.detect.stage import DetectStage
from trimtab.enrich.calibrate import CalibrateStage
from trimtab.enrich.rescan import RescanStage
from trimtab.enrich.stage import INFERENCE_CURSOR, EnrichStage
from trimtab.errors import Unavailable
from trimtab.measure.search import Search
from trimtab.redact.project import Redactors
from trimtab.runtime.acting import (
    open_digest,
    open_jobs,
    open_knowing,
    open_playbook,
    open_queue,
    open_recheck,
    open_runner,
)
from trimtab.runtime.parts import (
    WORKFLOWS,
    Entrance,
    Stage,
    lock_folder,
    made_folder,
    nothing_embeds,
    open_datasets,
    open_entrance,
    open_erasing,
    open_keeping,
    open_lake_lazily,
    open_meaning,
    open_redactors,
    open_store,
    open_vectors,
    require_project,
)
from trimtab.store.erasing import Erasable
from trimtab.store.ports import HotStore
from trimtab.store.vectors.port import VectorStore

__all__ = ["Engine", "Stage", "assemble"]

_MAX_ROUNDS = 10_000


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
        entrance: Entrance,
        decisions: Decisions,
        by_hand: ByHand,
        queue: QueueDesk,
        runner: Runner,
        playbook: IncidentPlaybook,
        learning: LearnDesk,
        patches: PatchDesk,
        runs: Runs,
        vectors: VectorStore,
        search: Search,
        datasets: DatasetDesk,
        jobs: JobDesk,
        erasing: EraseStage,
        stages: Sequence[Stage],
        closing: contextlib.ExitStack,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.store = store
        self.redactor = redactor
        self.rescan = rescan
        self.intake = entrance.intake
        self.books = entrance.books
        self.decisions = decisions
        self.quarantine = Quarantine(store, Evidence(store, settings))
        self.by_hand = by_hand
        self.reviews = queue.reviews
        self.looks = queue.looks
        self.queue = queue
        self.runner = runner
        self.playbook = playbook
        self.learning = learning
        self.exams = playbook.exams
        self.patches = patches
        self.runs = runs
        self.vectors = vectors
        self.search = search
        self.datasets = datasets
        self.jobs = jobs
        self.erasing = erasing
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
    folder = made_folder(Path(settings.storage.path))
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, lock_folder(folder))
        store = undo.enter_context(contextlib.closing(open_store(settings, alone=True)))
        redactor = open_redactors(settings, store)
        vectors = undo.enter_context(contextlib.closing(open_vectors(settings)))
        require_project(store, clock)
        answering = runner or open_runner(settings, undo)
        turn = threading.RLock()  # people's decisions, the act stage and the steps of runs change the same rows
        knowing = open_knowing(settings, store, redactor, undo, inline=inline_runs)
        spaces, meaning = open_meaning(settings, store, vectors, redactor, undo, inline=inline_runs)
        queue = open_queue(settings, store, redactor, answering, spaces)
        playbook = open_playbook(settings, store, redactor, answering, clock, turn, knowing, spaces, queue.looks, undo)
        runs = undo.enter_context(contextlib.closing(DbosRuns(playbook, folder / WORKFLOWS, inline=inline_runs)))
        datasets = open_datasets(settings, store, redactor, clock, undo, inline=inline_runs)
        lake = open_lake_lazily(settings, undo)
        made = _places(store, redactor, clock, turn, knowing.patches, datasets)
        erasing = open_erasing(settings, store, made, vectors, lake, spaces, clock, undo, inline=inline_runs)
        rules = RulesStage(store, settings)
        keeping = open_keeping(settings, store, vectors, lake, undo, waits_for=rules.waits_for, inline=inline_runs)
        return Engine(
            settings=settings,
            clock=clock,
            store=store,
            redactor=redactor,
            rescan=(rescan := RescanStage(store, redactor)),
            entrance=(entrance := open_entrance(settings, store, redactor, vectors, lake, clock, undo)),
            decisions=(decisions := _decisions(settings, store, redactor, turn)),
            by_hand=ByHand(Evidence(store, settings), redactor, decisions, runs),
            queue=queue,
            runner=answering,
            playbook=playbook,
            learning=(learn := LearnDesk(store, settings, playbook, runs, turn=turn)),
            patches=knowing.patches,
            runs=runs,
            vectors=vectors,
            search=Search(store, vectors, spaces.embedder_of if spaces else nothing_embeds),
            datasets=datasets,
            jobs=(jobs := open_jobs(settings, store, redactor, datasets, turn, undo)),
            erasing=erasing,
            stages=[
                *_noticing(settings, store, rescan, rules),
                *_acting(
                    settings, store, playbook, runs, answering, turn, undo, [queue, learn, knowing.stage], inline_runs
                ),
                *(jobs, *meaning, *keeping, erasing, entrance.received),
            ],
            closing=undo.pop_all(),
        )


def _noticing(settings: Settings, store: HotStore, rescan: RescanStage, rules: RulesStage) -> list[Stage]:
    """Return the stages that judge and notice, enriching first: workers tick that one most.

    The watch on voting comes before the one on votes, since it may hold what that one finds.
    """
    return [
        EnrichStage(store, settings, batch_rows=settings.engine.batch_rows),
        rescan,
        PropensityStage(store, settings.monitoring),
        DetectStage(store, settings.monitoring, settings.features, batch_rows=settings.engine.batch_rows),
        rules,
    ]


def _places(
    store: HotStore, redactor: Redactors, clock: Clock, turn: threading.RLock, patches: PatchDesk, datasets: DatasetDesk
) -> list[Erasable]:
    """Return what else holds words of people, beside the store: what was made of them."""
    versions = ForgetExemplars(store, redactor, clock, turn=turn)
    return [versions, PatchPlace(patches, clock), DatasetPlace(datasets)]


def _decisions(settings: Settings, store: HotStore, redactor: Redactors, turn: threading.RLock) -> Decisions:
    notices = Notices(store, settings.notify)
    return Decisions(store, redactor, settings.canary, turn=turn, notices=notices)


def _acting(
    settings: Settings,
    store: HotStore,
    playbook: IncidentPlaybook,
    runs: Runs,
    answering: Runner,
    turn: threading.RLock,
    undo: contextlib.ExitStack,
    beside: Sequence[Stage],
    inline: bool,  # noqa: FBT001  the parts of an engine, in order
) -> list[Stage]:
    """Return the stage that acts, the one that tells people of it, the one that learns from what they said, and others.

    `beside` stand after these: what else is done about answers.
    """
    channels = open_channels(settings.notify, SystemClock())  # receivers check signatures by their own clocks
    deliver = DeliverStage(store, channels, inline=inline)
    undo.callback(deliver.close)
    memory = answering if isinstance(answering, ExemplarMemory | FittedMemory) else None
    act = ActStage(store, settings, playbook, runs, turn=turn, follows=INFERENCE_CURSOR, memory=memory)
    recheck = open_recheck(settings, store, playbook.exams, turn, undo, inline=inline)
    calibrate = CalibrateStage(store, settings.outcome, settings.features)
    return [act, open_digest(settings, store), deliver, calibrate, recheck, *beside]
