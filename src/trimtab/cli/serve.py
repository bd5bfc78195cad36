"""`trimtab serve`: the engine, its stages and the HTTP server, in one process or with ingest workers beside it."""

from __future__ import annotations

import ipaddress
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from trimtab.cli.failure import told_plainly
from trimtab.cli.key import make_key
from trimtab.cli.log import Unbroken, configure_log
from trimtab.cli.place import ConfigOption, DataOption, loaded
from trimtab.clock import Clock, SystemClock
from trimtab.config import Settings
from trimtab.errors import ConfigError
from trimtab.records import KeyKind
from trimtab.runtime.assemble import Engine, assemble
from trimtab.runtime.kept_clock import KeptClock
from trimtab.runtime.workers import Workers
from trimtab.server.app import create_app
from trimtab.server.fleet import Fleet
from trimtab.server.serving import configured, settle_memory
from trimtab.server.stopping import StoppingServer

__all__ = ["is_loopback", "serve"]

_BACKLOG = 2048
_FIRST_KEYS: tuple[KeyKind, ...] = ("admin", "ingest")


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on (server.host).", show_default=False)] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.", show_default=False)
    ] = None,
    ingest_workers: Annotated[
        int | None,
        typer.Option(
            min=0, max=64, help="Processes that take events in beside the engine (ingest.workers).", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Run the engine and its HTTP server until SIGTERM or Ctrl-C. The first start prints two keys."""
    with told_plainly():
        settings = _settings(config, data, host, port, ingest_workers)
        configure_log(settings.logging)
        clock, by_hand = _clock(settings), _by_hand(settings)
        with _listening(settings) as listener, assemble(settings, clock=clock, inline_runs=by_hand) as engine:
            _catch_up(engine)
            _first_keys(engine)
            _serve(engine, listener)


def is_loopback(host: str) -> bool:
    """Say whether a host is reachable from this machine alone; a name other than localhost counts as not."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _settings(
    config: Path | None, data: Path | None, host: str | None, port: int | None, ingest_workers: int | None
) -> Settings:
    settings = loaded(config, data).settings
    server, ingest = settings.server, settings.ingest
    if host is not None:
        server = msgspec.structs.replace(server, host=host)
    if port is not None:
        server = msgspec.structs.replace(server, port=port)
    if ingest_workers is not None:
        ingest = msgspec.structs.replace(ingest, workers=ingest_workers)
    return msgspec.structs.replace(settings, server=server, ingest=ingest)


def _by_hand(settings: Settings) -> bool:
    return settings.server.clock == "set"


def _clock(settings: Settings) -> Clock:
    if not _by_hand(settings):
        return SystemClock()
    folder = Path(settings.storage.path)
    folder.mkdir(parents=True, exist_ok=True)
    return KeptClock(folder)


def _listening(settings: Settings) -> socket.socket:
    """Take the port before anything else, so that one in use is said at once and in words."""
    host, port = settings.server.host, settings.server.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --host and --port",
            param="server.port",
        ) from None
    return listener


def _catch_up(engine: Engine) -> None:
    """Move a clock that is set by hand to where its store begins: no project was made in the future."""
    born = max(project.created_at for project in engine.store.projects())
    if isinstance(engine.clock, KeptClock) and engine.clock.now() < born:
        engine.clock.set(born)


def _first_keys(engine: Engine) -> None:
    """Make and print the first keys of a fresh store; never for an address that others can reach."""
    if any(key.revoked_at is None for project in engine.store.projects() for key in engine.store.keys(project.id)):
        return
    host = engine.settings.server.host
    if not is_loopback(host):
        raise ConfigError(
            f"expected API keys before listening on {host!r}, which others can reach, found none; "
            "make one first: trimtab key create admin",
            param="server.host",
        )
    typer.echo("The first keys, shown this once:")
    for kind in _FIRST_KEYS:
        minted = make_key(engine.store, engine.settings, kind, "default", "first start", engine.clock.now())
        typer.echo(f"  {kind:<7} {minted.secret}")


def _serve(engine: Engine, listener: socket.socket) -> None:
    by_hand = _by_hand(engine.settings)
    workers = None if by_hand else Workers(engine)
    count = engine.settings.ingest.workers
    fleet = Fleet(engine, listener, count) if count else None
    app = create_app(engine, workers=workers, fleet=fleet)
    server = StoppingServer(configured(app, path=fleet.path if fleet else None))
    # uvicorn sends a signal it caught on to whoever handled it before, once it has shut down; by then all is done.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: None)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    beside = f" with {count} ingest workers" if count else ""
    set_clock = " with a clock that is set by hand" if by_hand else ""
    _say(f"Trimtab listens on http://{shown}:{port}{beside}{set_clock}")
    settle_memory()
    if workers is not None:
        workers.start()
        if engine.settings.playbook.mode != "off":  # else the first run would begin a second late
            threading.Thread(target=engine.runs.prepare, name="trimtab-prepare", daemon=True).start()
    try:
        server.run(sockets=None if fleet else [listener])
    finally:
        if workers is not None:
            workers.stop()
    _say("Stopped.")


def _say(line: str) -> None:
    """Print a line. Unlike keys, it may get lost: a full disk under the output must not end the server."""
    Unbroken(sys.stdout).write(line + "\n")
