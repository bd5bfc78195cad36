"""`trimtab export`: training sets from what people said, and all that was captured as files; also while it runs."""

from __future__ import annotations

import json as json_
import os
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from trimtab.act.datasets.build import Built, build
from trimtab.act.datasets.desk import given_by, prepared
from trimtab.act.datasets.request import DatasetRequest
from trimtab.archive.export import FileForm, export
from trimtab.cli.failure import told_plainly
from trimtab.cli.place import ConfigOption, DataOption, loaded
from trimtab.cli.progress import Tell, bar
from trimtab.clock import SystemClock
from trimtab.config import Settings
from trimtab.errors import Conflict, InvalidField
from trimtab.ingest.explain import explained
from trimtab.records import DatasetKind
from trimtab.runtime.assemble import open_redactors, open_store, open_words
from trimtab.store.lake.delta import open_lake
from trimtab.store.lake.place import place_of
from trimtab.store.lake.port import LakeTable, Span
from trimtab.store.ports import HotStore

__all__ = ["export_"]

Kind = Literal["sft", "dpo", "kto", "cases", "inferences", "feedback", "outcomes"]
Format = Literal["trl", "openai", "jsonl", "csv", "parquet"]

_ENDINGS: dict[str, FileForm] = {".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_SETS = get_args(DatasetKind)


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
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,  # noqa: FBT002
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Write a training set made from what people said, or all inferences, feedback or outcomes, to files."""
    with told_plainly():
        told = _Asked(tuple(feature or ()), tuple(version or ()), _time("since", since), _time("until", until))
        settings = loaded(config, data).settings
        with closing(open_store(settings)) as store, bar() as tell:
            if kind in _SETS:
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
                made: Built | int = _set(settings, store, project, raw, out, tell)
            else:
                made = _rows(settings, store, project, kind, told, out, format, tell)  # type: ignore[arg-type]
        if isinstance(made, Built):
            _report(made, as_json=json)
        else:
            typer.echo(json_.dumps({"rows": made}) if json else f"{made:,} rows in {out}")


def _set(settings: Settings, store: HotStore, project: str, raw: dict[str, Any], out: Path, tell: Tell) -> Built:
    if out.exists():
        raise Conflict(f"{str(out)!r} exists; name a folder that does not")
    request = _request(raw)
    redactors = open_redactors(settings, store)
    wanted = prepared(request, redactors, project)
    with open_words(settings, store) as opened:
        source = opened()
        given = given_by(store, redactors, project, wanted, SystemClock())
        return build(wanted, source, given, out.absolute(), look=lambda what, done: tell(what, done, 0))


def _rows(
    settings: Settings,
    store: HotStore,
    project: str,
    table: LakeTable,
    told: _Asked,
    out: Path,
    form: str | None,
    tell: Tell,
) -> int:
    chosen = form or _ENDINGS.get(out.suffix.lower())
    if chosen not in _ENDINGS.values():
        raise InvalidField(
            f"expected a file that ends with {', '.join(_ENDINGS)}, or one of them as --format, got {out.name!r}",
            param="out",
        )
    if len(told.features) > 1 or told.versions:
        raise InvalidField(f"{table} are filtered by one --feature and by time only", param="feature")
    span = Span(project, told.features[0] if told.features else None, told.since, told.until)
    with ExitStack() as stack:
        lake = None
        if settings.lake.enabled:
            place = place_of(settings.lake, Path(settings.storage.path), os.environ)
            lake = stack.enter_context(closing(open_lake(place, SystemClock())))
        return export(
            store,
            lake,
            table,
            span,
            out.absolute(),
            chosen,  # type: ignore[arg-type]
            told=lambda count: tell(f"writing {table}", count, 0),
        )


def _report(made: Built, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_.dumps(made.manifest, indent=1))
        return
    table = Table("file", "rows", "MB", "sha256", title=f"{made.folder} ({made.content_id})")
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
