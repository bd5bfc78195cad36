"""Patches for the app's index: what waits, and what became of it."""

from __future__ import annotations

from typing import Annotated, get_args

from litestar import get, post
from litestar.params import FromPath, RawBody
from msgspec import Meta, Struct

from trimtab.act.knowledge.standing import document_boosts
from trimtab.errors import InvalidField
from trimtab.records import KnowledgePatch, PatchState
from trimtab.records.field import Identifier
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, listing, read
from trimtab.server.query import asked, query_of, states_of

__all__ = ["ROUTES", "Acknowledged", "DocumentBoost"]


class Acknowledged(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a patch: the chunks it was written as, and what the index gives now for its question."""

    chunk_ids: Annotated[list[Identifier], Meta(max_length=1000)] = []
    retrieved: Annotated[list[Identifier], Meta(max_length=1000)] | None = None


@get(
    "/v1/knowledge/patches",
    sync_to_thread=True,
    opt=contract(
        "ingest",
        "read",
        "admin",
        answer=Listing[KnowledgePatch],
        query=("feature", "since", "until", "after", "limit", "order", "state"),
    ),
)
def list_patches(request: Call) -> Listing[KnowledgePatch]:
    """List what is to change in the app's index: documents to write, or to take out again."""
    told = asked(request)
    states = states_of(told.state, get_args(PatchState))
    found = engine_of(request).store.patches(request.auth.project_id, query_of(told), states)  # type: ignore[arg-type]
    return listing(found)


@post(
    "/v1/knowledge/patches/{patch_id:str}/ack",
    sync_to_thread=True,
    status_code=200,
    opt=contract("ingest", "admin", body=Acknowledged, answer=KnowledgePatch, body_required=False),
)
def acknowledge_patch(request: Call, patch_id: FromPath[str], body: RawBody) -> KnowledgePatch:
    """Say that a patch was carried out; with what the index now gives for its question it is verified."""
    told, engine = read(body, Acknowledged), engine_of(request)
    return engine.patches.acknowledge(
        request.auth.project_id, id_in_path(patch_id, "patch"), told.chunk_ids, told.retrieved, engine.clock.now()
    )


class DocumentBoost(Struct, frozen=True, kw_only=True):
    """How answers that used a document fared: `boost` from -1 to 1, 0 for the usual.

    `uses` are answers with a vote; `good` and `bad` their votes, halved every 90 days.
    """

    chunk_id: str
    uses: int
    good: float
    bad: float
    boost: float


@get(
    "/v1/knowledge/boosts",
    sync_to_thread=True,
    opt=contract("ingest", "read", "admin", answer=Listing[DocumentBoost], query=("feature",)),
)
def list_boosts(request: Call) -> Listing[DocumentBoost]:
    """List the documents that answers used, the most harmful first: what to look at, or to rank a little lower."""
    feature, engine = asked(request).feature, engine_of(request)
    if feature is None:
        raise InvalidField("feature: expected the feature whose documents are meant, got none", param="feature")
    found = document_boosts(engine.store, request.auth.project_id, feature, engine.clock.now())
    return Listing(
        [
            DocumentBoost(chunk_id=each.document, uses=each.uses, good=each.good, bad=each.bad, boost=each.boost)
            for each in found
        ]
    )


ROUTES = [list_patches, acknowledge_patch, list_boosts]
