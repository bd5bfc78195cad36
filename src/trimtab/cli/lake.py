"""`trimtab lake`: look at the lake, tidy it, prove that it is whole; also while the server runs."""

from __future__ import annotations

import json as json_
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

from trimtab.cli.failure import told_plainly
from trimtab.cli.place import ConfigOption, DataOption, loaded
from trimtab.clock import SystemClock
from trimtab.config import Settings
from trimtab.runtime.parts import (
    DATABASE,
    open_store,
)
from trimtab.store.lake.delta import DeltaLake, open_lake
from trimtab.store.lake.place import place_of
from trimtab.store.lake.port import LAKE_TABLES, LakeTable, Progress
from trimtab.store.ports import HotStore, PurgeMark

__all__ = ["lake"]

lake = typer.Typer(help="Look at the lake, tidy it, prove that it is whole.", no_args_is_help=True)

_PATIENCE_S = 30.0
_UNSOUND = 1

JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]


class _Held(NamedTuple):
    """What the hot store holds of one table beside the lake, and what has gone from there."""

    hot_rows: int
    hot_oldest: datetime | None
    purged_rows: int


@lake.command()
def status(*, json: JsonOption = False, config: ConfigOption = None, data: DataOption = None) -> None:
    """Show what each table holds, what the hot store holds of it, and what has gone from there."""
    with told_plainly(), ExitStack() as stack:
        store, settings = stack.enter_context(_lake(config, data))
        hot = _hot(settings, stack)
        found = [store.stats(table) for table in LAKE_TABLES]
        held = {table: _held(hot, table) for table in LAKE_TABLES} if hot is not None else {}
    if json:
        beside = {table: msgspec.to_builtins(one._asdict()) for table, one in held.items()}
        typer.echo(json_.dumps([{**stats._asdict(), **beside.get(stats.table, {})} for stats in found], indent=2))
        return
    table = Table("table", "rows", "files", "MB", "version", "up to seq", title=store.place.uri)
    for stats in found:
        size = f"{stats.size_bytes / 1e6:.1f}"
        table.add_row(stats.table, f"{stats.rows:,}", f"{stats.files:,}", size, str(stats.version), f"{stats.cursor:,}")
    Console().print(table)
    if held:
        near = Table("table", "rows held", "oldest came in", "rows gone", title="the hot store beside it")
        for name, one in held.items():
            oldest = f"{one.hot_oldest:%Y-%m-%d %H:%M}" if one.hot_oldest else ""
            near.add_row(name, f"{one.hot_rows:,}", oldest, f"{one.purged_rows:,}")
        Console().print(near)


def _hot(settings: Settings, stack: ExitStack) -> HotStore | None:
    """Open the hot store, unless there is none yet."""
    if not settings.storage.url and not (Path(settings.storage.path) / DATABASE).exists():
        return None
    hot = open_store(settings)
    stack.callback(hot.close)
    return hot


def _held(hot: HotStore, table: LakeTable) -> _Held:
    span, mark = hot.hot_span(table), hot.purge_marks().get(table, PurgeMark())
    return _Held(span.rows, span.oldest, mark.rows)


@lake.command()
def compact(*, config: ConfigOption = None, data: DataOption = None) -> None:
    """Rewrite days of many small files into few large ones. The server does so by itself; this is for at once."""
    with told_plainly(), _lake(config, data) as (store, _), _shown() as progress:
        fewer = {table: store.compact(table, progress=progress) for table in LAKE_TABLES}
    for name, files in fewer.items():
        typer.echo(f"{name}: {files:,} files fewer")


@lake.command()
def vacuum(
    *,
    hours: Annotated[
        int | None,
        typer.Option(min=0, help="Keep what a reader that old may still use.", show_default="lake.vacuum_hours"),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Remove files that compaction and erasure have left behind, and those of writers that were killed."""
    with told_plainly(), _lake(config, data) as (store, settings), _shown() as progress:
        keep = settings.lake.vacuum_hours if hours is None else hours
        gone = {table: store.vacuum(table, retention_hours=keep, progress=progress) for table in LAKE_TABLES}
    for name, files in gone.items():
        typer.echo(f"{name}: {files:,} files removed")


@lake.command()
def verify(*, json: JsonOption = False, config: ConfigOption = None, data: DataOption = None) -> None:
    """Read everything and compare rows, files, log and hot store. Ends with status 1 when something is wrong."""
    with told_plainly(), ExitStack() as stack:
        store, settings = stack.enter_context(_lake(config, data))
        hot = _hot(settings, stack)
        progress = stack.enter_context(_shown())
        found = [store.verify(table, hot, progress=progress) for table in LAKE_TABLES]
    sound = all(one.sound for one in found)
    if json:
        typer.echo(json_.dumps([{**one._asdict(), "sound": one.sound} for one in found], indent=2))
    else:
        table = Table("", *LAKE_TABLES)
        for name in ("rows", "files", "missing_files", "spare_files", "duplicates", "gaps", "returned"):
            table.add_row(name.replace("_", " "), *(f"{getattr(one, name):,}" for one in found))
        table.add_row("verdict", *("sound" if one.sound else "[red]not sound[/red]" for one in found))
        Console().print(table)
        if hot is None:
            typer.echo("There is no hot store here to compare with: gaps were not looked for.", err=True)
    if not sound:
        raise typer.Exit(_UNSOUND)


@contextmanager
def _lake(config: Path | None, data: Path | None) -> Iterator[tuple[DeltaLake, Settings]]:
    settings = loaded(config, data).settings
    place = place_of(settings.lake, Path(settings.storage.path), os.environ)
    store = open_lake(place, SystemClock(), patience_s=_PATIENCE_S)
    try:
        yield store, settings
    finally:
        store.close()


@contextmanager
def _shown() -> Iterator[Progress]:
    """Show progress on standard error while it lasts."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(what: str, done: int, parts: int) -> None:
            bar.update(task, description=what, completed=done, total=max(parts, 1))

        yield tell
