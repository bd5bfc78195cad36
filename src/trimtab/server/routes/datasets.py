"""Datasets: ordered, listed, handed out file by file, deleted."""

from __future__ import annotations

from urllib.parse import unquote

from litestar import delete, get, post
from litestar.params import FromPath, RawBody
from litestar.response import File

from trimtab.act.datasets.request import DatasetRequest
from trimtab.errors import NotFound
from trimtab.records import Dataset
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, listing, read
from trimtab.server.query import asked, query_of

__all__ = ["ROUTES"]

_TYPE = "application/x-ndjson"


@post(
    "/v1/datasets",
    sync_to_thread=True,
    status_code=202,
    opt=contract("admin", body=DatasetRequest, answer=Dataset, status=202),
)
def order_dataset(request: Call, body: RawBody) -> Dataset:
    """Begin to build a dataset from what people said; GET /v1/datasets/{id} says when it is done."""
    return engine_of(request).datasets.order(request.auth.project_id, read(body, DatasetRequest))


@get(
    "/v1/datasets",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[Dataset], query=("since", "until", "after", "limit", "order")),
)
def list_datasets(request: Call) -> Listing[Dataset]:
    """List datasets; times are compared with `created_at`."""
    return listing(engine_of(request).store.datasets(request.auth.project_id, query_of(asked(request))))


@get("/v1/datasets/{dataset_id:str}", sync_to_thread=True, opt=contract("read", "admin", answer=Dataset))
def get_dataset(request: Call, dataset_id: FromPath[str]) -> Dataset:
    """Return one dataset: its state, its rows by split, its files with their hashes."""
    found = engine_of(request).store.dataset(request.auth.project_id, id_in_path(dataset_id, "dataset"))
    if found is None or found.state == "deleted":
        raise NotFound(f"no dataset {dataset_id!r}", param="dataset_id")
    return found


@get(
    "/v1/datasets/{dataset_id:str}/files/{name:str}",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=str, answer_type=_TYPE),
)
def get_file(request: Call, dataset_id: FromPath[str], name: FromPath[str]) -> File:
    """Return one file of a dataset: rows of a split, `lineage.jsonl`, or `manifest.json`."""
    told = unquote(name)
    path = engine_of(request).datasets.file(request.auth.project_id, id_in_path(dataset_id, "dataset"), told)
    return File(path=path, filename=told, media_type="application/json" if told.endswith(".json") else _TYPE)


@delete("/v1/datasets/{dataset_id:str}", status_code=200, sync_to_thread=True, opt=contract("admin", answer=Dataset))
def delete_dataset(request: Call, dataset_id: FromPath[str]) -> Dataset:
    """Remove a dataset's files. Nothing else is touched: it can be built again."""
    return engine_of(request).datasets.delete(request.auth.project_id, id_in_path(dataset_id, "dataset"))


ROUTES = [order_dataset, list_datasets, get_dataset, get_file, delete_dataset]
