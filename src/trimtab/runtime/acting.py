"""The parts of an engine that act: what answers, the playbook, who is asked and told, what mends and trains."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from trimtab.act.actions.exemplar import ExemplarAction
from trimtab.act.actions.finetune import FinetuneAction, TrainEffect
from trimtab.act.actions.knowledge import KnowledgeAction
from trimtab.act.actions.notify import NotifyEffect
from trimtab.act.actions.port import Effect, VersionAction
from trimtab.act.actions.prompt import PromptAction
from trimtab.act.actions.review import ReviewEffect
from trimtab.act.actions.reviewed import ReviewedAction
from trimtab.act.actions.rollback import RollbackAction
from trimtab.act.actions.rule import RuleAction
from trimtab.act.answering.choice import opened
from trimtab.act.checks.desk import ExamDesk
from trimtab.act.checks.judge import open_judge
from trimtab.act.datasets.desk import DatasetDesk
from trimtab.act.digest import DigestStage
from trimtab.act.drafting import RuleWriter
from trimtab.act.evidence import Evidence
from trimtab.act.guard.lint import may_be_shown
from trimtab.act.knowledge.index import Retriever, open_retriever, open_webhook
from trimtab.act.knowledge.patches import PatchDesk
from trimtab.act.knowledge.stage import KnowledgeStage
from trimtab.act.memory import ExemplarMemory
from trimtab.act.notices import Notices
from trimtab.act.optimizers.gepa import is_installed
from trimtab.act.playbook import IncidentPlaybook
from trimtab.act.queue.desk import QueueDesk
from trimtab.act.queue.examples import ExampleLooks, Typical
from trimtab.act.recheck import RecheckStage
from trimtab.act.review import Reviews
from trimtab.act.runner import Runner
from trimtab.act.training.desk import JobDesk
from trimtab.clock import Clock, SystemClock
from trimtab.config import Settings
from trimtab.embed.lexical import LexicalEmbedder
from trimtab.embed.port import Embedder
from trimtab.enrich.space import SpaceStage
from trimtab.errors import ConfigError, MissingExtra
from trimtab.measure.digest import Digest, digest
from trimtab.measure.digest_lines import lines_of
from trimtab.records import Version
from trimtab.redact.project import Redactors
from trimtab.store.ports import HotStore

__all__ = [
    "Knowing",
    "digest_of",
    "open_digest",
    "open_jobs",
    "open_knowing",
    "open_playbook",
    "open_queue",
    "open_recheck",
    "open_runner",
]


def open_runner(settings: Settings, undo: contextlib.ExitStack) -> Runner:
    """Return what answers when the engine itself must ask a feature."""
    return opened(settings, undo.callback)


def _exams(
    settings: Settings,
    store: HotStore,
    redactor: Redactors,
    runner: Runner,
    spaces: SpaceStage | None,
    turn: AbstractContextManager[Any],
    undo: contextlib.ExitStack,
) -> ExamDesk:
    """Return what checks answers to golden cases. Raises ConfigError for a judge that cannot be asked anywhere."""
    judge = open_judge(settings)
    embedder = spaces.current if spaces else None
    if embedder is None and settings.gate.check == "embedding":
        raise ConfigError("gate.check = 'embedding' needs an embedder; set embedding.kind", param="gate.check")
    exams = ExamDesk(store, redactor, settings, runner, embedder=embedder, judge=judge, turn=turn)
    undo.callback(exams.close)
    return exams


def open_playbook(
    settings: Settings,
    store: HotStore,
    redactor: Redactors,
    runner: Runner,
    clock: Clock,
    turn: AbstractContextManager[Any],
    knowing: Knowing,
    spaces: SpaceStage | None,
    looks: ExampleLooks,
    undo: contextlib.ExitStack,
) -> IncidentPlaybook:
    """Return what answers incidents, and learns what reviewers said. `looks` says which answers are out of date.

    Raises MissingExtra where an action is in use without its library.
    """
    if settings.optimizer.kind == "gepa" and "prompt" in settings.playbook.actions and not is_installed():
        raise MissingExtra("optimizer.kind = 'gepa' needs its library: pip install 'trimtab[server,gepa]'")
    evidence = Evidence(store, settings)
    writer = RuleWriter(settings.runner, settings.rules) if settings.rules.model else None
    if writer is not None:
        undo.callback(writer.close)
    exemplar, knowledge = ExemplarAction(evidence), KnowledgeAction(evidence, retriever=knowing.retriever)
    actions: list[VersionAction] = [
        RollbackAction(store, settings),
        exemplar,
        knowledge,
        RuleAction(evidence, redactor, writer),
        _searching(evidence, redactor, runner, clock, turn),
        FinetuneAction(store),
    ]
    notices = Notices(store, settings.notify)
    effects: list[Effect] = [
        NotifyEffect(store, notices),
        ReviewEffect(store, redactor, settings.review),
        TrainEffect(store, settings),
    ]
    return IncidentPlaybook(
        store,
        redactor,
        settings,
        runner,
        clock=clock,
        notices=notices,
        actions=actions,
        effects=effects,
        turn=turn,
        exams=_exams(settings, store, redactor, runner, spaces, turn, undo),
        reviewed=ReviewedAction(evidence, exemplar, knowledge, renewals=looks.renewals),
    )


def open_queue(
    settings: Settings, store: HotStore, redactor: Redactors, runner: Runner, spaces: SpaceStage | None
) -> QueueDesk:
    """Return what chooses review items, with who has which. `runner` says what it takes for a typical question."""
    reviews = Reviews(store, redactor, settings.review)
    lexical = LexicalEmbedder()
    # The project's fitted space knows meaning; other embedders cost money or minutes for thousands of texts a week.
    fitted = spaces if settings.embedding.kind == "lsa" else None
    embedder: Callable[[str], Embedder] = fitted.current if fitted else lambda _: lexical
    notices = Notices(store, settings.notify)
    looks = ExampleLooks(store, redactor, settings, reviews, _typical(runner, embedder), notices=notices)
    return QueueDesk(store, reviews, settings, notices, embedder, looks)


def _typical(runner: Runner, embedder: Callable[[str], Embedder]) -> Typical:
    """Return what says which answer a question is typical of: the memory that answers, else one for each project.

    An adapter that was fitted on fewer examples than the space has directions takes nearly every new question for a
    strange one, so that memory has one only from as many examples on.
    """
    memories: dict[tuple[str, bool], ExemplarMemory] = {}

    def typical(project_id: str, version: Version, inputs: Sequence[str], before: datetime) -> list[str | None]:
        if isinstance(runner, ExemplarMemory):
            return runner.typical(version, inputs, before=before)
        space = embedder(project_id)
        many = len(version.exemplars) >= space.embed([""]).shape[1]
        memory = memories.setdefault((project_id, many), ExemplarMemory(space, shrinkage=1.0 if many else None))
        memory.refit(space)
        return memory.typical(version, inputs, before=before)

    return typical


def digest_of(
    settings: Settings,
    store: HotStore,
    project_id: str,
    since: datetime,
    until: datetime,
    features: Sequence[str] | None = None,
) -> Digest:
    """Return what changed in [since, until), as the settings ask."""
    return digest(
        store,
        project_id,
        since=since,
        until=until,
        weeks=settings.digest.reference_weeks,
        rate=settings.digest.false_discovery_rate,
        topic_window=timedelta(days=settings.topics.window_days),
        features=features,
    )


def open_digest(settings: Settings, store: HotStore) -> DigestStage:
    """Return what tells people once a week what changed: measured by one floor, sent by another."""

    def compose(project_id: str, since: datetime, until: datetime, features: Sequence[str] | None) -> list[str]:
        return lines_of(digest_of(settings, store, project_id, since, until, features))

    return DigestStage(store, settings.digest, settings.notify, compose)


def _searching(
    evidence: Evidence, redactor: Redactors, runner: Runner, clock: Clock, turn: AbstractContextManager[Any]
) -> PromptAction:
    if evidence.settings.guard.lint == "off":
        return PromptAction(evidence, redactor, runner, clock, turn=turn)
    return PromptAction(evidence, redactor, runner, clock, turn=turn, lint=may_be_shown)


def open_recheck(
    settings: Settings,
    store: HotStore,
    exams: ExamDesk,
    turn: AbstractContextManager[Any],
    undo: contextlib.ExitStack,
    *,
    inline: bool,
) -> RecheckStage:
    """Return what asks whether proven fixes still hold."""
    stage = RecheckStage(store, settings, exams, turn=turn, inline=inline)
    undo.callback(stage.close)
    return stage


class Knowing(NamedTuple):
    """What brings knowledge to the app's index; `retriever` asks it, where it can be asked."""

    patches: PatchDesk
    stage: KnowledgeStage
    retriever: Retriever | None


def open_knowing(
    settings: Settings, store: HotStore, redactor: Redactors, undo: contextlib.ExitStack, *, inline: bool
) -> Knowing:
    """Return what brings knowledge to the app's index. Receivers check signatures by their own clocks."""
    patches = PatchDesk(store, redactor, settings.knowledge)
    retriever = open_retriever(settings.knowledge, SystemClock().now)
    webhook = open_webhook(settings.knowledge)
    stage = KnowledgeStage(store, patches, settings.knowledge, webhook=webhook, retriever=retriever, inline=inline)
    undo.callback(stage.close)
    return Knowing(patches, stage, retriever)


def open_jobs(
    settings: Settings,
    store: HotStore,
    redactor: Redactors,
    datasets: DatasetDesk,
    turn: AbstractContextManager[Any],
    undo: contextlib.ExitStack,
) -> JobDesk:
    """Return what trains models; what it runs goes on when it closes."""
    jobs = JobDesk(store, redactor, datasets, settings.finetune, Path(settings.storage.path), turn=turn)
    undo.callback(jobs.close)
    return jobs
