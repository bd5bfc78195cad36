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
from trimtab.act.datasets.desk import DatasetDesk
from trimtab.act.datasets.place import DatasetPlace
from trimtab.act.decisions import Decisions
from trimtab.act.evidence import Evidence
from trimtab.act.forget import ForgetExemplars
from trimtab.act.knowledge.index import open_retriever
from trimtab.act.knowledge.patches import PatchDesk
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.runner import Runner
from trimtab.act.runs import DbosRuns, Runs
from trimtab.act.stage import ActStage
from trimtab.archive.erasing import EraseStage
from trimtab.clock import Clock, SystemClock
from trimtab.config import Settings
from trimtab.detect.propensity import PropensityStage
from trimtab.detect.rules.stage import RulesStage
from trimtab.detect.stage import DetectStage
from trimtab.enrich.calibrate import CalibrateStage
from trimtab.enrich.rescan import RescanStage
from trimtab.enrich.stage import EnrichStage
from trimtab.errors import Unavailable
from trimtab.ingest.intake import Intake
from trimtab.measure.search import Search
from trimtab.redact.project import Redactors
from trimtab.runtime.parts import (
    WORKFLOWS,
    Stage,
    lock_folder,
    made_folder,
    nothing_embeds,
    open_actions,
    open_datasets,
    open_erasing,
    open_intake,
    open_keeping,
    open_knowing,
    open_lake_lazily,
    open_meaning,
    open_redactors,
    open_runner,
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
        intake: Intake,
        decisions: Decisions,
        by_hand: ByHand,
        runner: Runner,
        playbook: IncidentPlaybook,
        patches: PatchDesk,
        runs: Runs,
        vectors: VectorStore,
        search: Search,
        datasets: DatasetDesk,
        erasing: EraseStage,
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
        self.by_hand = by_hand
        self.runner = runner
        self.playbook = playbook
        self.patches = patches
        self.runs = runs
        self.vectors = vectors
        self.search = search
        self.datasets = datasets
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
        store = open_store(settings, alone=True)
        undo.callback(store.close)
        redactor = open_redactors(settings, store)
        rescan = RescanStage(store, redactor)
        vectors = open_vectors(settings)
        undo.callback(vectors.close)
        require_project(store, clock)
        answering = runner or open_runner(settings)
        evidence = Evidence(store, settings)
        retriever = open_retriever(settings.knowledge, SystemClock().now)  # receivers check signatures by their clocks
        patches = PatchDesk(store, redactor, settings.knowledge)
        knowing = open_knowing(settings, store, patches, retriever, undo, inline=inline_runs)
        actions = open_actions(settings, evidence, redactor, retriever, undo)
        playbook = IncidentPlaybook(store, redactor, settings, answering, clock=clock, actions=actions)
        runs = DbosRuns(playbook, folder / WORKFLOWS, inline=inline_runs)
        undo.callback(runs.close)
        spaces, meaning = open_meaning(settings, store, vectors, redactor, undo, inline=inline_runs)
        datasets = open_datasets(settings, store, redactor, clock, undo, inline=inline_runs)
        turn = threading.RLock()  # people's decisions and the act stage change the same rows
        lake = open_lake_lazily(settings, undo)
        made: list[Erasable] = [ForgetExemplars(store, redactor, clock, turn=turn), DatasetPlace(datasets)]
        erasing = open_erasing(settings, store, made, vectors, lake, spaces, clock, undo, inline=inline_runs)
        keeping = open_keeping(settings, store, vectors, lake, undo, inline=inline_runs)
        decisions = Decisions(store, redactor, first_share=settings.canary.steps[0], turn=turn)
        return Engine(
            settings=settings,
            clock=clock,
            store=store,
            redactor=redactor,
            rescan=rescan,
            intake=open_intake(settings, store, redactor, clock),
            decisions=decisions,
            by_hand=ByHand(evidence, redactor, decisions, runs),
            runner=answering,
            playbook=playbook,
            patches=patches,
            runs=runs,
            vectors=vectors,
            search=Search(store, vectors, spaces.embedder_of if spaces else nothing_embeds),
            datasets=datasets,
            erasing=erasing,
            stages=[
                EnrichStage(store, settings, batch_rows=settings.engine.batch_rows),  # first: workers tick it most
                rescan,
                *_detection(settings, store),
                ActStage(store, settings, playbook, runs, turn=turn),
                knowing,
                CalibrateStage(store, settings.outcome, settings.features),
                *meaning,
                *keeping,
                erasing,
            ],
            closing=undo.pop_all(),
        )


def _detection(settings: Settings, store: HotStore) -> list[Stage]:
    """Return the stages that notice; the watch on voting comes first, since it may hold what the next one finds."""
    return [
        PropensityStage(store, settings.monitoring),
        DetectStage(store, settings.monitoring, settings.features, batch_rows=settings.engine.batch_rows),
        RulesStage(store, settings),
    ]
