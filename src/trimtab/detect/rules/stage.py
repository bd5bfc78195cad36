"""The stage of declared watches: three cursors, one monitor per rule and group, incidents that open and recover."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from trimtab.config import Settings
from trimtab.detect.rules.hearing import Heard, heard_after
from trimtab.detect.rules.post import Move, Post
from trimtab.detect.rules.rule import Rule, RuleSource, rules_of, source_of
from trimtab.errors import ConfigError, InvalidField
from trimtab.ids import derived_id
from trimtab.records import Incident, Monitor, Silence
from trimtab.stats.budget import share_of_budget
from trimtab.store.ports import CatalogStore, EventStore, JudgementStore, LoopStore, Query, RedactionStore, Vote, Writes

__all__ = ["ANY", "CURSORS", "OTHER", "RulesStage", "fresh_monitor"]

CURSORS: dict[RuleSource, str] = {"votes": "watch.votes", "answers": "watch.answers", "mature": "watch.mature"}
ANY = "any"
"""The version under which a group is kept that holds answers of all versions."""
OTHER = "(other)"
"""The value of groups that came when the watch had `max_groups` of them."""

_RULES_READ_EVERY = timedelta(seconds=5)
_SWEEP_EVERY = timedelta(seconds=10)
_CAPPED: tuple[RuleSource, ...] = ("votes", "mature")


class RulesStore(EventStore, JudgementStore, LoopStore, CatalogStore, RedactionStore, Protocol):
    """What this stage needs of the store."""


class _Project:
    """What is remembered of a project between ticks: this stage alone writes these rows."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.read_at: datetime | None = None
        self.swept_at: datetime | None = None
        self.posts: dict[str, Post] = {}
        self.groups: dict[tuple[str, str], set[str]] = {}
        self.born = 0


class RulesStage:
    """Feeds answers and judgements to the declared watches, at most one per person and window where people speak.

    Monitors, caps, incidents and the cursors are committed together. A watch hears what comes after it was declared.
    Raises ConfigError for a watch in the settings that cannot be.
    """

    name = "watch"

    def __init__(self, store: RulesStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._projects: dict[str, _Project] = {}
        try:
            rules_of(settings.monitors, ())
        except InvalidField as error:
            raise ConfigError(error.message, param="monitors") from None

    def tick(self, now: datetime) -> int:
        """Handle at most one batch of each source and return how many rows that was."""
        projects = [project.id for project in self._store.projects()]
        for project_id in projects:
            self._know(project_id, now)
        return sum(self._source(source, now) for source in CURSORS) + sum(
            self._sweep(project_id, now) for project_id in projects
        )

    def forget(self) -> None:
        """Read everything anew at the next tick: a rule was declared, or another process wrote."""
        self._projects.clear()

    def _know(self, project_id: str, now: datetime) -> None:
        known = self._projects.setdefault(project_id, _Project())
        if known.read_at is not None and abs(now - known.read_at) < _RULES_READ_EVERY:
            return
        known.read_at = now
        rules = rules_of(self._settings.monitors, self._store.rules(project_id))
        if rules == known.rules:
            return
        known.rules = rules
        known.posts, known.groups, known.born = {}, {}, 0
        for rule in rules:
            for monitor in self._store.monitors(project_id, None, rule.name):
                self._hold(known, rule, monitor)

    def _hold(self, known: _Project, rule: Rule, monitor: Monitor) -> Post:
        known.born += 1
        alpha = share_of_budget(self._settings.monitoring.false_alarms_per_month, known.born)
        post = known.posts[monitor.id] = Post(rule, monitor, alpha)
        known.groups.setdefault((rule.name, monitor.feature), set()).add(monitor.id)
        return post

    def _source(self, source: RuleSource, now: datetime) -> int:
        """Feed one batch of a source to the rules that hear it."""
        hearing = {
            project_id: [rule for rule in known.rules if rule.spec.enabled and source_of(rule.spec.metric) == source]
            for project_id, known in self._projects.items()
        }
        if not any(hearing.values()):
            return 0
        cursor = self._store.cursor(CURSORS[source]) or self._begin(source)
        reached, heard = heard_after(self._store, source, cursor, self._settings.engine.batch_rows, hearing, now)
        if reached == cursor:
            return 0
        writes = {project_id: self._feed(project_id, source, items, now) for project_id, items in heard.items()}
        self._commit(writes, {CURSORS[source]: reached})
        return reached - cursor

    def _begin(self, source: RuleSource) -> int:
        """Return where the first watch of a source begins to hear: now, not years ago. It is written down at once."""
        here = self._store.cursor("detect") if source == "votes" else self._store.last_seq("inferences")
        if here:
            self._store.commit({}, cursors={CURSORS[source]: here})
        return here

    def _feed(self, project_id: str, source: RuleSource, items: Sequence[Heard], now: datetime) -> Writes:
        """Let each group hear its samples; return what is to be written."""
        writes = Writes()
        touched: dict[str, Post] = {}
        by_post: dict[str, list[Heard]] = {}
        for item in items:
            post = self._post(project_id, item, now)
            touched[post.id] = post
            by_post.setdefault(post.id, []).append(item)
        # A wider watch speaks first, so that it can mute the narrower in the same batch.
        for post_id in sorted(by_post, key=lambda each: bool(touched[each].rule.spec.inhibited_by)):
            post, heard = touched[post_id], by_post[post_id]
            self._notice_closed(project_id, post)
            window = timedelta(hours=post.rule.spec.window_hours)
            counted = dict(self._store.votes(post_id, [item.key for item in heard])) if source in _CAPPED else {}
            for item in heard:
                if source in _CAPPED:
                    last = counted.get(item.key)
                    if last is not None and item.sample.at < last + window:
                        continue
                    counted[item.key] = item.sample.at
                    writes.votes.append(Vote(post_id, item.key, item.sample.at))
                self._carry_out(project_id, post, post.take(item.sample, now), now, writes)
        for post in touched.values():
            self._carry_out(project_id, post, post.settle(now), now, writes)
            writes.monitors.append(post.record())
        return writes

    def _sweep(self, project_id: str, now: datetime) -> int:
        """Let time alone move what waits: pending alarms, recoveries, silence."""
        known = self._projects[project_id]
        if known.swept_at is not None and abs(now - known.swept_at) < _SWEEP_EVERY:
            return 0
        known.swept_at = now
        writes = Writes()
        for post in [post for post in known.posts.values() if post.waits]:
            self._notice_closed(project_id, post)
            before = msgspec.json.encode(post.record().life)
            self._carry_out(project_id, post, post.settle(now), now, writes)
            if msgspec.json.encode(post.record().life) != before:
                writes.monitors.append(post.record())
        if writes.monitors or writes.incidents:
            self._commit({project_id: writes}, {})
        return 0

    def _commit(self, writes: Mapping[str, Writes], cursors: Mapping[str, int]) -> None:
        try:
            self._store.commit(writes, cursors=cursors)
        except BaseException:
            self.forget()  # what the posts remember was not written
            raise

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

    def _notice_closed(self, project_id: str, post: Post) -> None:
        """Let a group go on when a person, or what is served, has closed its incident."""
        if post.open_incident is None:
            return
        incident = self._store.incident(project_id, post.open_incident)
        if incident is not None and incident.state == "resolved":
            post.let_go(incident.resolved_at or incident.detected_at)

    def _carry_out(self, project_id: str, post: Post, moves: Iterable[Move], now: datetime, writes: Writes) -> None:
        for move in moves:
            if move.verb == "open" and move.incident is not None:
                if self._muted(project_id, post, move.incident, now, writes):
                    post.dismiss()
                else:
                    writes.incidents.append(move.incident)
                continue
            held = self._current(project_id, post, writes)
            if held is None:
                continue
            writes.incidents = [each for each in writes.incidents if each.id != held.id]
            writes.incidents.append(_moved(held, move, now))

    def _current(self, project_id: str, post: Post, writes: Writes) -> Incident | None:
        """Return the group's open incident: as it stands in this batch, else as it is stored."""
        fresh = [each for each in writes.incidents if each.monitor_id == post.id]
        if fresh:
            return fresh[-1]
        states = ("firing", "recovering")
        feature = post.record().feature
        rows = self._store.incidents(project_id, Query(feature=feature, limit=1000), states=states).rows
        return next((row.record for row in rows if row.record.monitor_id == post.id), None)

    def _muted(self, project_id: str, post: Post, incident: Incident, now: datetime, writes: Writes) -> bool:
        """Say whether an alarm is kept quiet: by a silence, or since a wider watch has an incident open."""
        if any(_silences(each, incident) for each in self._store.silences(project_id, now)):
            return True
        wider = post.rule.spec.inhibited_by
        if not wider:
            return False
        query = Query(feature=incident.feature, limit=1000)
        rows = self._store.incidents(project_id, query, states=("firing",)).rows
        fresh = (each for each in writes.incidents if each.feature == incident.feature and each.state == "firing")
        return any(each.rule in wider for each in (*fresh, *(row.record for row in rows)))


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


def _moved(incident: Incident, move: Move, now: datetime) -> Incident:
    if move.verb == "recover":
        return msgspec.structs.replace(incident, state="recovering")
    if move.verb == "refire":
        return msgspec.structs.replace(incident, state="firing")
    return msgspec.structs.replace(incident, state="resolved", resolution="verified", resolved_at=now)


def _silences(silence: Silence, incident: Incident) -> bool:
    return silence.rule == incident.rule and silence.feature in (None, incident.feature)


def _version_of(group: Mapping[str, str]) -> str:
    version = group.get("version", ANY)
    return version if version[:1].isalnum() else "unversioned"


def _monitor_id(project_id: str, rule: Rule, feature: str, group: Mapping[str, str]) -> str:
    told = msgspec.json.encode(dict(group), order="sorted").decode()
    return derived_id("monitor", project_id, rule.name, feature, told)
