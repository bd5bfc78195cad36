"""The `trimtab` command: one file per subcommand, each a thin layer over the rooms below it."""

from __future__ import annotations

from typing import Annotated

import typer

from trimtab.cli.demo import demo
from trimtab.cli.digest import digest
from trimtab.cli.doctor import doctor
from trimtab.cli.erase import erase
from trimtab.cli.export import export_
from trimtab.cli.import_ import import_
from trimtab.cli.ingest_worker import ingest_worker
from trimtab.cli.init import init
from trimtab.cli.key import key
from trimtab.cli.lake import lake
from trimtab.cli.report import report
from trimtab.cli.review import review
from trimtab.cli.serve import serve
from trimtab.cli.study import study
from trimtab.cli.topics import topics
from trimtab.server.app import installed_version

__all__ = ["app"]

app = typer.Typer(
    name="trimtab",
    help="The feedback-loop engine for AI products: capture signals, find what got worse, ship a proven fix.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    pretty_exceptions_enable=False,
)


def _version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"trimtab {installed_version()}")
        raise typer.Exit


@app.callback()
def _trimtab(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=lambda asked: _version(asked=asked), is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Take the options that stand before any command."""


app.command()(init)
app.command()(doctor)
app.command()(serve)
app.command("ingest-worker", hidden=True)(ingest_worker)
app.add_typer(key, name="key")
app.command()(study)
app.command()(demo)
app.command()(report)
app.command()(digest)
app.command()(topics)
app.command()(review)
app.add_typer(lake, name="lake")
app.command(name="export")(export_)
app.command(name="import")(import_)
app.command()(erase)
