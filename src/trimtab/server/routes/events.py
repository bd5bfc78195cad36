"""The way in: events of the app, in batches or one by one. The body is read raw; the answer means durable."""

from __future__ import annotations

from litestar import post

from trimtab.ingest.intake import Receipt
from trimtab.records import Event, Feedback, Inference
from trimtab.server.contract import Call, contract, engine_of
from trimtab.server.metrics import Metrics

__all__ = ["ROUTES"]

_BATCH_TYPES = ("application/json", "application/x-ndjson")


@post(
    "/v1/events",
    status_code=200,
    opt=contract("public", "ingest", "admin", body=list[Event], answer=Receipt, body_types=_BATCH_TYPES, metered=True),
)
async def add_events(request: Call) -> Receipt:
    """Take a batch of inferences and feedback, told apart by `type`; gzip allowed.

    A JSON array, or one event a line with content type `application/x-ndjson`. The accepted events are durable when
    this answers; an id seen before is a duplicate; a bad event is rejected by its index and the rest are kept. A public
    key sends feedback alone and cannot bring a new feature with it; a token, feedback on its one answer alone.
    """
    headers = request.headers
    receipt = await engine_of(request).intake.accept(
        request.auth.project_id,
        request.stream(),
        content_type=headers.get("content-type", ""),
        content_encoding=headers.get("content-encoding", ""),
        sender=request.auth.sender,
    )
    lost = headers.get("trimtab-lost")
    if lost and request.auth.sender.trusted:
        metrics: Metrics = request.app.state.metrics
        metrics.lost(lost)
    return receipt


@post("/v1/inferences", status_code=200, opt=contract("ingest", "admin", body=Inference, answer=Receipt, metered=True))
async def add_inference(request: Call) -> Receipt:
    """Take one inference; `type` may be left out. A bad one is answered with an error."""
    return await engine_of(request).intake.accept_one(
        request.auth.project_id,
        request.stream(),
        "inference",
        content_encoding=request.headers.get("content-encoding", ""),
        sender=request.auth.sender,
    )


@post(
    "/v1/feedback",
    status_code=200,
    opt=contract("public", "ingest", "admin", body=Feedback, answer=Receipt, metered=True),
)
async def add_feedback(request: Call) -> Receipt:
    """Take one feedback; `type` may be left out. A public key cannot bring a new feature with it."""
    return await engine_of(request).intake.accept_one(
        request.auth.project_id,
        request.stream(),
        "feedback",
        content_encoding=request.headers.get("content-encoding", ""),
        sender=request.auth.sender,
    )


ROUTES = [add_events, add_inference, add_feedback]
