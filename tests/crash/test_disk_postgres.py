"""PostgreSQL's disk is full, its database takes no writes, it is away: the server says so and goes on by itself."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.crash.disk import filled, small_disk
from tests.crash.test_disk import Sender, fill_up, judged, until
from tests.postgres import PostgresServer, database_name, postgres_server
from tests.serving import ServerProcess

Fault = Callable[[PostgresServer, str, Path], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server(durable=True) as running:
        yield running


@contextmanager
def full(_: PostgresServer, __: str, room: Path) -> Iterator[None]:
    with filled(room):
        yield


@contextmanager
def read_only(postgres: PostgresServer, _: str, __: Path) -> Iterator[None]:
    """Let every session, those that are open too, refuse writes as a replica does."""
    postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    postgres.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        postgres.execute("ALTER SYSTEM RESET default_transaction_read_only")
        postgres.execute("SELECT pg_reload_conf()")


@contextmanager
def away(postgres: PostgresServer, _: str, __: Path) -> Iterator[None]:
    """Let the server be gone, as after a power cut."""
    postgres.stop(how="immediate")
    try:
        yield
    finally:
        postgres.start()


@contextmanager
def database(postgres: PostgresServer, folder: Path, fault: str) -> Iterator[tuple[str, Path]]:
    """Make a database, on a small disk of its own where that is to be filled."""
    url = postgres.database()
    if fault != "full":
        yield url, folder
        return
    room = Path(tempfile.mkdtemp(prefix="tt-pg-disk-"))  # pytest's folder is closed to the server's user
    room.chmod(0o755)
    name = database_name(url)
    try:
        with small_disk(room / "disk", owner=pwd.getpwnam("nobody").pw_uid) as disk:
            disk.chmod(0o700)
            postgres.execute(f"CREATE TABLESPACE small_{name} LOCATION '{disk}'")
            postgres.execute(f"ALTER DATABASE {name} SET TABLESPACE small_{name}")
            try:
                yield url, disk
            finally:
                postgres.drop(url)
                postgres.execute(f"DROP TABLESPACE small_{name}")
    finally:
        shutil.rmtree(room)


@pytest.mark.parametrize("fault", [full, read_only, away], ids=lambda fault: fault.__name__)
def test_a_database_that_takes_nothing_loses_nothing_and_the_server_goes_on_by_itself(
    postgres: PostgresServer, tmp_path: Path, fault: Fault
) -> None:
    if fault is full and os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    with database(postgres, tmp_path, fault.__name__) as (url, room):
        server = ServerProcess(tmp_path, {"TRIMTAB_STORAGE__URL": url})
        try:
            server.start()
            sender, pid = Sender(server), server.pid
            for _ in range(5):
                assert sender.send().status_code == 200
            with fault(postgres, url, room):
                fill_up(sender)
                for _ in range(3):
                    sender.require_refused(sender.send())
                if fault is not away:
                    assert sender.stored() == sender.acknowledged
                    assert sender.get("/v1/features").status_code == 200
                assert sender.get("/healthz").status_code == sender.get("/metrics").status_code == 200
                sender.require_refused(sender.get("/readyz"))
            until(lambda: sender.send(sender.refused[0]).status_code == 200, "events are taken again")
            for events in sender.refused:
                assert sender.send(events).status_code == 200
            until(lambda: sender.get("/readyz").json().get("status") == "ready", "every stage works again")
            until(lambda: judged(sender) == len(sender.acknowledged) // 2, "every vote is judged")
            assert sender.stored() == sender.acknowledged
            assert server.pid == pid
        finally:
            server.stop()
