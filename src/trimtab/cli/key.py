"""`trimtab key`: make, list and revoke API keys, also while the server runs."""

from __future__ import annotations

import json as json_
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from trimtab.cli.failure import told_plainly
from trimtab.cli.place import ConfigOption, DataOption, loaded
from trimtab.clock import SystemClock
from trimtab.config import Settings
from trimtab.errors import NotFound
from trimtab.records import KeyKind, Project
from trimtab.redact.wall import seal
from trimtab.runtime.parts import (
    open_redactors,
    open_store,
)
from trimtab.server.auth import Minted, mint
from trimtab.store.ports import HotStore, Writes

__all__ = ["key", "make_key"]

key = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

ProjectOption = Annotated[str, typer.Option("--project", help="Whose key it is.")]


def make_key(
    store: HotStore,
    settings: Settings,
    kind: KeyKind,
    project_id: str,
    label: str,
    now: datetime,
    *,
    origins: Sequence[str] = (),
) -> Minted:
    """Make and store a key. Raises NotFound for an unknown project, InvalidField for origins that do not fit."""
    minted = mint(kind, project_id, label, now, origins=origins)
    projects = {project.id for project in store.projects()}
    if not projects and project_id == "default":
        store.commit({project_id: Writes(projects=[Project(id=project_id, created_at=now)])})
    elif project_id not in projects:
        raise NotFound(f"no project {project_id!r}; there is {', '.join(sorted(projects)) or 'none yet'}")
    store.commit({project_id: Writes(keys=[seal(open_redactors(settings, store).of(project_id), minted.key)])})
    return minted


@key.command()
def create(
    kind: Annotated[KeyKind, typer.Argument(help="What it may do: public, ingest, read or admin.")],
    *,
    label: Annotated[str, typer.Option(help="To know it by.")] = "",
    origin: Annotated[
        list[str] | None,
        typer.Option(help="Where its pages are, such as https://app.example; once for each, or '*' for every page."),
    ] = None,
    project: ProjectOption = "default",
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Make a key and print it, this once. Nothing else is printed to stdout, so that it can be piped on."""
    with told_plainly(), _store(config, data) as (store, settings):
        minted = make_key(store, settings, kind, project, label, SystemClock().now(), origins=origin or ())
        typer.echo(f"Key {minted.key.id} of kind {kind}; it is shown this once:", err=True)
        typer.echo(minted.secret)


@key.command(name="list")
def list_(
    *,
    project: ProjectOption = "default",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """List keys, revoked ones too. The secrets are kept nowhere."""
    with told_plainly(), _store(config, data) as (store, _):
        keys = store.keys(project)
    if json:
        shown = [{name: value for name, value in msgspec.to_builtins(one).items() if name != "sha256"} for one in keys]
        typer.echo(json_.dumps(shown, indent=2))
        return
    table = Table("id", "kind", "hint", "label", "origins", "made", "revoked")
    for one in keys:
        revoked = f"{one.revoked_at:%Y-%m-%d %H:%M}" if one.revoked_at else ""
        made = f"{one.created_at:%Y-%m-%d %H:%M}"
        table.add_row(one.id, one.kind, one.hint, one.label, "\n".join(one.origins), made, revoked)
    Console().print(table)


@key.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id that `trimtab key list` shows.")],
    *,
    project: ProjectOption = "default",
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Revoke a key. A server that runs refuses it within five seconds."""
    with told_plainly(), _store(config, data) as (store, settings):
        found = next((one for one in store.keys(project) if one.id == key_id), None)
        if found is None:
            raise NotFound(f"no key {key_id!r} in project {project!r}; `trimtab key list` shows them")
        if found.revoked_at is None:
            revoked = msgspec.structs.replace(found, revoked_at=SystemClock().now())
            store.commit({project: Writes(keys=[seal(open_redactors(settings, store).of(project), revoked)])})
        typer.echo(f"Key {key_id} is revoked.")


@contextmanager
def _store(config: Path | None, data: Path | None) -> Iterator[tuple[HotStore, Settings]]:
    settings = loaded(config, data).settings
    store = open_store(settings)
    try:
        yield store, settings
    finally:
        store.close()
