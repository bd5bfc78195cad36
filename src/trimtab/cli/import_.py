"""`trimtab import`: files of inferences, feedback or labelled texts through the ordinary intake."""

from __future__ import annotations

import json as json_
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from trimtab.cli.failure import told_plainly
from trimtab.cli.place import ConfigOption, DataOption, loaded
from trimtab.cli.progress import Tell, bar
from trimtab.clock import SystemClock
from trimtab.config import Ingest, Settings
from trimtab.errors import InvalidField, NotFound
from trimtab.ingest.decode import decode_many
from trimtab.ingest.intake import Receipt
from trimtab.ingest.load.loading import Loaded, Sink, load
from trimtab.ingest.load.over_http import http_sink
from trimtab.ingest.load.shape import ImportKind, Shaper, checked_mapping
from trimtab.ingest.load.table import form_of, rows
from trimtab.runtime.assemble import assemble

__all__ = ["import_"]

_NDJSON = "application/x-ndjson"
_MOST = 2000
_REFUSED = 1


def import_(
    file: Annotated[Path, typer.Argument(help="JSON lines, CSV, TSV or Parquet, by the ending of its name.")],
    *,
    kind: Annotated[
        ImportKind, typer.Option(help="What a row is; the rows of `events` say themselves, by `type`.")
    ] = "events",
    source: Annotated[
        str | None, typer.Option(help="Where the rows come from; ids are made with it.", show_default="the file's name")
    ] = None,
    map: Annotated[  # noqa: A002  the option's name
        list[str] | None, typer.Option("--map", help="Column that holds a field, as COLUMN=FIELD; once for each.")
    ] = None,
    feature: Annotated[str | None, typer.Option(help="Feature of rows that name none.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, store nothing.")] = False,
    project: Annotated[str, typer.Option(help="Whose data.")] = "default",
    url: Annotated[str | None, typer.Option(help="Send to this server instead of a stopped one's directory.")] = None,
    key: Annotated[str, typer.Option(help="Ingest or admin key for --url.", envvar="TRIMTAB_KEY")] = "",
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Take a file in, cleaned and checked as all that comes in. Taking the same file in twice adds nothing."""
    with told_plainly():
        typed = form_of(file) == "jsonl"
        fields = checked_mapping(kind, _mapping(map or []))
        shaper = Shaper(
            kind,
            source=source or file.name,
            fields=fields,
            feature=feature,
            now=SystemClock().now(),
            typed=typed,
        )
        settings = loaded(config, data).settings
        opened = (
            partial(_remote, url, key, dry_run=dry_run) if url else partial(_local, settings, project, dry_run=dry_run)
        )
        with bar() as tell, opened(tell) as sink:
            lines = rows(file, lambda done, whole: tell(f"importing {file.name}", done, whole))
            found = load(lines, shaper, sink, batch_events=min(_MOST, settings.ingest.batch_events))
    _report(found, as_json=json, dry_run=dry_run)
    if found.refused:
        raise typer.Exit(_REFUSED)


@contextmanager
def _local(settings: Settings, project: str, tell: Tell, *, dry_run: bool) -> Iterator[Sink]:
    """Open the directory for this process alone: a running server has it, and is to be sent to instead.

    In the end words are joined to their answers; all else that follows from them is left to the next start.
    """
    with assemble(settings) as engine:
        if all(known.id != project for known in engine.store.projects()):
            raise NotFound(f"no project {project!r}")
        take = engine.intake.try_now if dry_run else engine.intake.accept_now
        yield lambda body: take(project, body, content_type=_NDJSON)
        done = 0
        while not dry_run and (handled := engine.stages[0].tick(engine.clock.now())):
            done += handled
            tell("joining", done, 0)


@contextmanager
def _remote(url: str, key: str, _tell: Tell, *, dry_run: bool) -> Iterator[Sink]:
    if dry_run:
        yield _read_only
        return
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        yield http_sink(client)


def _read_only(body: bytes) -> Receipt:
    """Say which events can be read at all; what a server knows, only the server can say."""
    told = Ingest()
    found = decode_many(body, content_type=_NDJSON, event_bytes=told.event_bytes, batch_events=told.batch_events)
    return Receipt(accepted=len(found.events), duplicates=0, rejected=found.rejected)


def _mapping(told: list[str]) -> Mapping[str, str]:
    found = {}
    for one in told:
        column, separator, field = one.rpartition("=")
        if not separator or not column or not field:
            raise InvalidField(f"map: expected COLUMN=FIELD, got {one[:60]!r}", param="map")
        found[column] = field
    return found


def _report(found: Loaded, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        typer.echo(json_.dumps(msgspec.to_builtins(found), indent=1))
        return
    would = "would be " if dry_run else ""
    typer.echo(
        f"{found.rows:,} rows: {found.accepted:,} events {would}new, {found.duplicates:,} there already, "
        f"{found.refused:,} {would}refused"
    )
    if found.ignored_columns:
        typer.echo(f"columns without a field, left alone: {', '.join(found.ignored_columns)}", err=True)
    if not found.refused:
        return
    table = Table("line", "why", "code", title=f"the first {len(found.first)} of {found.refused:,} refused")
    for one in found.first:
        table.add_row(str(one.line), one.message, one.code)
    console = Console(stderr=True)
    console.print(table)
    for code, count in found.reasons.items():
        console.print(f"{count:,} {code}")
