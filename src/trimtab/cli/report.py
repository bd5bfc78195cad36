"""`trimtab report`: how fast the loop learns, from first bad signal to verified fix."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from trimtab.cli.counts import SentOption, counted, show_counts
from trimtab.cli.failure import told_plainly
from trimtab.cli.place import ConfigOption, DataOption, loaded
from trimtab.clock import Clock, SystemClock
from trimtab.errors import InvalidField, NotFound
from trimtab.measure.velocity import Median, Velocity, velocity
from trimtab.runtime.kept_clock import KeptClock
from trimtab.runtime.parts import DATABASE, open_store

__all__ = ["report"]

_DATE_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def report(
    *,
    feature: Annotated[str | None, typer.Option(help="Only of this feature.", show_default=False)] = None,
    project: Annotated[str, typer.Option(help="Of this project.")] = "default",
    since: Annotated[
        datetime | None, typer.Option(formats=_DATE_FORMATS, help="From then on (UTC).", show_default="the beginning")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=_DATE_FORMATS, help="Before then (UTC).", show_default="now")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    sent: SentOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show learning velocity and whether every count agrees; status 1 where something is lost. Also beside a server."""
    with told_plainly():
        settings = loaded(config, data).settings
        folder = Path(settings.storage.path)
        if not settings.storage.url and not (folder / DATABASE).exists():
            raise NotFound(f"no store in {str(folder)!r}; name one with --data, or start `trimtab serve`")
        clock: Clock = KeptClock(folder) if settings.server.clock == "set" else SystemClock()
        store = open_store(settings)
        try:
            made = next((item.created_at for item in store.projects() if item.id == project), None)
            if made is None:
                raise NotFound(f"no project {project!r} in {str(folder)!r}")
            begin, end = _utc(since) or made, _utc(until) or clock.now()
            if begin > end:
                raise InvalidField(f"expected since before until, got {begin.isoformat()} and {end.isoformat()}")
            found = velocity(store, project, since=begin, until=end, feature=feature)
            counts = counted(settings, store, sent)
        finally:
            store.close()
    if json:
        told = {**msgspec.to_builtins(found), "counts": counts}
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    else:
        _print(found, feature)
        show_counts(counts)
    if not counts.whole:
        raise typer.Exit(1)


def _utc(when: datetime | None) -> datetime | None:
    return when.replace(tzinfo=UTC) if when is not None else None


def _print(found: Velocity, feature: str | None) -> None:
    console = Console()
    of = f" of {feature}" if feature else ""
    table = Table("step", "median", "95% interval", "done of n", title=f"Learning velocity{of}")
    for name, median in (
        ("first bad signal to detection", found.time_to_detect),
        ("detection to the first user served a change", found.time_to_change),
        ("that to the verdict that it helped", found.time_to_verify),
        ("first bad signal to verified fix", found.time_to_verified_fix),
    ):
        table.add_row(name, _span(median.seconds), _interval(median), f"{median.done} of {median.n}")
    console.print(table)
    console.print(
        f"{found.since:%Y-%m-%d} to {found.until:%Y-%m-%d}: {found.incidents} incidents, {found.verified} verified, "
        f"{found.open} open, {found.dismissed} closed by hand; {found.changes_exposed} changes shown to users, "
        f"{found.changes_failed} of them failed, {found.changes_blocked} stopped by the gate; "
        f"{found.verified_per_week:.2f} verified fixes a week."
    )
    if found.incidents:
        console.print("Medians are Kaplan-Meier: what is still open counts with its age so far.", style="dim")


def _interval(median: Median) -> str:
    if median.n == 0:
        return ""
    return f"{_span(median.low)} to {_span(median.high)}"


def _span(seconds: float | None) -> str:
    """Return a length of time as people say it; a dash for one the data do not reach."""
    if seconds is None:
        return "-"
    span = timedelta(seconds=round(seconds))
    if span < timedelta(seconds=2 * _MINUTE):
        return f"{seconds:.0f} s"
    if span < timedelta(seconds=2 * _HOUR):
        return f"{seconds / _MINUTE:.0f} min"
    if span < timedelta(seconds=2 * _DAY):
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _DAY:.1f} days"
