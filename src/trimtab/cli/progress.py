"""How a command shows that it works: a bar on standard error, where nothing that is piped on gets into its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

__all__ = ["Tell", "bar"]

Tell = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much (0: nobody knows)."""


@contextmanager
def bar() -> Iterator[Tell]:
    """Show a bar inside the block."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("", total=None)

        def tell(what: str, done: int, whole: int) -> None:
            counted = f"{what} {done:,}" if done and not whole else what
            shown.update(task, description=counted, completed=done if whole else 0, total=whole or None)

        yield tell
