"""What changed: versions, topics and groups of people whose answers got worse or better, the surest change first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from trimtab.measure.overview import Part
from trimtab.measure.pace import pace_of, part_of, read_history
from trimtab.records import Topic
from trimtab.stats.discovery import Comparison, Discovery, discoveries
from trimtab.store.ports import Ballot, CatalogStore, JudgementStore, LoopStore, MeasureStore, Query, TopicStore

__all__ = ["Digest", "DigestStore", "Finding", "Happened", "digest"]

_WEEK = timedelta(days=7)
_MOST_BALLOTS = 60_000
_MOST_GROUPS = 2_000
_LEAST_PEOPLE = 20
_SHOWN = 50
_RUNS = 50


class Finding(Struct, frozen=True, kw_only=True):
    """One change that is told.

    Of the people who voted on answers of this feature, version and segment (null and empty: of all), `now` says how
    many were last found to vote an answer down; `before` the same of the weeks before. With a topic: to vote down an
    answer that belongs to it. `difference` has the interval [low, high], wide enough for all that were compared;
    `size` is its end nearest to zero. `against` "others": hardly anybody had this version before, so `before` is of
    what was served then. `evidence` is where to read on.
    """

    feature: str
    version_id: str | None
    topic_id: str | None
    topic: str
    segment: dict[str, str]
    direction: Literal["worse", "better"]
    now: Part
    before: Part
    difference: float
    low: float
    high: float
    size: float
    p_adjusted: float
    against: Literal["itself", "others"]
    evidence: str


class Happened(Struct, frozen=True, kw_only=True):
    """What the loop did meanwhile."""

    incidents_opened: int
    incidents_open: int
    fixes_verified: int
    changes_exposed: int
    changes_failed: int


class Digest(Struct, frozen=True, kw_only=True):
    """What changed in [since, until), against [before_since, since), the largest sure change first.

    `groups` were compared; at most `false_discovery_rate` of the findings are expected to be false. `votes` and
    `votes_before` were read, each person counting once in each group. `complete` is false where there were more than
    are read: of this span the newest, of the time before as many whole weeks as fit.
    """

    since: datetime
    until: datetime
    before_since: datetime
    feature: str | None
    false_discovery_rate: float
    votes: int
    votes_before: int
    complete: bool
    groups: int
    findings: list[Finding]
    happened: Happened


class DigestStore(CatalogStore, JudgementStore, LoopStore, MeasureStore, TopicStore, Protocol):
    """What the digest reads."""


class _Group(NamedTuple):
    """Whose votes are counted together: None stands for all."""

    feature: str
    version_id: str | None = None
    topic_id: str | None = None
    segment: tuple[str, str] | None = None

    def holds(self, other: _Group) -> bool:
        """Say whether everything in `other` is in this group, too."""
        return self.feature == other.feature and all(
            mine is None or mine == theirs for mine, theirs in zip(self[1:], other[1:], strict=True)
        )

    @property
    def depth(self) -> int:
        return sum(part is not None for part in self[1:])


_Tally = Mapping[_Group, tuple[int, int]]


def digest(
    store: DigestStore,
    project_id: str,
    *,
    since: datetime,
    until: datetime,
    weeks: int = 4,
    rate: float = 0.05,
    topic_window: timedelta = 4 * _WEEK,
    features: Sequence[str] | None = None,
) -> Digest:
    """Compare the votes of [since, until) with those of the `weeks` before, in every group with enough people.

    Groups are the versions, topics and segments of each feature, and each two or three of these together; at least 20
    people must have voted in each span. Chosen by size alone, at most 2,000 are compared (`stats.discovery`).
    """
    before_since = since - weeks * _WEEK
    names = [each.name for each in store.features(project_id) if features is None or each.name in features]
    budget = max(500, _MOST_BALLOTS // max(1, len(names)))
    told: dict[_Group, tuple[Comparison, bool]] = {}
    topics: dict[str, Topic] = {}
    sizes = [0, 0]
    complete = True
    for name in names:
        now = store.ballots(project_id, name, since, until, budget)
        before, whole = _before(store, project_id, name, since, weeks, budget)
        complete = complete and whole and len(now) < budget
        sizes[0] += len(now)
        sizes[1] += len(before)
        told.update(_compared(_tally(name, now), _tally(name, before)))
        found = _topics_seen(store, project_id, name, topic_window)
        if found is not None:
            topics.update((topic.id, topic) for topic in found.topics)
            inside = [each for each in now if each.created_at < found.until]
            past = [each for each in before if each.created_at >= found.since]
            told.update(_compared(_tally(name, inside, found.of), _tally(name, past, found.of), topics=True))
    groups = _largest(told)
    picked = _pruned(groups, discoveries([told[group][0] for group in groups], rate=rate))
    return Digest(
        since=since,
        until=until,
        before_since=before_since,
        feature=features[0] if features is not None and len(features) == 1 else None,
        false_discovery_rate=rate,
        votes=sizes[0],
        votes_before=sizes[1],
        complete=complete,
        groups=len(groups),
        findings=[_finding(groups[each.place], each, told, topics, since, until) for each in picked[:_SHOWN]],
        happened=_happened(store, project_id, since, until, set(names)),
    )


def _before(
    store: DigestStore, project_id: str, feature: str, since: datetime, weeks: int, budget: int
) -> tuple[list[Ballot], bool]:
    """Return the votes of the weeks before, newest first, and whether these are all: else of as many whole weeks."""
    found: list[Ballot] = []
    for back in range(weeks):
        left = budget - len(found)
        rows = store.ballots(project_id, feature, since - (back + 1) * _WEEK, since - back * _WEEK, left)
        if len(rows) == left:
            return (found or rows), False
        found += rows
    return found, True


class _Seen(NamedTuple):
    """The topics of a feature, which of them each answer belongs to, and the span in which they were looked for."""

    topics: list[Topic]
    of: dict[str, list[str]]
    since: datetime
    until: datetime


def _topics_seen(store: DigestStore, project_id: str, feature: str, window: timedelta) -> _Seen | None:
    topics = store.topics(project_id, feature, ("live",))
    if not topics:
        return None
    for row in store.topic_runs(project_id, Query(limit=_RUNS), ("done",)).rows:
        run = row.record
        if run.started_at is None or all(survey.feature != feature for survey in run.surveys):
            continue
        of: dict[str, list[str]] = {}
        for place in store.topic_places(project_id, feature):
            if place.topic_id is None:
                continue
            said = store.joined(project_id, place.feedback_ids).values()
            for inference_id in {*place.inference_ids, *said}:
                of.setdefault(inference_id, []).append(place.topic_id)
        return _Seen(topics, of, run.started_at - window, run.started_at)
    return None


def _tally(
    feature: str, ballots: Iterable[Ballot], topics: Mapping[str, Sequence[str]] | None = None
) -> dict[_Group, tuple[int, int]]:
    """Return by group how many people voted, and how many were last found to vote an answer down.

    `topics` asks for the groups of topics instead: of the same people, those who voted down an answer of the topic.
    """
    people: dict[str, list[Ballot]] = {}
    for each in ballots:  # newest first
        people.setdefault(each.voter_id, []).append(each)
    groups = _Groups(feature)
    voted: Counter[int] = Counter()
    down: Counter[int] = Counter()
    blamed: Counter[tuple[int, str]] = Counter()
    for own in people.values():
        seen: set[int] = set()
        blames: set[tuple[int, str]] = set()
        for each in own:
            among = groups.of(each)
            bad = each.vote > 0.5
            if topics is None and bad:
                down.update(among if not seen else [group for group in among if group not in seen])
            elif topics is not None and bad:
                blames.update((group, topic) for topic in topics.get(each.inference_id, ()) for group in among)
            seen.update(among)
        voted.update(seen)
        blamed.update(blames)
    if topics is None:
        return {groups.names[group]: (down[group], n) for group, n in voted.items()}
    return {
        groups.names[group]._replace(topic_id=topic): (blamed[group, topic], n)
        for topic in {each for found in topics.values() for each in found}
        for group, n in voted.items()
        if n >= _LEAST_PEOPLE
    }


class _Groups:
    """The groups that answers of a feature are in, as small numbers; answers alike in them share one list."""

    def __init__(self, feature: str) -> None:
        self.names: list[_Group] = []
        self._feature = feature
        self._numbers: dict[_Group, int] = {}
        self._known: dict[tuple[str | None, tuple[tuple[str, str], ...]], list[int]] = {}

    def of(self, ballot: Ballot) -> list[int]:
        """Return the groups without a topic: all, the version's, those of each segment, and of both together."""
        key = (ballot.version_id, tuple(ballot.segments.items()))
        found = self._known.get(key)
        if found is None:
            found = [
                self._number(_Group(self._feature, version_id, segment=segment))
                for version_id in {None, ballot.version_id}
                for segment in (None, *key[1])
            ]
            self._known[key] = found
        return found

    def _number(self, group: _Group) -> int:
        if group not in self._numbers:
            self._numbers[group] = len(self.names)
            self.names.append(group)
        return self._numbers[group]


def _compared(now: _Tally, before: _Tally, *, topics: bool = False) -> Iterator[tuple[_Group, tuple[Comparison, bool]]]:
    """Yield the groups with enough people, with their counts, and whether they are compared with themselves."""
    seen: set[tuple[Comparison, str | None]] = set()
    for group in sorted(now, key=lambda each: (each.depth, str(each))):
        bad, n = now[group]
        bad_before, n_before = before.get(group, (0, 0))
        itself = n_before >= _LEAST_PEOPLE
        if not itself and group.version_id is not None:
            bad_before, n_before = before.get(group._replace(version_id=None), (0, 0))
        if min(n, n_before) < _LEAST_PEOPLE or (topics and bad + bad_before == 0):
            continue
        comparison = Comparison(bad, n, bad_before, n_before)
        if (comparison, group.topic_id) not in seen:  # the same people under another name
            seen.add((comparison, group.topic_id))
            yield group, (comparison, itself)


def _largest(told: Mapping[_Group, tuple[Comparison, bool]]) -> list[_Group]:
    """Return the groups to compare: the largest, whatever their votes, so that the choice favours no outcome."""
    order = sorted(told, key=lambda group: (-min(told[group][0].n, told[group][0].n_before), group.depth, str(group)))
    return order[:_MOST_GROUPS]


def _pruned(groups: Sequence[_Group], found: Iterable[Discovery]) -> list[Discovery]:
    """Drop what is part of a group that is told already, or holds one: it is the same change again.

    Topics count by themselves: they say what it is about.
    """
    kept: list[Discovery] = []
    for each in found:
        group = groups[each.place]
        if not any(_is_same(group, groups[other.place]) for other in kept):
            kept.append(each)
    return kept


def _is_same(group: _Group, other: _Group) -> bool:
    about_topic = [each.topic_id is not None for each in (group, other)]
    return about_topic[0] == about_topic[1] and (group.holds(other) or other.holds(group))


def _finding(
    group: _Group,
    found: Discovery,
    told: Mapping[_Group, tuple[Comparison, bool]],
    topics: Mapping[str, Topic],
    since: datetime,
    until: datetime,
) -> Finding:
    comparison, itself = told[group]
    topic = topics.get(group.topic_id or "")
    gap = found.difference
    return Finding(
        feature=group.feature,
        version_id=group.version_id,
        topic_id=group.topic_id,
        topic=(topic.name or ", ".join(topic.words)) if topic is not None else "",
        segment=dict([group.segment]) if group.segment is not None else {},
        direction="worse" if (gap.value or 0.0) > 0 else "better",
        now=part_of(comparison.bad, comparison.n),
        before=part_of(comparison.bad_before, comparison.n_before),
        difference=gap.value or 0.0,
        low=gap.low,
        high=gap.high,
        size=found.size,
        p_adjusted=found.p_adjusted,
        against="itself" if itself else "others",
        evidence=_evidence(group, since, until),
    )


def _evidence(group: _Group, since: datetime, until: datetime) -> str:
    """Return the path under which what people said is read."""
    if group.topic_id is not None:
        return f"/v1/topics/{group.topic_id}/feedback"
    version = f"&version_id={group.version_id}" if group.version_id is not None else ""
    span = f"&since={since:%Y-%m-%dT%H:%M:%SZ}&until={until:%Y-%m-%dT%H:%M:%SZ}"
    return f"/v1/inbox?feature={group.feature}{version}&negative=true{span}"


def _happened(store: DigestStore, project_id: str, since: datetime, until: datetime, names: set[str]) -> Happened:
    history = read_history(store, project_id, until, None)
    mine = history._replace(
        incidents=[each for each in history.incidents if each.feature in names],
        changes=[each for each in history.changes if each.feature in names],
    )
    pace = pace_of(mine, since, until, None)
    return Happened(
        incidents_opened=pace.incidents,
        incidents_open=sum(each.state != "resolved" for each in mine.incidents),
        fixes_verified=pace.fixes_verified,
        changes_exposed=pace.changes_exposed,
        changes_failed=pace.changes_failed,
    )
