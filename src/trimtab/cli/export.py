"""`trimtab export`: training sets from what people said, and all that was captured as files; also while it runs."""

from __future__ import annotations

import json as json_
import os
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import httpx
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from trimtab.act.datasets.build import MANIFEST, Built, build
from trimtab.act.datasets.desk import given_by, prepared
from trimtab.act.datasets.request import DatasetRequest, checked
from trimtab.archive.export import FileForm, export, write
from trimtab.cli.failure import told_plainly
from trimtab.cli.fetch import fetched_rows, fetched_set
from trimtab.cli.place import ConfigOption, DataOption, loaded
from trimtab.cli.progress import Tell, bar
from trimtab.clock import SystemClock
from trimtab.config import Settings
from trimtab.errors import Conflict, InvalidField
from trimtab.ingest.explain import explained
from trimtab.records import Dataset, DatasetKind
from trimtab.runtime.parts import (
    open_redactors,
    open_store,
    open_words,
)
from trimtab.store.lake.delta import open_lake
from trimtab.store.lake.place import place_of
from trimtab.store.lake.port import LAKE_TABLES, LakeTable, Span
from trimtab.store.ports import HotStore

__all__ = ["export_"]

Kind = Literal["sft", "dpo", "kto", "cases", "inferences", "feedback", "outcomes"]
Format = Literal["trl", "openai", "jsonl", "csv", "parquet"]

_ENDINGS: dict[str, FileForm] = {".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_SETS = get_args(DatasetKind)
_TABLES: dict[str, LakeTable] = {table: table for table in LAKE_TABLES}


class _Asked(NamedTuple):
    """Which rows are wanted, in the words of the command line."""

    features: tuple[str, ...]
    versions: tuple[str, ...]
    since: datetime | None
    until: datetime | None


def export_(  # noqa: PLR0917  one parameter per option, all given by name on the command line
    kind: Annotated[Kind, typer.Argument(help="A training set (sft, dpo, kto, cases), or what was captured.")],
    out: Annotated[Path, typer.Option(help="New folder of a training set; file of anything else.")],
    format: Annotated[  # noqa: A002  the option's name
        Format | None, typer.Option("--format", help="Sets: trl, openai. Files: as the name ends.", show_default=False)
    ] = None,
    feature: Annotated[list[str] | None, typer.Option(help="Only of this feature; once for each.")] = None,
    version: Annotated[list[str] | None, typer.Option(help="Only of this version; once for each.")] = None,
    since: Annotated[str | None, typer.Option(help="Given from this time on, such as 2026-01-31.")] = None,
    until: Annotated[str | None, typer.Option(help="Given before this time.")] = None,
    min_confidence: Annotated[float, typer.Option(help="Sets: least confidence of the judgement.")] = 0.0,
    segment: Annotated[list[str] | None, typer.Option(help="Sets: only of this group, as NAME=VALUE.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Sets: only words of user or reviewer.")] = None,
    validation_share: Annotated[float, typer.Option(help="Sets: share of people kept for validation.")] = 0.1,
    test_share: Annotated[float, typer.Option(help="Sets: share of the newest rows kept for testing.")] = 0.1,
    seed: Annotated[str, typer.Option(help="Sets: another seed puts other people into validation.")] = "trimtab",
    project: Annotated[str, typer.Option(help="Whose data.")] = "default",
    url: Annotated[str | None, typer.Option(help="Fetch from this server instead of a directory.")] = None,
    key: Annotated[
        str, typer.Option(help="Key for --url: admin for sets, else read or admin.", envvar="TRIMTAB_KEY")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,  # noqa: FBT002
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Write a training set made from what people said, or all inferences, feedback or outcomes, to files."""
    with told_plainly():
        told = _Asked(tuple(feature or ()), tuple(version or ()), _time("since", since), _time("until", until))
        settings = loaded(config, data).settings
        raw = {
            "kind": kind,
            "format": format or "trl",
            "features": told.features,
            "version_ids": told.versions,
            "since": told.since,
            "until": told.until,
            "min_confidence": min_confidence,
            "segments": dict(_pair("segment", one) for one in segment or ()),
            "validation_share": validation_share,
            "test_share": test_share,
            "seed": seed,
            **({"sources": source} if source else {}),
        }
        with bar() as tell:
            made: Built | Dataset | int = (
                _remote(url, key, kind, raw, told, out, format, tell)
                if url
                else _local(settings, project, kind, raw, told, out, format, tell)
            )
        _report(made, out, as_json=json)


def _local(
    settings: Settings,
    project: str,
    kind: Kind,
    raw: dict[str, Any],
    told: _Asked,
    out: Path,
    form: str | None,
    tell: Tell,
) -> Built | int:
    with closing(open_store(settings)) as store:
        if kind in _SETS:
            return _set(settings, store, project, raw, out, tell)
        span, chosen = _span(project, told, kind), _form(out, form)
        with ExitStack() as stack:
            lake = None
            if settings.lake.enabled:
                place = place_of(settings.lake, Path(settings.storage.path), os.environ)
                lake = stack.enter_context(closing(open_lake(place, SystemClock())))
            return export(
                store, lake, _TABLES[kind], span, out.absolute(), chosen, told=lambda count: tell("writing", count, 0)
            )


def _remote(
    url: str,
    key: str,
    kind: Kind,
    raw: dict[str, Any],
    told: _Asked,
    out: Path,
    form: str | None,
    tell: Tell,
) -> Dataset | int:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        if kind in _SETS:
            _must_be_new(out)
            return fetched_set(client, checked(_request(raw)), out.absolute(), tell)
        span = _span("", told, kind)
        asked = {"feature": span.feature, "since": span.since, "until": span.until}
        query = {name: _shown(value) for name, value in asked.items() if value is not None}
        rows = fetched_rows(client, _TABLES[kind], query)
        return write(
            rows, _TABLES[kind], out.absolute(), _form(out, form), told=lambda count: tell("fetching", count, 0)
        )


def _set(settings: Settings, store: HotStore, project: str, raw: dict[str, Any], out: Path, tell: Tell) -> Built:
    _must_be_new(out)
    request = _request(raw)
    redactors = open_redactors(settings, store)
    wanted = prepared(request, redactors, project)
    with open_words(settings, store) as opened:
        source = opened()
        given = given_by(store, redactors, project, wanted, SystemClock())
        return build(wanted, source, given, out.absolute(), look=lambda what, done: tell(what, done, 0))


def _must_be_new(out: Path) -> None:
    if out.exists():
        raise Conflict(f"{str(out)!r} exists; name a folder that does not")


def _form(out: Path, told: str | None) -> FileForm:
    chosen = told or _ENDINGS.get(out.suffix.lower())
    for form in _ENDINGS.values():
        if form == chosen:
            return form
    raise InvalidField(
        f"expected a file that ends with {', '.join(_ENDINGS)}, or one of them as --format, got {out.name!r}",
        param="out",
    )


def _span(project: str, told: _Asked, kind: str) -> Span:
    if len(told.features) > 1 or told.versions:
        raise InvalidField(f"{kind} are filtered by one --feature and by time only", param="feature")
    return Span(project, told.features[0] if told.features else None, told.since, told.until)


def _shown(value: str | datetime) -> str:
    return value.isoformat() if isinstance(value, datetime) else value


def _report(made: Built | Dataset | int, out: Path, *, as_json: bool) -> None:
    if isinstance(made, int):
        typer.echo(json_.dumps({"rows": made}) if as_json else f"{made:,} rows in {out}")
        return
    if as_json:
        typer.echo(json_.dumps(json_.loads((out / MANIFEST).read_bytes()), indent=1))
        return
    table = Table("file", "rows", "MB", "sha256", title=f"{out} ({made.content_id})")
    for file in made.files:
        table.add_row(file.name, f"{file.rows:,}", f"{file.size_bytes / 1e6:.2f}", file.sha256[:16])
    Console().print(table)
    for reason, count in made.left_out.items():
        typer.echo(f"left out: {count:,} {reason.replace('_', ' ')}")


def _request(raw: dict[str, Any]) -> DatasetRequest:
    try:
        return msgspec.convert(raw, DatasetRequest)
    except msgspec.ValidationError as error:
        raise explained(error, msgspec.to_builtins(raw), DatasetRequest) from None


def _time(name: str, told: str | None) -> datetime | None:
    if told is None:
        return None
    try:
        when = datetime.fromisoformat(told)
    except ValueError:
        raise InvalidField(
            f"{name}: expected a time such as 2026-01-31 or 2026-01-31T12:00:00Z, got {told[:40]!r}", param=name
        ) from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _pair(name: str, told: str) -> tuple[str, str]:
    key, found, value = told.partition("=")
    if not found or not key:
        raise InvalidField(f"{name}: expected NAME=VALUE, got {told[:60]!r}", param=name)
    return key, value
