"""How a command fails: one clear line, and a status. Never a traceback for what a user can mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from trimtab.errors import TrimtabError

__all__ = ["CANNOT", "told_plainly"]

CANNOT = 2
"""The exit status of a command that could not do what it was asked to."""


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn an error of ours into one line on stderr and exit status 2."""
    try:
        yield
    except TrimtabError as error:
        typer.echo(f"error: {error.message} [{error.code}]", err=True)
        raise typer.Exit(CANNOT) from None
