"""`trimtab erase`: remove a person everywhere, also while the server runs, and print the receipt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from trimtab.archive.erasing import EraseStage
from trimtab.cli.failure import told_plainly
from trimtab.cli.log import configure_log
from trimtab.cli.place import ConfigOption, DataOption, loaded
from trimtab.clock import SystemClock
from trimtab.config import Settings
from trimtab.errors import Conflict, NotFound
from trimtab.records import Erasure
from trimtab.runtime.assemble import assemble
from trimtab.runtime.parts import (
    DATABASE,
    open_redactors,
    open_store,
)

__all__ = ["erase"]

_PAUSE_S = 0.1
_UNFINISHED = 1
_NEEDED = ("enrich", "space", "vectorise", "erase")
"""The stages that an erasure needs; no run is started and nothing is shipped on its account."""

_Show = Callable[[Erasure], None]


def erase(
    user: Annotated[str, typer.Argument(help="The user's id, as the app sends it.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the end.")] = 600.0,
    project: Annotated[str, typer.Option("--project", help="Whose user it is.")] = "default",
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Remove a person everywhere, for good, and print the receipt. Ends with status 1 when it is not done in time.

    A server that runs over the same data does the work; without one this command does it itself.
    """
    if not yes:
        typer.confirm(f"Remove everything of user {user!r} in project {project!r}, for good?", abort=True)
    with told_plainly():
        settings = loaded(config, data).settings
        if not settings.storage.url and not (Path(settings.storage.path) / DATABASE).exists():
            raise NotFound(f"no data in {settings.storage.path!r}; name its directory with --data")
        configure_log(msgspec.structs.replace(settings.logging, level="warning"))
        with Console(stderr=True).status("looking for what is theirs") as status:
            receipt = _erased(settings, project, user, wait, lambda told: status.update(_progress(told)))
        if json:
            typer.echo(msgspec.json.format(msgspec.json.encode(receipt)).decode())
        else:
            _print(receipt)
        if receipt.state != "done":
            typer.echo("It goes on in the server; GET /v1/erasures/{id} follows it.", err=True)
            raise typer.Exit(_UNFINISHED)


def _erased(settings: Settings, project_id: str, user: str, wait_s: float, show: _Show) -> Erasure:
    """Have the user erased by this process, or by the engine that already runs over the data."""
    try:
        engine = assemble(settings)
    except Conflict:
        return _watched(settings, project_id, user, wait_s, show)
    with engine:
        _require(project_id, [project.id for project in engine.store.projects()])
        erasure = engine.erasing.ask(project_id, engine.redactor.of(project_id).identifier(user))
        stages = [stage for stage in engine.stages if stage.name in _NEEDED]

        def look() -> Erasure | None:
            for stage in stages:
                stage.tick(engine.clock.now())
            return engine.store.erasure(project_id, erasure.id)

        return _until_done(erasure, look, wait_s, show)


def _watched(settings: Settings, project_id: str, user: str, wait_s: float, show: _Show) -> Erasure:
    """Write the tombstone, which the running engine finds, and watch it work."""
    store = open_store(settings)
    try:
        _require(project_id, [project.id for project in store.projects()])
        known = open_redactors(settings, store).of(project_id).identifier(user)
        erasure = EraseStage(store, [], SystemClock()).ask(project_id, known)
        return _until_done(erasure, lambda: store.erasure(project_id, erasure.id), wait_s, show)
    finally:
        store.close()


def _until_done(erasure: Erasure, look: Callable[[], Erasure | None], wait_s: float, show: _Show) -> Erasure:
    for _ in range(max(1, round(wait_s / _PAUSE_S))):
        erasure = look() or erasure
        show(erasure)
        if erasure.state == "done":
            break
        threading.Event().wait(_PAUSE_S)
    return erasure


def _require(project_id: str, known: list[str]) -> None:
    if project_id not in known:
        raise NotFound(f"no project {project_id!r}; there is {', '.join(sorted(known)) or 'none yet'}")


def _progress(receipt: Erasure) -> str:
    done = ", ".join(receipt.finished) or "nothing yet"
    return f"finished: {done}" + (f"; waits: {receipt.problem}" if receipt.problem else "")


def _print(receipt: Erasure) -> None:
    table = Table("place", "what", "removed", title=f"{receipt.id}: {receipt.state}")
    for place in receipt.finished:
        counts = receipt.removed.get(place) or {"": 0}
        for kind, count in counts.items():
            table.add_row(place, kind or "nothing of theirs", f"{count:,}" if kind else "")
    console = Console()
    console.print(table)
    for note in receipt.notes:
        console.print(f"- {note}", markup=False)
