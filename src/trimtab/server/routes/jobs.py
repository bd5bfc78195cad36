"""Training jobs: ordered, followed, called off."""

from __future__ import annotations

from litestar import get, post
from litestar.params import FromPath

from trimtab.errors import NotFound
from trimtab.records import Job
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, listing, name_in_path
from trimtab.server.query import asked, query_of

__all__ = ["ROUTES"]


@post(
    "/v1/features/{feature:str}/finetune",
    sync_to_thread=True,
    status_code=202,
    opt=contract("admin", answer=Job, status=202),
)
def order_job(request: Call, feature: FromPath[str]) -> Job:
    """Begin to train a model on what people said of a feature; GET /v1/jobs/{id} says when it is done."""
    engine = engine_of(request)
    return engine.jobs.order(request.auth.project_id, name_in_path(feature), engine.clock.now())


@get(
    "/v1/jobs",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[Job], query=("feature", "since", "until", "after", "limit", "order")),
)
def list_jobs(request: Call) -> Listing[Job]:
    """List training jobs; times are compared with `created_at`."""
    return listing(engine_of(request).store.jobs(request.auth.project_id, query_of(asked(request))))


@get("/v1/jobs/{job_id:str}", sync_to_thread=True, opt=contract("read", "admin", answer=Job))
def get_job(request: Call, job_id: FromPath[str]) -> Job:
    """Return one training job: its state, its dataset, the model that came of it."""
    found = engine_of(request).store.job(request.auth.project_id, id_in_path(job_id, "job"))
    if found is None:
        raise NotFound(f"no job {job_id!r}", param="job_id")
    return found


@post("/v1/jobs/{job_id:str}/cancel", sync_to_thread=True, status_code=200, opt=contract("admin", answer=Job))
def cancel_job(request: Call, job_id: FromPath[str]) -> Job:
    """Call a job off: its processes are asked to end, and killed ten seconds later; at an endpoint it is called off."""
    engine = engine_of(request)
    return engine.jobs.cancel(request.auth.project_id, id_in_path(job_id, "job"), engine.clock.now())


ROUTES = [order_job, list_jobs, get_job, cancel_job]
