"""Opening a store from a command, to look: also while the server runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from trimtab.cli.place import loaded
from trimtab.clock import Clock, SystemClock
from trimtab.config import Settings
from trimtab.errors import InvalidField, NotFound
from trimtab.records import Project
from trimtab.runtime.kept_clock import KeptClock
from trimtab.runtime.parts import (
    DATABASE,
    open_store,
)
from trimtab.store.ports import HotStore

__all__ = ["DATE_FORMATS", "Look", "looking", "span"]

DATE_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


class Look(NamedTuple):
    """A store that is open, one project of it, and what time it is there."""

    settings: Settings
    store: HotStore
    project: Project
    now: datetime


@contextlib.contextmanager
def looking(config: Path | None, data: Path | None, project: str) -> Iterator[Look]:
    """Open the store that the settings name. Raises NotFound where there is none, or no such project."""
    settings = loaded(config, data).settings
    folder = Path(settings.storage.path)
    if not settings.storage.url and not (folder / DATABASE).exists():
        raise NotFound(f"no store in {str(folder)!r}; name one with --data, or start `trimtab serve`")
    clock: Clock = KeptClock(folder) if settings.server.clock == "set" else SystemClock()
    with contextlib.closing(open_store(settings)) as store:
        found = next((item for item in store.projects() if item.id == project), None)
        if found is None:
            raise NotFound(f"no project {project!r} in {str(folder)!r}")
        yield Look(settings, store, found, clock.now())


def span(
    since: datetime | None, until: datetime | None, *, begin: datetime, end: datetime
) -> tuple[datetime, datetime]:
    """Return the span asked for on the command line, in UTC. Raises InvalidField where it ends before it begins."""
    first = since.replace(tzinfo=UTC) if since is not None else begin
    last = until.replace(tzinfo=UTC) if until is not None else end
    if first > last:
        raise InvalidField(f"expected since before until, got {first.isoformat()} and {last.isoformat()}")
    return first, last
