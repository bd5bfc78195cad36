"""`trimtab doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from trimtab.cli.examination import Finding, examine
from trimtab.cli.place import ConfigOption, DataOption, loaded
from trimtab.config import NAMED, Loaded, settings_paths, without_password
from trimtab.errors import ConfigError

__all__ = ["doctor", "effective"]

_SECRET = (".url", ".webhook_url", ".retrieve_url")
_MARKS = {"ok": "[green]ok[/green]", "warning": "[yellow]warning[/yellow]", "failure": "[red]failure[/red]"}


def doctor(
    *,
    settings: Annotated[bool, typer.Option("--settings", help="Show each setting and where it came from.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Examine this installation. Exit status 1 when something must be mended."""
    found, findings = _examined(config, data)
    values = effective(found) if settings and found is not None else []
    if json:
        told: dict[str, Any] = {"findings": msgspec.to_builtins(findings)}
        if settings:
            told["settings"] = [dict(zip(("path", "value", "source"), row, strict=True)) for row in values]
        typer.echo(json_.dumps(told, indent=2))
    else:
        _print(findings, values)
    if any(finding.verdict == "failure" for finding in findings):
        raise typer.Exit(1)


def effective(found: Loaded) -> list[tuple[str, Any, str]]:
    """Return path, value and source of every setting that is in force, in the order they are declared."""
    rows = []
    for path, _, _ in settings_paths():
        section, _, key = path.rpartition(".")
        if section.endswith(".NAME"):
            continue
        value = _shown(path, getattr(getattr(found.settings, section), key))
        rows.append((path, msgspec.to_builtins(value), found.sources.get(path, "default")))
    for table in NAMED:
        for name, told in getattr(found.settings, table).items():
            for key in told.__struct_fields__:
                path = f"{table}.{name}.{key}"
                if path in found.sources:
                    rows.append((path, msgspec.to_builtins(_shown(path, getattr(told, key))), found.sources[path]))
    return rows


def _shown(path: str, value: Any) -> Any:
    """Return a value as it may be shown: what posts to an address needs no more than that, so it is a secret."""
    if not isinstance(value, str) or not value:
        return value
    return "***" if path.endswith(_SECRET) and path != "storage.url" else without_password(value)


def _examined(config: Path | None, data: Path | None) -> tuple[Loaded | None, list[Finding]]:
    try:
        found = loaded(config, data)
    except ConfigError as error:
        return None, [Finding(name="settings", verdict="failure", told=error.message, mend="correct it and run again")]
    files = sorted({source for source in found.sources.values() if not source.startswith("TRIMTAB_")})
    told = f"{len(found.sources)} set" + (f", from {', '.join(files)}" if files else "") + "; the rest are defaults"
    return found, [Finding(name="settings", verdict="ok", told=told), *examine(found.settings)]


def _print(findings: list[Finding], values: list[tuple[str, Any, str]]) -> None:
    console = Console()
    if values:
        table = Table("setting", "value", "from")
        for path, value, source in values:
            table.add_row(path, json_.dumps(value), source)
        console.print(table)
    for finding in findings:
        console.print(f"{_MARKS[finding.verdict]:<9} {finding.name}: ", end="")
        console.print(finding.told, markup=False, highlight=False)
        if finding.mend:
            console.print(f"          {finding.mend}", markup=False, highlight=False)
