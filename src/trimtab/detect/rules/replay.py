"""What a watch would have found, had it been there: stored history heard once more, with nothing written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.config import Settings
from trimtab.detect.rules.hearing import Heard, HearingStore, heard_in
from trimtab.detect.rules.post import Move, Post
from trimtab.detect.rules.rule import Rule, source_of
from trimtab.detect.rules.stage import fresh_monitor
from trimtab.records import Incident
from trimtab.stats.budget import share_of_budget
from trimtab.store.ports import Query, Stored

__all__ = ["MOST_ROWS", "Replay", "replay"]

MOST_ROWS = 200_000
_PAGE = 1000
_SETTLE_EVERY = timedelta(minutes=1)


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
    """Let the watch hear the hot window's history in [since, until), at most `MOST_ROWS` rows, oldest first."""
    posts: dict[str, Post] = {}
    counted: dict[tuple[str, str], datetime] = {}
    incidents: dict[str, Incident] = {}
    rows = samples = 0
    clock = settled = since
    capped = source_of(rule.spec.metric) != "answers"
    wait = timedelta(hours=rule.spec.maturity_hours if source_of(rule.spec.metric) == "mature" else 0)
    for place, item in _history(store, project_id, rule, since, until):
        rows = place
        if item is None:
            continue
        clock = max(clock, item.sample.at + wait)
        monitor = fresh_monitor(project_id, rule, item.feature, item.group, clock)
        post = posts.get(monitor.id)
        if post is None:
            alpha = share_of_budget(settings.monitoring.false_alarms_per_month, len(posts) + 1)
            post = posts[monitor.id] = Post(rule, monitor, alpha)
        last = counted.get((post.id, item.key))
        if capped and last is not None and item.sample.at < last + timedelta(hours=rule.spec.window_hours):
            continue
        counted[post.id, item.key] = item.sample.at
        samples += 1
        _note(incidents, post, post.take(item.sample, clock), clock)
        if clock - settled >= _SETTLE_EVERY:
            settled = clock
            for each in posts.values():
                _note(incidents, each, each.settle(clock), clock)
    complete = rows < MOST_ROWS
    return Replay(
        since=since,
        until=until if complete else clock,
        rows=rows,
        samples=samples,
        groups=len(posts),
        incidents=list(incidents.values()),
        complete=complete,
    )


def _note(incidents: dict[str, Incident], post: Post, moves: list[Move], now: datetime) -> None:
    for move in moves:
        if move.incident is not None:
            incidents[move.incident.id] = move.incident
            continue
        held = next((each for each in reversed(incidents.values()) if each.monitor_id == post.id), None)
        if held is not None and move.verb == "resolve":
            over = msgspec.structs.replace(held, state="resolved", resolution="verified", resolved_at=now)
            incidents[held.id] = over


def _history(
    store: HearingStore, project_id: str, rule: Rule, since: datetime, until: datetime
) -> Iterator[tuple[int, Heard | None]]:
    """Yield how many rows were read, and what each of them lets be heard."""
    rules: Mapping[str, list[Rule]] = {project_id: [rule]}
    source, read, after = source_of(rule.spec.metric), 0, None
    while read < MOST_ROWS:
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
        heard = heard_in(store, source, found, rules).get(project_id, [])
        for place in range(len(found) - len(heard)):
            yield read + place + 1, None
        read += len(found)
        for item in heard:
            yield read, item
        if after is None:
            return
