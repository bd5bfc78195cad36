"""The one commit: every kind of write becomes rows for a prepared statement, all inside one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    LargeBinary,
    Text,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from trimtab.clock import to_micros
from trimtab.errors import Conflict, WallBreach
from trimtab.records import Opinion, Outcome, Redacted
from trimtab.store.codec import id_bytes
from trimtab.store.hot.aside import AsideStatements
from trimtab.store.hot.counters import COUNTED, Tally, count_outcome
from trimtab.store.hot.database import Database, Prepared, Transaction, holes, prepare
from trimtab.store.hot.enriching import EnrichingStatements
from trimtab.store.hot.joining import Joining
from trimtab.store.hot.redaction import RedactionStatements
from trimtab.store.hot.tombstones import Tombstones
from trimtab.store.hot.topics import TopicStatements
from trimtab.store.ports import Switch, Writes
from trimtab.store.schema import (
    API_KEYS,
    CASES,
    CHANGES,
    DATASETS,
    DELIVERIES,
    ERASURES,
    FEATURES,
    INCIDENTS,
    INFERENCES,
    JOBS,
    MONITOR_RULES,
    MONITORS,
    OPINIONS,
    OUTCOMES,
    PATCHES,
    PROJECTS,
    RELEASES,
    REVIEWS,
    ROLLOUTS,
    RUN_STEPS,
    RUNS,
    SILENCES,
    TOPICS,
    USERS,
    VERSIONS,
    Noun,
    cursors,
    joins,
    orphans,
    targets,
    votes,
)

__all__ = ["Committer"]

_Rows = Sequence[Sequence[Any]]
_Job = tuple[Prepared, _Rows]
_COUNTED = tuple(OUTCOMES.inserted.index(name) for name in COUNTED)
_OPINION_KEY = ("project_id", "inference_id", "kind", "source", "user_id")


class Committer:
    """Holds the prepared statements and runs a commit through them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        anew: tuple[Noun[Any], ...] = (MONITORS, MONITOR_RULES, SILENCES, INCIDENTS, CHANGES, RUNS, DATASETS, ERASURES)
        anew += (DELIVERIES, REVIEWS, JOBS, PATCHES)
        self._upsert = {noun: self._upsert_of(noun) for noun in anew}
        once: tuple[Noun[Any], ...] = (RUN_STEPS, VERSIONS, CASES, FEATURES, PROJECTS, ROLLOUTS, OPINIONS, OUTCOMES)
        once += (DELIVERIES, REVIEWS, RELEASES)
        self._once = {noun: self._insert_of(noun) for noun in once}
        self._key = self._key_statement()
        self._outcome_gone = self._outcome_statement()
        self._opinion_gone = self._opinion_statement()
        self._enriching = EnrichingStatements(database)
        self._redaction = RedactionStatements(database)
        self._asides = AsideStatements(database)
        self._topics = TopicStatements(database)
        self._joining = Joining(database)
        self._found = self._found_statement()
        self._orphan = self._orphan_statement()
        self._target = self._target_statement()
        self._vote = self._vote_statement()
        self._cursor = self._cursor_statement()
        self._revision = self._revision_statement()
        self._erased = Tombstones(database)
        self._unruled = self._unruled_statement()

    def commit(self, writes: Mapping[str, Writes], positions: Mapping[str, int]) -> None:
        """Write all or nothing."""
        jobs = [job for project_id, each in writes.items() for job in self._jobs(project_id, each)]
        if positions:
            jobs.append((self._cursor, sorted(positions.items())))
        switches = [(project_id, switch) for project_id, each in writes.items() for switch in each.switches]
        for _, switch in switches:
            if switch.rollout.revision <= switch.expected:
                raise ValueError(
                    f"expected a rollout whose revision is above {switch.expected!r}, got {switch.rollout.revision!r}"
                )
        redactions = [(project_id, sealed) for project_id, each in writes.items() for sealed in each.redactions]
        judged = [project_id for project_id, each in writes.items() if each.outcomes]
        if not jobs and not switches and not redactions and not judged:
            return
        with self._database.transaction(writes) as write:
            spared = self._erased.spared(write, writes)
            if spared is not writes:
                jobs = [job for project_id, each in spared.items() for job in self._jobs(project_id, each)]
                jobs += [(self._cursor, sorted(positions.items()))] if positions else []
            for project_id, switch in switches:
                self._switch(write, project_id, switch)
            for project_id, sealed in redactions:
                self._redaction.set(write, project_id, sealed)
            for statement, rows in jobs:
                write.many(statement, rows)
            tally = Tally()
            for project_id in judged:
                self._judge(write, project_id, spared[project_id].outcomes, tally)
            if counts := tally.rows():
                write.count(counts)

    def _judge(self, write: Transaction, project_id: str, outcomes: Sequence[Outcome], tally: Tally) -> None:
        """Write outcomes in the place of their old selves, and sum up by how much the counters differ then."""
        # Where the list names an inference twice the last counts.
        last = {outcome.inference_id: outcome for outcome in outcomes}.values()
        rows = [OUTCOMES.row(project_id, outcome) for outcome in last]
        keys = [(project_id, id_bytes(outcome.inference_id)) for outcome in last]
        for old in write.returned(self._outcome_gone, keys):
            count_outcome(tally, project_id, old, sign=-1)
        write.many(self._once[OUTCOMES], rows)
        for row in rows:
            count_outcome(tally, project_id, [row[place] for place in _COUNTED])

    def _jobs(self, project_id: str, writes: Writes) -> Iterable[_Job]:
        """Yield what to run, in the order in which it must run, without the empty kinds."""
        found: list[tuple[Prepared, Iterable[Sequence[Any]]]] = [
            (self._once[PROJECTS], (_project_row(project_id, project) for project in writes.projects)),
            (self._once[FEATURES], _sealed(FEATURES, project_id, writes.features)),
            (self._key, _sealed(API_KEYS, project_id, writes.keys)),
            (self._once[VERSIONS], _sealed(VERSIONS, project_id, writes.versions)),
            (self._once[CASES], _sealed(CASES, project_id, writes.cases)),
            (self._orphan, (_orphan_row(project_id, *orphan) for orphan in writes.orphans)),
            (self._joining.statement, self._joining.rows(project_id, writes.joined)),
            (self._found, ((project_id, id_bytes(feedback_id)) for feedback_id, _ in writes.joined)),
            (self._target, _target_rows(project_id, writes)),
            (self._vote, _vote_rows(project_id, writes)),
            (self._upsert[MONITORS], (MONITORS.row(project_id, monitor) for monitor in writes.monitors)),
            (self._upsert[MONITOR_RULES], (MONITOR_RULES.row(project_id, rule) for rule in writes.rules)),
            (self._unruled, ((project_id, name) for name in writes.unruled)),
            (self._upsert[SILENCES], _sealed(SILENCES, project_id, writes.silences)),
            (self._once[RELEASES], (RELEASES.row(project_id, release) for release in writes.releases)),
            (self._upsert[INCIDENTS], (INCIDENTS.row(project_id, incident) for incident in writes.incidents)),
            (self._upsert[CHANGES], (CHANGES.row(project_id, change) for change in writes.changes)),
            (self._upsert[RUNS], (RUNS.row(project_id, run) for run in writes.runs)),
            (self._upsert[PATCHES], _sealed(PATCHES, project_id, writes.patches)),
            (self._upsert[JOBS], (JOBS.row(project_id, job) for job in writes.jobs)),
            (self._upsert[DATASETS], (DATASETS.row(project_id, dataset) for dataset in writes.datasets)),
            (self._upsert[ERASURES], (ERASURES.row(project_id, erasure) for erasure in writes.erasures)),
            (self._once[DELIVERIES], (DELIVERIES.row(project_id, delivery) for delivery in writes.deliveries)),
            (self._upsert[DELIVERIES], (DELIVERIES.row(project_id, delivery) for delivery in writes.delivered)),
            (self._once[REVIEWS], (REVIEWS.row(project_id, item) for item in writes.reviews)),
            (self._upsert[REVIEWS], _sealed(REVIEWS, project_id, writes.reviewed)),
            (self._once[RUN_STEPS], (RUN_STEPS.row(project_id, step, id_bytes(run)) for run, step in writes.steps)),
        ]
        found += self._enriching.jobs(project_id, writes, _sealed(USERS, project_id, writes.users))
        found.append(self._enriching.replaced(project_id, writes))
        found += self._redaction.jobs(project_id, writes)
        found += self._asides.jobs(project_id, writes)
        found += self._topics.jobs(project_id, writes, _sealed(TOPICS, project_id, writes.topics))
        opinions = _latest(project_id, writes.opinions)
        # Each row must be written after its old self is gone.
        found.append((self._opinion_gone, opinions))
        found.append((self._once[OPINIONS], (OPINIONS.row(project_id, opinion) for opinion in opinions.values())))
        listed = ((statement, list(rows)) for statement, rows in found)
        return [(statement, rows) for statement, rows in listed if rows]

    def _switch(self, write: Transaction, project_id: str, switch: Switch) -> None:
        rollout = switch.rollout
        found = write.one(self._revision, (project_id, rollout.feature))
        current = int(found[0]) if found else 0
        if current != switch.expected:
            raise Conflict(
                f"expected the rollout of {rollout.feature!r} at revision {switch.expected!r}, it is at {current!r}; "
                "read it again and decide anew",
                param="revision",
            )
        write.many(self._once[ROLLOUTS], [ROLLOUTS.row(project_id, rollout)])

    def _insert_of(self, noun: Noun[Any]) -> Prepared:
        statement = self._database.insert(noun.table).values(holes(noun.inserted)).on_conflict_do_nothing()
        return prepare(statement, self._database.dialect, noun.inserted)

    def _upsert_of(self, noun: Noun[Any]) -> Prepared:
        new = self._database.insert(noun.table).values(holes(noun.inserted))
        changed = {name: new.excluded[name] for name in noun.inserted if name not in ("project_id", "id")}
        statement = new.on_conflict_do_update(index_elements=noun.key, set_=changed)
        return prepare(statement, self._database.dialect, noun.inserted)

    def _key_statement(self) -> Prepared:
        new = self._database.insert(API_KEYS.table).values(holes(API_KEYS.inserted))
        revoked = func.coalesce(API_KEYS.table.c.revoked_at, new.excluded.revoked_at)
        statement = new.on_conflict_do_update(index_elements=API_KEYS.key, set_={"revoked_at": revoked})
        return prepare(statement, self._database.dialect, API_KEYS.inserted)

    def _unruled_statement(self) -> Prepared:
        columns = MONITOR_RULES.table.c
        gone = delete(MONITOR_RULES.table).where(
            columns.project_id == bindparam("project_id"), columns.name == bindparam("name")
        )
        return prepare(gone, self._database.dialect, ("project_id", "name"))

    def _outcome_statement(self) -> Prepared:
        columns = OUTCOMES.table.c
        gone = delete(OUTCOMES.table).where(
            columns.project_id == bindparam("project_id"), columns.inference_id == bindparam("inference_id")
        )
        counted = gone.returning(*(columns[name] for name in COUNTED))
        return prepare(counted, self._database.dialect, ("project_id", "inference_id"))

    def _opinion_statement(self) -> Prepared:
        """Make an opinion give way only to a later word; what then cannot be inserted was not the latest."""
        columns = OPINIONS.table.c
        same = [
            key == bindparam(name, type_=columns[name].type)
            for key, name in zip(OPINIONS.key, _OPINION_KEY, strict=True)
        ]
        later = tuple_(columns.created_at, columns.feedback_id) < tuple_(
            bindparam("created_at", type_=BigInteger()), bindparam("feedback_id", type_=LargeBinary())
        )
        gone = delete(OPINIONS.table).where(*same, later)
        return prepare(gone, self._database.dialect, (*_OPINION_KEY, "created_at", "feedback_id"))

    def _found_statement(self) -> Prepared:
        gone = delete(orphans).where(
            orphans.c.project_id == bindparam("project_id"), orphans.c.feedback_id == bindparam("feedback_id")
        )
        return prepare(gone, self._database.dialect, ("project_id", "feedback_id"))

    def _orphan_statement(self) -> Prepared:
        names = ("project_id", "target_kind", "target_key", "feedback_id")
        project, feedback = bindparam("project_id", type_=Text()), bindparam("feedback_id", type_=LargeBinary())
        known = exists().where(joins.c.project_id == project, joins.c.feedback_id == feedback)
        values = select(
            project, bindparam("target_kind", type_=Text()), bindparam("target_key", type_=Text()), feedback
        ).where(~known)
        statement = self._database.insert(orphans).from_select(list(names), values).on_conflict_do_nothing()
        return prepare(statement, self._database.dialect, names)

    def _target_statement(self) -> Prepared:
        """Let the latest inference have a shared name; its time is looked up, so the order of writes is no matter."""
        names = ("project_id", "kind", "key", "inference_id")
        project, inference = bindparam("project_id", type_=Text()), bindparam("inference_id", type_=LargeBinary())
        made = (
            select(INFERENCES.table.c.created_at)
            .where(INFERENCES.table.c.project_id == project, INFERENCES.table.c.id == inference)
            .scalar_subquery()
        )
        values = select(
            project,
            bindparam("kind", type_=Text()),
            bindparam("key", type_=Text()),
            inference,
            func.coalesce(made, literal_column("0")),
        ).where(project.is_not(None))
        new = self._database.insert(targets).from_select([*names, "created_at"], values)
        later = or_(
            new.excluded.created_at > targets.c.created_at,
            (new.excluded.created_at == targets.c.created_at) & (new.excluded.inference_id > targets.c.inference_id),
        )
        statement = new.on_conflict_do_update(
            index_elements=list(targets.primary_key.columns),
            set_={"inference_id": new.excluded.inference_id, "created_at": new.excluded.created_at},
            where=later,
        )
        return prepare(statement, self._database.dialect, names)

    def _vote_statement(self) -> Prepared:
        names = ("consumer_id", "user_id", "project_id", "counted_at")
        new = self._database.insert(votes).values(holes(names))
        statement = new.on_conflict_do_update(
            index_elements=list(votes.primary_key.columns), set_={"counted_at": new.excluded.counted_at}
        )
        return prepare(statement, self._database.dialect, names)

    def _cursor_statement(self) -> Prepared:
        new = self._database.insert(cursors).values(holes(("stage", "seq")))
        statement = new.on_conflict_do_update(
            index_elements=[cursors.c.stage], set_={"seq": new.excluded.seq}, where=new.excluded.seq > cursors.c.seq
        )
        return prepare(statement, self._database.dialect, ("stage", "seq"))

    def _revision_statement(self) -> Prepared:
        columns = ROLLOUTS.table.c
        statement = select(func.coalesce(func.max(columns.revision), literal_column("0"))).where(
            columns.project_id == bindparam("project_id"), columns.feature == bindparam("feature")
        )
        return prepare(statement, self._database.dialect, ("project_id", "feature"))


def _sealed(noun: Noun[Any], project_id: str, records: Sequence[Redacted[Any]]) -> _Rows:
    for sealed in records:
        if type(sealed) is not Redacted or type(sealed.record) is not noun.record:
            raise WallBreach(
                f"expected a {noun.record.__name__} from the redactor, got {type(sealed).__name__!r}; seal it first"
            )
    return [noun.row(project_id, sealed.record) for sealed in records]


def _project_row(project_id: str, project: Any) -> list[Any]:
    if project.id != project_id:
        raise ValueError(f"expected project {project_id!r} under its own name, got {project.id!r}")
    return PROJECTS.row(project_id, project)


def _orphan_row(project_id: str, feedback_id: str, target: Any) -> tuple[Any, ...]:
    return (project_id, target.kind, target.key, id_bytes(feedback_id))


def _target_rows(project_id: str, writes: Writes) -> _Rows:
    # An inference's own id is found among the inferences themselves.
    rows = [
        (project_id, target.kind, target.key, id_bytes(inference_id))
        for target, inference_id in writes.targets
        if target.kind != "inference"
    ]
    return sorted(rows)  # random keys go into their index in sorted lots


def _opinion_key(project_id: str, opinion: Opinion) -> tuple[Any, ...]:
    about = (project_id, id_bytes(opinion.inference_id), opinion.kind, opinion.source, opinion.user_id or "")
    return (*about, to_micros(opinion.created_at), id_bytes(opinion.feedback_id))


def _latest(project_id: str, opinions: Sequence[Opinion]) -> dict[tuple[Any, ...], Opinion]:
    """Return the latest of the opinions of one person, by the values of its key, time and feedback."""
    found: dict[tuple[Any, ...], tuple[tuple[Any, ...], Opinion]] = {}
    for opinion in opinions:
        key = _opinion_key(project_id, opinion)
        person = key[: len(_OPINION_KEY)]
        if person not in found or found[person][0] < key:
            found[person] = (key, opinion)
    return dict(found.values())


def _vote_rows(project_id: str, writes: Writes) -> _Rows:
    return [(vote.consumer_id, vote.user_id, project_id, to_micros(vote.counted_at)) for vote in writes.votes]
