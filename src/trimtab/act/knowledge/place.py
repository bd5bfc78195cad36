"""What apps' indexes are to hold, as a place from which people are erased."""

from __future__ import annotations

from trimtab.act.knowledge.patches import PatchDesk
from trimtab.clock import Clock
from trimtab.ids import content_id
from trimtab.store.erasing import Gone, Removed

__all__ = ["PatchPlace"]


class PatchPlace:
    """The documents that were made from a person's corrections: withdrawn, and to be taken out of the app's index.

    Asked after the versions, from which no new patch can be made by then.
    """

    name = "knowledge"

    def __init__(self, desk: PatchDesk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock

    def erase(self, project_id: str, gone: Gone) -> Removed | None:
        """Take their words out of every patch; what the app's index holds goes when its delete is carried out."""
        entries = {content_id("k", each.encode()) for each in gone.feedback}
        count = self._desk.forget(project_id, entries, self._clock.now()) if entries else 0
        if not count:
            return Removed({}, [])
        told = f"{count} documents are to be taken out of the app's index: see the patches of kind delete"
        return Removed({"patches": count}, [told])
