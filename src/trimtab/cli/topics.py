"""`trimtab topics`: what people keep saying, with its trend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple, get_args

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trimtab.cli.failure import told_plainly
from trimtab.cli.place import ConfigOption, DataOption, loaded
from trimtab.errors import InvalidField, NotFound
from trimtab.records import Topic, TopicRun, TopicState, TopicSurvey
from trimtab.runtime.parts import (
    DATABASE,
    open_store,
)
from trimtab.store.ports import HotStore, Query

__all__ = ["sparkline", "topics"]

_BARS = "▁▂▃▄▅▆▇█"
_RUNS_LOOKED_AT = 200


class _Seen(NamedTuple):
    """What the store says: topics, and the last run that looked here with what it found."""

    items: list[Topic]
    run: TopicRun | None
    survey: TopicSurvey | None


def topics(
    *,
    feature: Annotated[
        str | None, typer.Option(help="Of this feature; else of the whole project.", show_default=False)
    ] = None,
    project: Annotated[str, typer.Option(help="Of this project.")] = "default",
    state: Annotated[str, typer.Option(help="live, gone, or both with a comma between.")] = "live",
    limit: Annotated[int, typer.Option(min=1, help="Show the largest so many.")] = 30,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show what people keep saying: size, people, trend, and what is emerging. Also while the server runs."""
    with told_plainly():
        settings = loaded(config, data).settings
        folder = Path(settings.storage.path)
        if not settings.storage.url and not (folder / DATABASE).exists():
            raise NotFound(f"no store in {str(folder)!r}; name one with --data, or start `trimtab serve`")
        states = _states(state)
        store = open_store(settings)
        try:
            if project not in {item.id for item in store.projects()}:
                raise NotFound(f"no project {project!r} in {str(folder)!r}")
            seen = _seen(store, project, feature, states)
        finally:
            store.close()
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(seen.items[:limit]), indent=2).decode())
    else:
        _print(seen, feature, limit, settings.topics.window_days)


def _states(told: str) -> tuple[TopicState, ...]:
    states: tuple[TopicState, ...] = get_args(TopicState)
    named = {part.strip() for part in told.split(",")}
    if not named <= set(states):
        raise InvalidField(f"expected --state live, gone or live,gone, got {told!r}", param="state")
    return tuple(each for each in states if each in named)


def _seen(store: HotStore, project: str, feature: str | None, states: Sequence[TopicState]) -> _Seen:
    items = store.topics(project, feature, states)
    for row in store.topic_runs(project, Query(limit=_RUNS_LOOKED_AT), ("done",)).rows:
        for survey in row.record.surveys:
            if survey.feature == feature:
                return _Seen(items, row.record, survey)
    return _Seen(items, None, None)


def _print(seen: _Seen, feature: str | None, limit: int, window_days: float) -> None:
    console = Console()
    of = feature or "the whole project"
    if seen.run is None or seen.survey is None or seen.run.started_at is None:
        console.print(
            Text(
                f"Nobody has looked for topics of {of} yet: the server does so once a day, or on POST /v1/topics/runs."
            )
        )
        return
    until = seen.run.started_at.astimezone(UTC)
    days = int(window_days)
    table = Table("topic", "texts", "people", f"the last {days} days", "", title=Text(f"Topics of {of}"))
    for topic in seen.items[:limit]:
        mark = "emerging" if topic.emerging else ("gone" if topic.state == "gone" else "")
        trend = sparkline(_course(topic, until, days))
        table.add_row(Text(_label(topic)), f"{topic.size:,}", f"{topic.users:,}", trend, mark)
    console.print(table)
    survey = seen.survey
    more = f", {len(seen.items) - limit} more with --limit" if len(seen.items) > limit else ""
    console.print(
        f"Found {until:%Y-%m-%d %H:%M} UTC in {survey.texts:,} of {survey.said:,} texts{more}; "
        f"{survey.outliers:,} of them ({survey.outlier_share:.0%}) belong to no topic."
    )


def _label(topic: Topic) -> str:
    words = ", ".join(topic.words)
    return f"{topic.name} ({words})" if topic.name else words


def _course(topic: Topic, until: datetime, days: int) -> list[int]:
    """Return the texts of each of the last days, the oldest first."""
    said = {day.day: day.events for day in topic.days}
    last: date = until.date()
    return [said.get((last - timedelta(days=back)).isoformat(), 0) for back in range(days - 1, -1, -1)]


def sparkline(values: Sequence[int]) -> str:
    """Return one bar a value, the highest for the greatest; a blank for none.

    >>> sparkline([0, 1, 4, 8])
    ' ▁▄█'
    """
    most = max(values, default=0)
    return "".join(" " if value <= 0 else _BARS[max(0, -(-value * len(_BARS) // most) - 1)] for value in values)
