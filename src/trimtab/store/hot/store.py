"""The hot store over a SQL database: the four ports put together."""

from __future__ import annotations

from sqlalchemy import bindparam, literal_column, select, update

from trimtab.errors import Unavailable
from trimtab.store.hot.aside import Asides
from trimtab.store.hot.catalog import Catalog
from trimtab.store.hot.census import Censuses
from trimtab.store.hot.conversations import Conversations
from trimtab.store.hot.counters import Counters
from trimtab.store.hot.database import Database, holes, prepare
from trimtab.store.hot.datasets import Datasets
from trimtab.store.hot.erase import Erasures
from trimtab.store.hot.events import Events
from trimtab.store.hot.golden import Golden
from trimtab.store.hot.inbox import Inbox
from trimtab.store.hot.jobs import Jobs
from trimtab.store.hot.judgements import Judgements
from trimtab.store.hot.knowledge import Patches
from trimtab.store.hot.loop import Loop
from trimtab.store.hot.measures import Measures
from trimtab.store.hot.people import People
from trimtab.store.hot.purge import Purges
from trimtab.store.hot.redaction import Redactions
from trimtab.store.hot.topics import Topics
from trimtab.store.schema import probe

__all__ = ["SqlHotStore"]


class SqlHotStore(
    Events,
    Inbox,
    Judgements,
    Counters,
    Conversations,
    Catalog,
    Loop,
    Golden,
    People,
    Redactions,
    Purges,
    Asides,
    Topics,
    Datasets,
    Patches,
    Erasures,
    Jobs,
    Measures,
    Censuses,
):
    """All ports of `trimtab.store.ports` over one database."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        first = database.insert(probe).values(holes(["id", "checks"])).on_conflict_do_nothing()
        self._first_check = prepare(first, database.dialect, ["id", "checks"])
        count = update(probe).where(probe.c.id == bindparam("row")).values(checks=probe.c.checks + literal_column("1"))
        self._count_check = prepare(count, database.dialect, ["row"])

    def check(self) -> None:
        """Write and read one row, or raise `Unavailable` saying what is wrong."""
        self._database.require_room()
        with self._database.transaction() as write:
            write.many(self._first_check, [(1, 0)])
            write.many(self._count_check, [(1,)])
        if not self._database.rows(select(probe.c.checks)):
            raise Unavailable("expected to read back the row just written, found none; check the disk")

    def close(self) -> None:
        """Finish what is under way and close every connection. A second call does nothing."""
        self._database.close()
