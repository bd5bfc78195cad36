"""Training sets as a place from which people are erased."""

from __future__ import annotations

from trimtab.act.datasets.desk import DatasetDesk
from trimtab.ids import derived_id
from trimtab.store.erasing import Gone, Removed

__all__ = ["DatasetPlace"]


class DatasetPlace:
    """The rows that were made from a person's answers and words, in every set."""

    name = "datasets"

    def __init__(self, desk: DatasetDesk) -> None:
        self._desk = desk

    def erase(self, project_id: str, gone: Gone) -> Removed | None:
        """Rewrite the sets without them; a set that is being built is waited for, since its draft may hold them."""
        cases = [derived_id("case", feedback_id) for feedback_id in gone.feedback]
        freed = self._desk.erase(project_id, inference_ids=gone.inferences, feedback_ids=gone.feedback, case_ids=cases)
        if self._desk.building(project_id):
            return None
        return Removed({"rows": sum(freed.values()), "sets": len(freed)})
