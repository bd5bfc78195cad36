"""The review queue as a whole: batches, their themes, what reviewers did, and links for outside experts."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, RawBody
from msgspec import Meta, Struct

from trimtab.errors import NotFound
from trimtab.ids import new_id
from trimtab.measure.reviewing import ReviewSummary, review_summary
from trimtab.records import Name, ReviewBatch, ReviewItem, ReviewLink, ReviewTheme, Time
from trimtab.redact.wall import seal
from trimtab.server.auth import GUEST
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, listing, read
from trimtab.server.query import asked, query_of, span_of
from trimtab.server.routes.review import Reviewer
from trimtab.store.ports import Writes

__all__ = ["ROUTES", "BatchOrder", "LinkInfo", "LinkOrder", "MadeLink", "ThemeCard"]

_LISTED = ("feature", "since", "until", "after", "limit", "order")
_MONTH = timedelta(days=28)


class BatchOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which feature to ask, and about how many answers: what is left of the week's budget unless told."""

    feature: Name
    items: Annotated[int, Meta(ge=1, le=1000)] | None = None


class ThemeCard(Struct, frozen=True, kw_only=True):
    """A theme with the items that are asked about for all of its answers."""

    theme: ReviewTheme
    items: list[ReviewItem]


class LinkOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For whom a link is, and for how many hours: `review.link_hours` unless told."""

    reviewer: Reviewer
    hours: Annotated[float, Meta(gt=0, le=24 * 365)] | None = None


class LinkInfo(Struct, frozen=True, kw_only=True):
    """A link as it is shown later: without its token, of which only a hash is kept."""

    id: str
    item_id: str
    reviewer: str
    created_at: Time
    expires_at: Time
    revoked: bool


class MadeLink(Struct, frozen=True, kw_only=True):
    """A new link; `token` is shown this once. Whoever has it can see and judge this one item, and nothing else."""

    token: str
    link: LinkInfo


@post("/v1/review/batches", sync_to_thread=True, opt=contract("admin", body=BatchOrder, answer=ReviewBatch, status=201))
def order_batch(request: Call, body: RawBody) -> ReviewBatch:
    """Choose now what to ask about a feature: the themes of what looks wrong, and an audit drawn at random."""
    told, engine = read(body, BatchOrder), engine_of(request)
    return engine.queue.order(request.auth.project_id, told.feature, engine.clock.now(), told.items)


@get(
    "/v1/review/batches", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[ReviewBatch], query=_LISTED)
)
def list_batches(request: Call) -> Listing[ReviewBatch]:
    """List batches with what they were chosen by."""
    return listing(engine_of(request).store.review_batches(request.auth.project_id, query_of(asked(request))))


@get(
    "/v1/review/themes",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[ThemeCard], query=(*_LISTED, "batch")),
)
def list_themes(request: Call) -> Listing[ThemeCard]:
    """List failure themes, one card each, with their answers and what reviewers said of the one they were asked."""
    told, engine, project_id = asked(request), engine_of(request), request.auth.project_id
    page = engine.store.review_themes(project_id, query_of(told), told.batch)
    themes = [row.record for row in page.rows]
    items = engine.store.reviews_on(project_id, [theme.inference_id for theme in themes])
    cards = [ThemeCard(theme=theme, items=items.get(theme.inference_id, [])) for theme in themes]
    return Listing(cards, None if page.next is None else str(page.next))


@get(
    "/v1/review/summary",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=ReviewSummary, query=("feature", "since", "until")),
)
def summarise_reviews(request: Call) -> ReviewSummary:
    """Sum up what waits, how long verdicts took, what they found and how far reviewers agree; of the last 28 days."""
    told, engine = asked(request), engine_of(request)
    now = engine.clock.now() + timedelta(microseconds=1)  # what was opened this moment counts
    since, until = span_of(told, now, _MONTH)
    return review_summary(engine.store, request.auth.project_id, told.feature, since, until)


@post(
    "/v1/review/{item_id:str}/links",
    sync_to_thread=True,
    opt=contract("admin", body=LinkOrder, answer=MadeLink, status=201),
)
def make_link(request: Call, item_id: FromPath[str], body: RawBody) -> MadeLink:
    """Make a link with which somebody without a key can judge this one answer. They get an item of their own."""
    told, engine, project_id = read(body, LinkOrder), engine_of(request), request.auth.project_id
    now = engine.clock.now()
    item = engine.reviews.asked_of(project_id, id_in_path(item_id, "item"), told.reviewer, now)
    token = f"{GUEST}{secrets.token_urlsafe(32)}"
    link = ReviewLink(
        id=new_id(now),
        item_id=item.id,
        inference_id=item.inference_id,
        reviewer=told.reviewer,
        sha256=hashlib.sha256(token.encode()).hexdigest(),
        created_at=now,
        expires_at=now + timedelta(hours=told.hours or engine.settings.review.link_hours),
    )
    sealed = seal(engine.redactor.of(project_id), link)
    engine.store.commit({project_id: Writes(review_links=[sealed])})
    return MadeLink(token=token, link=_info(sealed.record))


@get("/v1/review/{item_id:str}/links", sync_to_thread=True, opt=contract("admin", answer=Listing[LinkInfo]))
def list_links(request: Call, item_id: FromPath[str]) -> Listing[LinkInfo]:
    """List the links to an item, expired and revoked ones too."""
    return Listing([_info(link) for link in _links(request, item_id)])


@delete(
    "/v1/review/{item_id:str}/links/{link_id:str}",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", answer=LinkInfo),
)
def revoke_link(request: Call, item_id: FromPath[str], link_id: FromPath[str]) -> LinkInfo:
    """Revoke a link: from now on its token opens nothing."""
    engine, project_id = engine_of(request), request.auth.project_id
    found = next((link for link in _links(request, item_id) if link.id == link_id), None)
    if found is None:
        raise NotFound(f"no link {link_id!r} to this review item", param="link_id")
    revoked = msgspec.structs.replace(found, revoked_at=found.revoked_at or engine.clock.now())
    engine.store.commit({project_id: Writes(review_links=[seal(engine.redactor.of(project_id), revoked)])})
    return _info(revoked)


def _links(request: Call, item_id: str) -> list[ReviewLink]:
    """Return the links to the answer of an item, whichever of its seats they are for."""
    engine, project_id = engine_of(request), request.auth.project_id
    wanted = id_in_path(item_id, "item")
    item = engine.store.review(project_id, wanted)
    if item is None:
        raise NotFound(f"no review item {wanted!r}", param="item_id")
    items = engine.store.review_card(project_id, item.card_id) if item.card_id else [item]
    return [link for each in items for link in engine.store.review_links(project_id, each.id)]


def _info(link: ReviewLink) -> LinkInfo:
    return LinkInfo(
        id=link.id,
        item_id=link.item_id,
        reviewer=link.reviewer,
        created_at=link.created_at,
        expires_at=link.expires_at,
        revoked=link.revoked_at is not None,
    )


ROUTES = [order_batch, list_batches, list_themes, summarise_reviews, make_link, list_links, revoke_link]
