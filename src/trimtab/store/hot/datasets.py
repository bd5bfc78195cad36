"""Which training sets were made."""

from __future__ import annotations

from trimtab.records import Dataset
from trimtab.store.hot.page import Port, by_id, paged
from trimtab.store.ports import Page, Query
from trimtab.store.schema import DATASETS

__all__ = ["Datasets"]


class Datasets(Port):
    """The verbs of `DatasetStore`; the contract stands there."""

    def dataset(self, project_id: str, dataset_id: str) -> Dataset | None:
        """Return one dataset, a deleted one too."""
        return by_id(self._database, DATASETS, project_id, dataset_id)

    def datasets(self, project_id: str, query: Query) -> Page[Dataset]:
        """Return one page of the datasets that are not deleted."""
        return paged(self._database, DATASETS, project_id, query, DATASETS.table.c.state != "deleted")
