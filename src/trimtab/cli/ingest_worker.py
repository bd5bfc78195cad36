"""`trimtab ingest-worker`: what `trimtab serve --ingest-workers` starts. Nothing to be called by hand."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from trimtab.cli.failure import told_plainly
from trimtab.cli.log import configure_log
from trimtab.server.asking import Asking
from trimtab.server.worker import run_worker

__all__ = ["ingest_worker"]

_Socket = Annotated[int, typer.Argument(min=0)]


def ingest_worker(listener: _Socket, rows: _Socket, asks: _Socket, path: str) -> None:
    """Take events for the engine that started this process, over the sockets it handed down."""
    with told_plainly():
        asking = Asking(socket.socket(fileno=asks))
        settings = asking.hello()
        configure_log(settings.logging)
        run_worker(socket.socket(fileno=listener), socket.socket(fileno=rows), asking, settings, path)
