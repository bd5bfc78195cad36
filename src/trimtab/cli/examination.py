"""The checks of `trimtab doctor`. Each looks and changes nothing, but for one row the database is asked to write."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from msgspec import Struct

from trimtab.archive.retention import windows
from trimtab.cli.serve import is_loopback
from trimtab.clock import SystemClock
from trimtab.config import Runner, Settings
from trimtab.detect.watching import Watched, watched
from trimtab.errors import TrimtabError
from trimtab.runtime.parts import (
    DATABASE,
    KEY_FILE,
    open_store,
)

__all__ = ["Finding", "examine"]

_PARTS = (
    "dbos", "httptools", "httpx", "hyperscan", "litestar", "msgspec", "numpy", "phonenumbers", "prometheus_client",
    "rich", "scipy", "sklearn", "sqlalchemy", "stdnum", "structlog", "typer", "uvicorn", "uvloop",
)  # fmt: skip
_MEGABYTE = 1 << 20
_LEAST_FREE = 200 * _MEGABYTE
_LITTLE_FREE = 2048 * _MEGABYTE
_RELEASED = datetime(2025, 1, 1, tzinfo=UTC)
_KEY_BYTES = 32
_MOST_FEATURES = 10  # told of one by one


class Finding(Struct, frozen=True, kw_only=True):
    """What one check found, and what to do where it is not ok."""

    name: str
    verdict: Literal["ok", "warning", "failure"]
    told: str
    mend: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Run every check; one that fails does not keep the others from running."""
    return [finding for check in _CHECKS for finding in check(settings)]


def _ok(name: str, told: str) -> Finding:
    return Finding(name=name, verdict="ok", told=told)


def _failure(name: str, told: str, mend: str) -> Finding:
    return Finding(name=name, verdict="failure", told=told, mend=mend)


def _warning(name: str, told: str, mend: str) -> Finding:
    return Finding(name=name, verdict="warning", told=told, mend=mend)


def _python(_: Settings) -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= (3, 11):  # noqa: UP036  a checkout can be run by any Python
        yield _ok("python", found)
    else:
        yield _failure("python", f"expected 3.11 or newer, got {found}", "install a newer Python")


def _parts(_: Settings) -> Iterator[Finding]:
    missing = [name for name in _PARTS if importlib.util.find_spec(name) is None]
    if missing:
        yield _failure("packages", f"not installed: {', '.join(missing)}", "pip install 'trimtab[server]'")
    else:
        yield _ok("packages", "the server extra is installed")


def _storage(settings: Settings) -> Iterator[Finding]:
    folder = Path(settings.storage.path)
    place = _nearest(folder)
    if not place.is_dir():
        yield _failure("storage", f"{str(place)!r} is not a directory", "set storage.path to a directory")
        return
    if not os.access(place, os.W_OK | os.X_OK):
        yield _failure(
            "storage", f"{str(place)!r} cannot be written by this user", "change its owner, or set storage.path"
        )
        return
    yield _ok("storage", f"{folder.absolute()}" + ("" if folder.exists() else " will be made at the first start"))
    free = shutil.disk_usage(place).free
    told = f"{free // _MEGABYTE} MB free"
    if free < _LEAST_FREE:
        yield _failure("disk", told, "free some space, or set storage.path to another disk")
    elif free < _LITTLE_FREE:
        yield _warning("disk", told, "a busy product fills a gigabyte in days: give it more room")
    else:
        yield _ok("disk", told)


def _clock(settings: Settings) -> Iterator[Finding]:
    now = SystemClock().now()
    database = Path(settings.storage.path) / DATABASE
    if now < _RELEASED:
        yield _failure("clock", f"this machine says {now:%Y-%m-%d}, before Trimtab was released", "set the clock (NTP)")
    elif database.exists() and _written(database) > now + timedelta(minutes=10):
        told = (
            f"this machine says {now:%Y-%m-%d %H:%M}, but the store was written at {_written(database):%Y-%m-%d %H:%M}"
        )
        yield _failure("clock", told, "set the clock (NTP)")
    else:
        yield _ok("clock", f"{now:%Y-%m-%d %H:%M} UTC")


def _database(settings: Settings) -> Iterator[Finding]:
    if not settings.storage.url and not (Path(settings.storage.path) / DATABASE).exists():
        yield _ok("database", "will be made at the first start")
        yield from _keys(settings, found=0)
        return
    try:
        store = open_store(settings)
        try:
            store.check()
            keys = [key for project in store.projects() for key in store.keys(project.id)]
            aside = store.count_asides()
            seen = [each for project in store.projects() for each in watched(store, settings, project.id)]
        finally:
            store.close()
    except TrimtabError as error:
        yield _failure("database", error.message, "if it is damaged, restore the directory from a backup")
        return
    yield _ok("database", "opens, and a row written was read back")
    if aside:
        told = ", ".join(f"{count} of {stage} ({kind})" for (stage, kind), count in sorted(aside.items()))
        mend = "GET /v1/set-aside names them; once mended, POST /v1/set-aside/retry"
        yield _warning("set aside", f"rows that stages went on without: {told}", mend)
    yield from _keys(settings, found=sum(key.revoked_at is None for key in keys))
    yield from _watches(seen)


def _watches(found: Sequence[Watched]) -> Iterator[Finding]:
    """Warn of each feature whose votes open no incident yet."""
    learning = [each for each in found if each.state == "learning"]
    for each in learning[:_MOST_FEATURES]:
        yield _warning(f"watch on {each.feature}", each.told, each.mend)
    if len(learning) > _MOST_FEATURES:
        told = f"of {len(learning) - _MOST_FEATURES} more features what is usual is still learned"
        yield _warning("watches", told, "trimtab report names all of them")
    if len(found) > len(learning):
        yield _ok("watches", f"votes on {', '.join(each.feature for each in found if each.reference)}")


def _keys(settings: Settings, *, found: int) -> Iterator[Finding]:
    if found:
        yield _ok("keys", f"{found} in force")
    elif is_loopback(settings.server.host):
        yield _ok("keys", "none yet; the first `trimtab serve` makes and prints two")
    else:
        yield _failure(
            "keys", f"none, and {settings.server.host!r} can be reached by others", "trimtab key create admin"
        )


def _history(settings: Settings) -> Iterator[Finding]:
    """Where history goes, and whether rows leave the database."""
    retention = settings.retention
    if settings.lake.enabled:
        if importlib.util.find_spec("deltalake") is None:
            mend = "pip install 'trimtab[server]', or set lake.enabled = false"
            yield _failure("history", "lake.enabled is set, and the package deltalake is not installed", mend)
            return
        days = windows(settings)
        stays = ", ".join(f"{kind} {window / timedelta(days=1):g} days" for kind, window in days.items())
        told = f"stays in the database for {stays}" if days else "stays in the database for ever"
        yield _ok("history", f"is kept in the lake; {told}")
    elif retention.without_lake and windows(settings):
        told = "nothing is kept beyond the database, which lets go of what is old (retention.without_lake)"
        yield _warning("history", told, "turn on lake.enabled to keep history")
    else:
        yield _ok("history", "stays in the database for ever, since there is no lake: nothing is purged")


def _redaction_key(settings: Settings) -> Iterator[Finding]:
    folder = Path(settings.storage.path)
    file = folder / KEY_FILE
    if not file.exists():
        if (folder / DATABASE).exists():
            yield _failure(
                "redaction key",
                f"{str(file)!r} is missing beside a database",
                "restore it from a backup: with a new one, the same person gets another pseudonym",
            )
        else:
            yield _ok("redaction key", "will be made at the first start")
        return
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        yield _failure("redaction key", f"others can read {str(file)!r} (mode {mode:o})", f"chmod 600 {file}")
        return
    try:
        size = len(bytes.fromhex(file.read_text(encoding="ascii").strip()))
    except (OSError, ValueError):
        size = 0
    if size == _KEY_BYTES:
        yield _ok("redaction key", "is there, and only this user can read it")
    else:
        yield _failure("redaction key", f"{str(file)!r} is damaged or unreadable", "restore it from a backup")


def _port(settings: Settings) -> Iterator[Finding]:
    host, port = settings.server.host, settings.server.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if _answers(host, port):
            yield _ok("port", f"a Trimtab server listens on {host}:{port}")
            yield from _running(host, port)
        else:
            told = f"cannot listen on {host}:{port}: {error.strerror}"
            yield _failure("port", told, "stop what uses it, or set server.host and server.port")
        return
    yield _ok("port", f"{host}:{port} is free")
    if not is_loopback(host):
        yield _warning("host", f"{host!r} can be reached by others, unencrypted", "put a proxy with TLS before it")


def _runner(settings: Settings) -> Iterator[Finding]:
    yield from _one_runner(settings.runner, "runner")
    for name, told in settings.runners.items():
        yield from _one_runner(told, f"runners.{name}")
    for feature, override in settings.features.items():
        if override.runner and override.runner not in settings.runners:
            told_name = f"features.{feature}.runner names {override.runner!r}, which is no runner"
            yield _failure("runner", told_name, f"add [runners.{override.runner}], or name another")


def _one_runner(runner: Runner, place: str) -> Iterator[Finding]:
    if runner.kind == "memory":
        yield _ok(place, "exemplar memory; no model is asked")
        return
    needed = {"llm": ("base_url", "model"), "webhook": ("secret_env",), "python": ("entry",)}[runner.kind]
    lacking = [f"{place}.{name}" for name in needed if not getattr(runner, name)]
    if runner.kind == "webhook" and not (runner.url or runner.url_env):
        lacking.append(f"{place}.url")
    variables = {"llm": (runner.api_key_env,), "webhook": (runner.secret_env, runner.url_env), "python": ()}[
        runner.kind
    ]
    empty = [name for name in variables if name and not os.environ.get(name)]
    if lacking:
        yield _failure(place, f"{place}.kind is {runner.kind!r}, but {' and '.join(lacking)} not set", "set them")
    elif empty and runner.kind == "llm":
        told = f"the environment variable {empty[0]!r} is empty"
        yield _warning(place, told, "set it, unless the endpoint needs no key")
    elif empty:
        yield _failure(place, f"the environment variable {empty[0]!r} is empty", "set it")
    else:
        where = {"llm": f"{runner.model} at {runner.base_url}", "webhook": "the app's webhook", "python": runner.entry}
        yield _ok(place, where[runner.kind])


def _running(host: str, port: int) -> Iterator[Finding]:
    """Ask the server that runs how it is."""
    import httpx  # noqa: PLC0415  only where something is listening already

    try:
        answer = httpx.get(f"http://{host}:{port}/readyz", timeout=10, trust_env=False)
        told = answer.json()
        if answer.status_code != httpx.codes.OK:
            yield _failure("server", told["error"]["message"], "events are refused meanwhile; senders keep them")
            return
        stages = told.get("stages", [])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        yield _failure("server", "does not say how it is", "see its log")
        return
    for stage in stages:
        yield _warning(f"stage {stage['stage']}", stage["error"], "it is tried again; its place is kept")
    if not stages:
        yield _ok("server", "takes events, and every stage runs")


def _answers(host: str, port: int) -> bool:
    import httpx  # noqa: PLC0415  only where something is listening already

    try:
        answer = httpx.get(f"http://{host}:{port}/healthz", timeout=2, trust_env=False)
        return answer.json() == {"status": "ok"} and "x-request-id" in answer.headers
    except (httpx.HTTPError, ValueError):
        return False


def _nearest(folder: Path) -> Path:
    """Return the folder itself, or the nearest above it that exists."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _written(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


_CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python, _parts, _storage, _clock, _database, _history, _redaction_key, _port, _runner,
)  # fmt: skip
