"""Reviewers over HTTP: who is asked what, and what a verdict does. A guest with a link sees one item and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, get_args

import msgspec
from litestar import get, post
from litestar.params import FromPath, RawBody
from msgspec import Meta, Struct

from trimtab.act.review import verdict_id
from trimtab.act.runner import check_of
from trimtab.errors import AuthError, Conflict, InvalidField
from trimtab.ids import derived_id
from trimtab.records import (
    Case,
    Exemplar,
    Feedback,
    FeedbackKind,
    Inference,
    Name,
    Payload,
    ReviewItem,
    ReviewLink,
    ReviewState,
    Time,
    Verdict,
)
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import Engine
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, listing, read
from trimtab.server.query import asked, query_of, states_of
from trimtab.store.ports import Writes

__all__ = ["ROUTES", "Asked", "GuestRuling", "GuestView", "Judged", "NextOrder", "Reviewer", "Ruling", "Said"]

_LISTED = ("feature", "state", "since", "until", "after", "limit", "order")

Reviewer = Annotated[str, Meta(min_length=1, max_length=256)]


class Said(Struct, frozen=True, kw_only=True):
    """What somebody said of the answer."""

    kind: FeedbackKind
    source: str
    created_at: Time
    value: float | None = None
    label: str | None = None
    text: str | None = None


class Asked(Struct, frozen=True, kw_only=True):
    """A review item with what a reviewer needs to judge it; the words are null where the answer is no longer kept.

    Of an item about an example, `input` and `output` are the example's.
    """

    item: ReviewItem
    input: Payload | None = None
    output: Payload | None = None
    said: list[Said] = []


class NextOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who wants items, how many, and of which feature (any unless told)."""

    reviewer: Reviewer
    count: Annotated[int, Meta(ge=1, le=100)] = 1
    feature: Name | None = None


class Ruling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reviewer's verdict on one item.

    `correction` is what would have been right; with `case` it becomes a golden case, and nothing is built from it.
    A good answer with `case` becomes one as it stands. `seconds` is how long it took. An example is no answer of the
    app: its verdict becomes no feedback, and takes neither `case` nor `label`.
    """

    reviewer: Reviewer
    verdict: Verdict
    correction: str | None = None
    label: str | None = None
    case: bool = False
    seconds: Annotated[float, Meta(ge=0)] | None = None


class Judged(Struct, frozen=True, kw_only=True):
    """The closed item, and what came of the verdict."""

    item: ReviewItem
    feedback_ids: list[str]
    case_id: str | None = None


class GuestView(Struct, frozen=True, kw_only=True):
    """What somebody with a link is shown: one question with its answer, and until when they may judge it."""

    reviewer: str
    feature: Name
    expires_at: Time
    input: Payload | None = None
    output: Payload | None = None


class GuestRuling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The verdict of somebody with a link; fields as in `Ruling`."""

    verdict: Verdict
    correction: str | None = None
    label: str | None = None
    seconds: Annotated[float, Meta(ge=0)] | None = None


@get("/v1/review", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[ReviewItem], query=_LISTED))
def list_review(request: Call) -> Listing[ReviewItem]:
    """List review items; times are compared with `opened_at`."""
    told = asked(request)
    states: Any = states_of(told.state, get_args(ReviewState))
    return listing(engine_of(request).store.reviews(request.auth.project_id, query_of(told), states))


@post(
    "/v1/review/next",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", body=NextOrder, answer=Listing[Asked]),
)
def next_review(request: Call, body: RawBody) -> Listing[Asked]:
    """Reserve the first items of the queue for a reviewer: nobody else is given them until the reservation ends.

    Asking again gives the reviewer's own open reservations first.
    """
    told, engine, project_id = read(body, NextOrder), engine_of(request), request.auth.project_id
    items = engine.reviews.next(project_id, told.reviewer, told.count, engine.clock.now(), told.feature)
    ids = [item.inference_id for item in items]
    answers, said = _shown(engine, project_id, items), engine.store.joined_to(project_id, ids)
    opinions = engine.store.opinions(project_id, ids).values()
    holds = {opinion.feedback_id for each in opinions for opinion in each if not opinion.retracted}
    return Listing(
        [
            _asked(
                item,
                answers.get(item.id),
                [each for each in said.get(item.inference_id, []) if each.id in holds and _may_hear(item, each)],
            )
            for item in items
        ]
    )


@post(
    "/v1/review/{item_id:str}",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", body=Ruling, answer=Judged),
)
def judge_review(request: Call, item_id: FromPath[str], body: RawBody) -> Judged:
    """Judge an item. The verdict becomes feedback of the source `reviewer`, as if the app had sent it.

    That on an example does not: it says whether the example still holds.
    """
    engine, project_id = engine_of(request), request.auth.project_id
    wanted, told = id_in_path(item_id, "item"), read(body, Ruling)
    return _judged(engine, project_id, wanted, told)


@get("/v1/guest/review", sync_to_thread=True, opt=contract(answer=GuestView, guest=True))
def guest_review(request: Call) -> GuestView:
    """Show the one item that the token of the link is for, and begin to measure the time. The token is the key."""
    engine, project_id, link = engine_of(request), request.auth.project_id, _link(request)
    item = engine.reviews.claim(project_id, link.item_id, link.reviewer, engine.clock.now(), shown=True)
    answer = _shown(engine, project_id, [item]).get(item.id)
    return GuestView(
        reviewer=link.reviewer,
        feature=item.feature,
        expires_at=link.expires_at,
        input=answer.input if answer else None,
        output=answer.output if answer else None,
    )


@post(
    "/v1/guest/review",
    sync_to_thread=True,
    status_code=200,
    opt=contract(body=GuestRuling, answer=GuestRuling, guest=True),
)
def judge_guest_review(request: Call, body: RawBody) -> GuestRuling:
    """Judge the item of the link, once; the answer says what was taken down."""
    engine, project_id, link = engine_of(request), request.auth.project_id, _link(request)
    told = read(body, GuestRuling)
    ruling = Ruling(reviewer=link.reviewer, **msgspec.structs.asdict(told))
    _judged(engine, project_id, link.item_id, ruling)
    return told


def _shown(engine: Engine, project_id: str, items: Sequence[ReviewItem]) -> dict[str, Inference | Exemplar]:
    """Return what each item is about, by item id, where it is still kept: an answer, or an example."""
    answers = engine.store.inferences(project_id, [item.inference_id for item in items])
    found = {item.id: answers[item.inference_id] for item in items if item.inference_id in answers}
    return {**found, **engine.looks.shown(project_id, items)}


def _link(request: Call) -> ReviewLink:
    link: ReviewLink | None = request.auth.link
    if link is None:
        raise AuthError("expected the token of a review link, got a key")
    return link


def _judged(engine: Engine, project_id: str, item_id: str, told: Ruling) -> Judged:
    """Carry out a verdict, one at a time: of two at once the second finds the item closed."""
    _checked(told)
    with engine.reviews.turn:
        item = engine.reviews.claim(project_id, item_id, told.reviewer, engine.clock.now())
        if item.source == "example":
            return _looked(engine, project_id, item, told)
        return _ruled(engine, project_id, item, told)


def _ruled(engine: Engine, project_id: str, item: ReviewItem, told: Ruling) -> Judged:
    answer = engine.store.inferences(project_id, [item.inference_id]).get(item.inference_id)
    if answer is None and told.verdict != "skip":
        raise Conflict(f"the answer of review item {item.id!r} is no longer kept; skip it")
    feedback, case = [], None
    if answer is not None and told.verdict != "skip":
        feedback = _feedback(engine, item, told)
        receipt = engine.intake.accept_now(project_id, msgspec.json.encode(feedback))
        if receipt.rejected:
            raise InvalidField(receipt.rejected[0].message)
        case = _case(engine, item, answer, told, feedback[0].id) if told.case else None
    if case is not None:
        engine.store.commit({project_id: Writes(cases=[seal(engine.redactor.of(project_id), case)])})
    # Last: were this to fail, the same verdict can be given again, and its feedback has the same ids.
    closed = engine.reviews.close(project_id, item, told.verdict, engine.clock.now(), told.seconds)
    return Judged(item=closed, feedback_ids=[each.id for each in feedback], case_id=case.id if case else None)


def _looked(engine: Engine, project_id: str, item: ReviewItem, told: Ruling) -> Judged:
    """Carry out a verdict on an example: nothing becomes of it but whether it confirms the doubt."""
    for name, given in (("case", told.case), ("label", told.label is not None)):
        if given:
            raise InvalidField(
                f"{name}: expected none, since review item {item.id!r} is about an example, not an answer of the app",
                param=name,
            )
    if told.verdict != "skip" and item.id not in engine.looks.shown(project_id, [item]):
        raise Conflict(f"the example of review item {item.id!r} is no longer served; skip it")
    confirms = engine.looks.confirms(project_id, item, told.verdict, told.correction)
    closed = engine.reviews.close(project_id, item, told.verdict, engine.clock.now(), told.seconds, confirms=confirms)
    return Judged(item=_unled(closed), feedback_ids=[])


def _unled(item: ReviewItem) -> ReviewItem:
    """Return the item without what would lead whoever judges it, or the next example of the same doubt."""
    hidden: dict[str, Any] = dict.fromkeys(("p_wrong", "inclusion", "instead_id", "confirms"))
    return msgspec.structs.replace(item, known={}, **hidden)


def _checked(told: Ruling) -> None:
    if told.correction is not None and (told.verdict != "bad" or not told.correction.strip()):
        raise InvalidField("correction: expected words, and the verdict 'bad' with them", param="correction")
    if told.case and (told.verdict == "skip" or (told.verdict == "bad" and told.correction is None)):
        raise InvalidField("case: expected what is right: the verdict 'good', or a correction", param="case")


def _feedback(engine: Engine, item: ReviewItem, told: Ruling) -> list[Feedback]:
    """Return the verdict as feedback. A correction that becomes a golden case is none: nothing may build and judge."""
    words: dict[FeedbackKind, dict[str, Any]] = {"thumb": {"value": 1.0 if told.verdict == "good" else 0.0}}
    if told.correction is not None and not told.case:
        words["correction"] = {"text": told.correction}
    if told.label:
        words["label"] = {"label": told.label}
    now = engine.clock.now()
    return [
        Feedback(
            id=verdict_id(item, kind),
            kind=kind,
            created_at=now,
            inference_id=item.inference_id,
            feature=item.feature,
            user_id=told.reviewer,
            source="reviewer",
            **fields,
        )
        for kind, fields in words.items()
    ]


def _case(engine: Engine, item: ReviewItem, answer: Inference, told: Ruling, feedback_id: str) -> Case:
    """Return the golden case; it goes with the verdict it came of when the person who had asked is erased."""
    expected = told.correction
    if expected is None:
        expected = answer.output if isinstance(answer.output, str) else msgspec.json.encode(answer.output).decode()
    return Case(
        id=derived_id("case", item.id),
        feature=item.feature,
        created_at=engine.clock.now(),
        input=answer.input,
        expected=expected,
        check=check_of(engine.settings, item.feature),
        incident_id=item.incident_id,
        feedback_id=feedback_id,
    )


def _asked(item: ReviewItem, answer: Inference | Exemplar | None, said: list[Feedback]) -> Asked:
    heard = [
        Said(
            kind=each.kind,
            source=each.source,
            created_at=each.created_at,
            value=each.value,
            label=each.label,
            text=each.text,
        )
        for each in said
    ]
    return Asked(
        item=_unled(item), input=answer.input if answer else None, output=answer.output if answer else None, said=heard
    )


def _may_hear(item: ReviewItem, said: Feedback) -> bool:
    """Say whether a reviewer is told of it: several who judge apart must not lead each other; a referee hears all."""
    return said.source != "reviewer" or item.card_id is None or item.referee


ROUTES = [list_review, next_review, judge_review, guest_review, judge_guest_review]
