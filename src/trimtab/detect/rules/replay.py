"""What a watch would have found, had it been there: stored history heard once more, with nothing written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.config import Settings
from trimtab.detect.rules.desk import moved
from trimtab.detect.rules.hearing import Heard, HearingStore, heard_in
from trimtab.detect.rules.post import Move, Post
from trimtab.detect.rules.rule import Rule, source_of
from trimtab.detect.rules.sampling import OTHER
from trimtab.detect.rules.stage import fresh_monitor
from trimtab.records import Incident
from trimtab.store.ports import Query, Stored

__all__ = ["MOST_INPUTS", "MOST_ROWS", "Replay", "replay"]

MOST_ROWS = 200_000
MOST_INPUTS = 50_000  # what was asked is larger than whether it went well
_PAGE = 1000
_SWEEP_EVERY = timedelta(seconds=10)


class Replay(Struct, frozen=True, kw_only=True):
    """What came of it: rows read, samples heard, groups, and the incidents in the order they would have opened in.

    `complete` is false when there was more history than is read at a time; `until` then says how far it went.
    """

    since: datetime
    until: datetime
    rows: int
    samples: int
    groups: int
    incidents: list[Incident]
    complete: bool


def replay(
    store: HearingStore, project_id: str, rule: Rule, settings: Settings, since: datetime, until: datetime
) -> Replay:
    """Let the watch hear the hot window's history in [since, until), at most `MOST_ROWS` rows, oldest first.

    Of a watch on inputs it is `MOST_INPUTS`.

    As it would have been live, had each sample been heard the moment it came; silences and wider watches are left out.
    """
    rows, heard = _history(store, project_id, rule, since, until)
    complete = rows < (MOST_INPUTS if source_of(rule.spec.metric) == "inputs" else MOST_ROWS)
    hearing = _Hearing(project_id, rule, settings.monitoring.false_alarms_per_month, since)
    for item in heard:
        hearing.take(item)
    if complete:
        hearing.sweep(until)
    return Replay(
        since=since,
        until=until if complete else hearing.clock,
        rows=rows,
        samples=hearing.samples,
        groups=len(hearing.posts),
        incidents=list(hearing.incidents.values()),
        complete=complete,
    )


class _Hearing:
    """The groups of one watch while history is heard once more."""

    def __init__(self, project_id: str, rule: Rule, budget: float, since: datetime) -> None:
        self._project_id = project_id
        self._rule = rule
        self._budget = budget
        source = source_of(rule.spec.metric)
        self._capped = source != "answers"
        self._wait = timedelta(hours=rule.spec.maturity_hours if source == "mature" else 0)
        self._window = timedelta(hours=rule.spec.window_hours)
        self._counted: dict[tuple[str, str], datetime] = {}
        self._swept: datetime | None = None
        self.clock = since
        self.samples = 0
        self.posts: dict[str, Post] = {}
        self.incidents: dict[str, Incident] = {}

    def take(self, item: Heard) -> None:
        """Let its group hear one sample, and time pass up to then."""
        self.clock = max(self.clock, item.sample.at + self._wait)
        post = self._post(item)
        key, at = (post.id, item.sample.who), item.sample.at
        last = self._counted.get(key)
        if not (self._capped and last is not None and at < last + self._window):
            self._counted[key] = at
            self.samples += 1
            self._note(post.take(item.sample, self.clock))
        self._note(post.settle(self.clock)[0])
        if self._swept is None or self.clock - self._swept >= _SWEEP_EVERY:
            self.sweep(self.clock)

    def sweep(self, now: datetime) -> None:
        """Let time alone move what waits."""
        self._swept = now
        for post in [post for post in self.posts.values() if post.waits]:
            self._note(post.settle(now)[0])

    def _post(self, item: Heard) -> Post:
        group = item.group
        monitor = fresh_monitor(self._project_id, self._rule, item.feature, group, self.clock)
        if monitor.id not in self.posts:
            held = sum(post.feature == item.feature for post in self.posts.values())
            if held >= self._rule.spec.max_groups:
                other = dict.fromkeys(group, OTHER)
                monitor = fresh_monitor(self._project_id, self._rule, item.feature, other, self.clock)
        if monitor.id not in self.posts:
            monitor = msgspec.structs.replace(monitor, life={"place": len(self.posts) + 1})
            self.posts[monitor.id] = Post(self._rule, monitor, self._budget)
        return self.posts[monitor.id]

    def _note(self, moves: list[Move]) -> None:
        for move in moves:
            if move.incident is not None:
                self.incidents[move.incident_id] = move.incident
            elif move.incident_id in self.incidents:
                self.incidents[move.incident_id] = moved(self.incidents[move.incident_id], move, self.clock)


def _history(
    store: HearingStore, project_id: str, rule: Rule, since: datetime, until: datetime
) -> tuple[int, list[Heard]]:
    """Return how many rows were read, and what they let be heard, in the order in which it was said."""
    rules: Mapping[str, list[Rule]] = {project_id: [rule]}
    source, read, after = source_of(rule.spec.metric), 0, None
    heard: list[Heard] = []
    groups: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    most = MOST_INPUTS if source == "inputs" else MOST_ROWS
    while read < most:
        query = Query(
            feature=rule.spec.feature or None, since=since, until=until, after=after, limit=_PAGE, newest=False
        )
        found: list[Stored[Any]]
        if source == "votes":
            judged = store.list_outcomes(project_id, query)
            found, after = list(judged.rows), judged.next
        else:
            served = store.list_inferences(project_id, query)
            found, after = list(served.rows), served.next
        read += len(found)
        for item in heard_in(store, source, found, rules).get(project_id, []):
            group = groups.setdefault(tuple(item.group.items()), item.group)  # many samples, few groups
            heard.append(item._replace(group=group))
        if after is None:
            break
    heard.sort(key=lambda item: item.sample.at)
    return read, heard
