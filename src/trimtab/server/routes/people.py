"""What people are told and asked: deliveries with their state, and the review queue."""

from __future__ import annotations

from typing import Annotated, Any, get_args

import msgspec
from litestar import get, post
from litestar.params import FromPath, RawBody
from msgspec import Meta, Struct

from trimtab.errors import Conflict, InvalidField, NotFound
from trimtab.ids import derived_id
from trimtab.records import (
    Case,
    Delivery,
    DeliveryState,
    Feedback,
    FeedbackKind,
    Inference,
    Name,
    Payload,
    ReviewItem,
    ReviewState,
    Time,
    Verdict,
)
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import Engine
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, listing, read
from trimtab.server.query import asked, query_of
from trimtab.store.ports import Writes

__all__ = ["ROUTES", "Asked", "Judged", "NextOrder", "Ruling", "Said"]

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
    """A review item with what a reviewer needs to judge it; the words are null where the answer is no longer kept."""

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
    A good answer with `case` becomes one as it stands. `seconds` is how long it took.
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


@get("/v1/deliveries", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Delivery], query=_LISTED))
def list_deliveries(request: Call) -> Listing[Delivery]:
    """List what people were told, or will be; `failed` ones were given up and can be sent again."""
    told = asked(request)
    states: Any = _states(told.state, get_args(DeliveryState))
    return listing(engine_of(request).store.deliveries(request.auth.project_id, query_of(told), states))


@post(
    "/v1/deliveries/{delivery_id:str}/retry",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", answer=Delivery),
)
def retry_delivery(request: Call, delivery_id: FromPath[str]) -> Delivery:
    """Send a delivery that failed again, as often as a new one."""
    engine, project_id = engine_of(request), request.auth.project_id
    found = engine.store.delivery(project_id, id_in_path(delivery_id, "delivery"))
    if found is None:
        raise NotFound(f"no delivery {delivery_id!r}", param="delivery_id")
    if found.state != "failed":
        raise Conflict(f"delivery {delivery_id!r} is {found.state}; only one that failed can be sent again")
    again = msgspec.structs.replace(found, state="waiting", attempts=0, next_at=engine.clock.now())
    engine.store.commit({project_id: Writes(delivered=[again])})
    return again


@get("/v1/review", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[ReviewItem], query=_LISTED))
def list_review(request: Call) -> Listing[ReviewItem]:
    """List review items; times are compared with `opened_at`."""
    told = asked(request)
    states: Any = _states(told.state, get_args(ReviewState))
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
    answers, said = engine.store.inferences(project_id, ids), engine.store.joined_to(project_id, ids)
    opinions = engine.store.opinions(project_id, ids).values()
    holds = {opinion.feedback_id for each in opinions for opinion in each if not opinion.retracted}
    return Listing(
        [
            _asked(
                item,
                answers.get(item.inference_id),
                [each for each in said.get(item.inference_id, []) if each.id in holds],
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
    """Judge an item. The verdict becomes feedback of the source `reviewer`, as if the app had sent it."""
    engine, project_id = engine_of(request), request.auth.project_id
    wanted, told = id_in_path(item_id, "item"), read(body, Ruling)
    _checked(told)
    item = engine.reviews.claim(project_id, wanted, told.reviewer, engine.clock.now())
    answer = engine.store.inferences(project_id, [item.inference_id]).get(item.inference_id)
    if answer is None and told.verdict != "skip":
        raise Conflict(f"the answer of review item {wanted!r} is no longer kept; skip it")
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
            id=derived_id("verdict", item.id, item.reserved_by or "", kind),
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
        check="similar" if engine.settings.runner.kind == "llm" else "exact",
        incident_id=item.incident_id,
        feedback_id=feedback_id,
    )


def _asked(item: ReviewItem, answer: Inference | None, said: list[Feedback]) -> Asked:
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
        item=item, input=answer.input if answer else None, output=answer.output if answer else None, said=heard
    )


def _states(told: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    for state in told:
        if state not in known:
            raise InvalidField(f"state: expected one of {', '.join(known)}, got {state[:60]!r}", param="state")
    return told


ROUTES = [list_deliveries, retry_delivery, list_review, next_review, judge_review]
