"""The stage of declared watches: three cursors, one monitor per rule and group, incidents that open and recover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from trimtab.config import Settings
from trimtab.detect.rules.desk import OPEN, Desk
from trimtab.detect.rules.hearing import Heard, heard_after
from trimtab.detect.rules.post import Post
from trimtab.detect.rules.rule import RESERVED, Rule, RuleSource, rules_of, source_of
from trimtab.detect.rules.sampling import OTHER
from trimtab.errors import ConfigError, InvalidField
from trimtab.ids import derived_id
from trimtab.records import Incident, Monitor
from trimtab.store.census import CensusStore
from trimtab.store.ports import (
    CatalogStore,
    EventStore,
    JudgementStore,
    LoopStore,
    PurgedKind,
    Query,
    RedactionStore,
    Vote,
    Writes,
)

__all__ = ["ANY", "CURSORS", "RulesStage", "fresh_monitor"]

CURSORS: dict[RuleSource, str] = {
    "votes": "watch.votes",
    "answers": "watch.answers",
    "mature": "watch.mature",
    "inputs": "watch.inputs",
}
ANY = "any"
"""The version under which a group is kept that holds answers of all versions."""

_RULES_READ_EVERY = timedelta(seconds=5)
_SWEEP_EVERY = timedelta(seconds=10)
_MARGIN = timedelta(hours=1)  # to hear what has just become old enough
_IDLE_EVERY = timedelta(minutes=1)
_CAPPED: tuple[RuleSource, ...] = ("votes", "mature", "inputs")
_READS: Mapping[RuleSource, PurgedKind] = {
    "votes": "outcomes",
    "answers": "inferences",
    "mature": "inferences",
    "inputs": "inferences",
}
_OURS = ("rate", "threshold", "no_data", "drift")


class RulesStore(EventStore, JudgementStore, LoopStore, CatalogStore, RedactionStore, CensusStore, Protocol):
    """What this stage needs of the store."""


class _Project:
    """What is remembered of a project between ticks: this stage alone writes these rows."""

    def __init__(self) -> None:
        self.rules: list[Rule] | None = None
        self.read_at: datetime | None = None
        self.swept_at: datetime | None = None
        self.posts: dict[str, Post] = {}
        self.groups: dict[tuple[str, str], set[str]] = {}
        self.places: set[int] = set()
        self.last_place = 0


class RulesStage:
    """Feeds answers and judgements to the declared watches, at most one per person and window where people speak.

    Monitors, caps, incidents and the cursors are committed together. A watch hears what comes after it was declared.
    Each group has a place of its own in the false-alarm budget, for good: it is kept with the group. Declared anew in
    other words, a watch begins anew where what it learned answers another question, and what it had open is superseded.
    Raises ConfigError for a watch in the settings that cannot be.
    """

    name = "watch"

    def __init__(self, store: RulesStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._projects: dict[str, _Project] = {}
        self._awake_since: datetime | None = None
        self._idle_at: dict[RuleSource, datetime] = {}
        try:
            rules_of(settings.monitors, ())
        except InvalidField as error:
            raise ConfigError(error.message, param="monitors") from None

    def tick(self, now: datetime) -> int:
        """Handle at most one batch of each source and return how many rows that was."""
        try:
            return self._handle(now)
        except BaseException:
            self.forget()  # groups may have been read in part, or have heard what was not written
            raise

    def _handle(self, now: datetime) -> int:
        self._awake_since = self._awake_since or now
        projects = [project.id for project in self._store.projects()]
        for project_id in projects:
            self._know(project_id, now)
        batch = self._settings.engine.batch_rows
        handled = [self._source(source, now) for source in CURSORS]
        if max(handled) < batch:  # behind, what seems silent may only be late
            for project_id in projects:
                self._sweep(project_id, now)
        return sum(handled)

    def forget(self) -> None:
        """Read everything anew at the next tick: a rule was declared, or another process wrote."""
        self._projects.clear()

    def waits_for(self, kind: PurgedKind) -> tuple[list[str], timedelta]:
        """Return the cursors that still have to pass rows of a kind, and how old those must be to be heard at all."""
        rules = [rule for known in list(self._projects.values()) for rule in known.rules or () if rule.spec.enabled]
        sources = {source_of(rule.spec.metric) for rule in rules} if self._projects else set(CURSORS)
        ages = [rule.spec.maturity_hours for rule in rules if source_of(rule.spec.metric) == "mature"]
        cursors = [CURSORS[source] for source in sorted(sources) if _READS[source] == kind]
        oldest = timedelta(hours=max(ages)) + _MARGIN if ages else timedelta(0)
        return cursors, oldest if kind != "feedback" else timedelta(0)

    def behind(self) -> dict[str, int]:
        """Return how many rows are not heard yet, by cursor; what is heard at a certain age waits for that."""
        rules = [rule for known in list(self._projects.values()) for rule in known.rules or () if rule.spec.enabled]
        sources: set[RuleSource] = {source_of(rule.spec.metric) for rule in rules} - {"mature"}
        last = self._store.last_places()
        return {
            CURSORS[source]: max(0, last[_READS[source]] - self._store.cursor(CURSORS[source]))
            for source in sorted(sources)
        }

    def _know(self, project_id: str, now: datetime) -> None:
        known = self._projects.setdefault(project_id, _Project())
        if known.read_at is not None and abs(now - known.read_at) < _RULES_READ_EVERY:
            return
        known.read_at = now
        rules = rules_of(self._settings.monitors, self._store.rules(project_id))
        if rules == known.rules:
            return
        known.rules = rules
        known.posts, known.groups, known.places, known.last_place = {}, {}, set(), 0
        writes = Writes()
        desk = Desk(self._store, project_id, now, writes)
        stored = [(rule, each) for rule in rules for each in self._store.monitors(project_id, None, rule.name)]
        known.last_place = max((each.life.get("place", 0) for _, each in stored), default=0)
        for rule, monitor in stored:
            if rule.covers(monitor.feature) and _is_grouped_by(rule, monitor):
                post = self._hold(known, rule, monitor)
                if post.begun_anew:
                    desk.carry_out(post, post.begin_anew())
                    writes.monitors.append(post.record())
        over = {"state": "resolved", "resolution": "superseded", "resolved_at": now}
        writes.incidents += [msgspec.structs.replace(each, **over) for each in self._orphaned(project_id, known)]
        if writes.monitors or writes.incidents:
            self._store.commit({project_id: writes})

    def _orphaned(self, project_id: str, known: _Project) -> Iterator[Incident]:
        """Yield open incidents of groups that are watched no more: their rule is gone, off, or groups otherwise."""
        query = Query(limit=1000)
        while True:
            page = self._store.incidents(project_id, query, states=OPEN)
            for row in page.rows:
                each = row.record
                if each.kind in _OURS and each.rule not in RESERVED and each.monitor_id not in known.posts:
                    yield each
            if page.next is None:
                return
            query = Query(limit=1000, after=page.next)

    def _hold(self, known: _Project, rule: Rule, monitor: Monitor) -> Post:
        place = monitor.life.get("place")
        if place is None or place in known.places:
            place = known.last_place + 1
            monitor = msgspec.structs.replace(monitor, life={**monitor.life, "place": place})
        known.places.add(place)
        known.last_place = max(known.last_place, place)
        budget = self._settings.monitoring.false_alarms_per_month
        post = known.posts[monitor.id] = Post(rule, monitor, budget, awake_since=self._awake_since)
        known.groups.setdefault((rule.name, monitor.feature), set()).add(monitor.id)
        return post

    def _source(self, source: RuleSource, now: datetime) -> int:
        """Feed one batch of a source to the rules that hear it."""
        hearing = {
            project_id: [
                rule for rule in known.rules or () if rule.spec.enabled and source_of(rule.spec.metric) == source
            ]
            for project_id, known in self._projects.items()
        }
        if not any(hearing.values()):
            self._idle(source, now)
            return 0
        cursor = self._store.cursor(CURSORS[source]) or self._begin(source)
        reached, heard = heard_after(self._store, source, cursor, self._settings.engine.batch_rows, hearing, now)
        if reached == cursor:
            return 0
        writes = {project_id: self._feed(project_id, source, items, now) for project_id, items in heard.items()}
        self._store.commit(writes, cursors={CURSORS[source]: reached})
        return reached - cursor

    def _begin(self, source: RuleSource) -> int:
        """Return where the first watch of a source begins to hear: now, not years ago. It is written down at once."""
        here = self._store.cursor("detect") if source == "votes" else self._store.last_seq("inferences")
        if here:
            self._store.commit({}, cursors={CURSORS[source]: here})
        return here

    def _idle(self, source: RuleSource, now: datetime) -> None:
        """Let the cursor of a source that nobody hears any more go along, or its next watch would hear old history."""
        last = self._idle_at.get(source)
        if last is not None and abs(now - last) < _IDLE_EVERY:
            return
        self._idle_at[source] = now
        if self._store.cursor(CURSORS[source]):
            self._begin(source)

    def _feed(self, project_id: str, source: RuleSource, items: Sequence[Heard], now: datetime) -> Writes:
        """Let each group hear its samples; return what is to be written."""
        writes = Writes()
        desk = Desk(self._store, project_id, now, writes)
        touched: dict[str, Post] = {}
        by_post: dict[str, list[Heard]] = {}
        for item in items:
            post = self._post(project_id, item, now)
            touched[post.id] = post
            by_post.setdefault(post.id, []).append(item)
        pairs = [(post_id, item.sample.who) for post_id, heard in by_post.items() for item in heard]
        counted = dict(self._store.votes_of(pairs)) if source in _CAPPED else {}
        # A wider watch speaks first, so that it can mute the narrower in the same batch.
        for post_id in sorted(by_post, key=lambda each: bool(touched[each].rule.spec.inhibited_by)):
            post, heard = touched[post_id], by_post[post_id]
            desk.notice_closed(post)
            window = timedelta(hours=post.rule.spec.window_hours)
            for item in heard:
                if source in _CAPPED:
                    key, at = (post_id, item.sample.who), item.sample.at
                    last = counted.get(key)
                    if last is not None and at < last + window:
                        continue
                    counted[key] = at
                    writes.votes.append(Vote(*key, at))
                if moves := post.take(item.sample, now):
                    desk.carry_out(post, moves, item.group)
            moves, _ = post.settle(now)
            desk.carry_out(post, moves, heard[-1].group)
            writes.monitors.append(post.record())
        return writes

    def _sweep(self, project_id: str, now: datetime) -> None:
        """Let time alone move what waits: pending alarms, recoveries, silence."""
        known = self._projects[project_id]
        if known.swept_at is not None and abs(now - known.swept_at) < _SWEEP_EVERY:
            return
        known.swept_at = now
        writes = Writes()
        desk = Desk(self._store, project_id, now, writes)
        for post in [post for post in known.posts.values() if post.waits]:
            desk.notice_closed(post)
            moves, changed = post.settle(now)
            desk.carry_out(post, moves)
            if changed:
                writes.monitors.append(post.record())
        if writes.monitors or writes.incidents:
            self._store.commit({project_id: writes})

    def _post(self, project_id: str, item: Heard, now: datetime) -> Post:
        known, rule = self._projects[project_id], item.rule
        group = item.group
        monitor_id = _monitor_id(project_id, rule, item.feature, group)
        found = known.posts.get(monitor_id)
        if found is not None:
            return found
        held = known.groups.get((rule.name, item.feature), set())
        if len(held) >= rule.spec.max_groups:
            group = dict.fromkeys(group, OTHER)
            monitor_id = _monitor_id(project_id, rule, item.feature, group)
            if monitor_id in known.posts:
                return known.posts[monitor_id]
        return self._hold(known, rule, fresh_monitor(project_id, rule, item.feature, group, now))


def fresh_monitor(project_id: str, rule: Rule, feature: str, group: Mapping[str, str], now: datetime) -> Monitor:
    """Return the monitor of a group that was never heard of before."""
    spec = rule.spec
    return Monitor(
        id=_monitor_id(project_id, rule, feature, group),
        feature=feature,
        version_id=_version_of(group),
        reference_kind="target" if spec.reference_rate is not None else "learning",
        created_at=now,
        reference=spec.reference_rate,
        rule=rule.name,
        metric=spec.metric,
        segment={key: value for key, value in group.items() if key != "version"},
    )


def _is_grouped_by(rule: Rule, monitor: Monitor) -> bool:
    keys = set(rule.spec.group_by)
    return set(monitor.segment) == keys - {"version"} and (monitor.version_id == ANY) == ("version" not in keys)


def _version_of(group: Mapping[str, str]) -> str:
    version = group.get("version", ANY)
    return version if version[:1].isalnum() else "unversioned"


def _monitor_id(project_id: str, rule: Rule, feature: str, group: Mapping[str, str]) -> str:
    told = msgspec.json.encode(dict(group), order="sorted").decode()
    return derived_id("monitor", project_id, rule.name, feature, told)
