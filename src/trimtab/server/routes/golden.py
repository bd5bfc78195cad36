"""Answers to golden cases, people's rulings on them, and how far the judging model agrees with people."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from litestar import get, post
from litestar.params import FromPath, RawBody
from msgspec import Meta, Struct

from trimtab.act.checks.measured import JudgeReport
from trimtab.errors import Conflict, NotFound
from trimtab.records import CaseAnswer, CheckKind, Payload, Text
from trimtab.runtime.assemble import Engine
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, name_in_path, read
from trimtab.server.query import LIST, asked, query_of

__all__ = ["ROUTES", "Answered", "Ordered", "Ruled"]

_PAGED = tuple(name for name in LIST if name != "feature")


class Answered(Struct, frozen=True, kw_only=True):
    """An answer to a golden case, with what a person needs to rule on it.

    The judging model's opinion is not told before the ruling: who knows it agrees with it.
    """

    answer: CaseAnswer
    input: Payload
    expected: Text
    check: CheckKind


class Ruled(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person says of an answer to a golden case."""

    ruling: Literal["good", "bad"]


class Ordered(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """About how many answers to ask the judging model at most, before the report."""

    most: Annotated[int, Meta(ge=1, le=100)] = 50


@get(
    "/v1/features/{feature:str}/answers",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[Answered], query=_PAGED),
)
def list_answers(request: Call, feature: FromPath[str]) -> Listing[Answered]:
    """List answers to the feature's golden cases that wait for a person's ruling, those that a model has judged."""
    engine, project_id = engine_of(request), request.auth.project_id
    told = query_of(asked(request))
    name = _feature(engine, project_id, feature)
    cases = {case.id: case for case in engine.store.cases(project_id, name)}
    query = msgspec.structs.replace(told, feature=name)
    page = engine.store.case_answers(project_id, query, ruled=False, judged=True)
    found = [
        Answered(answer=_blind(row.record), input=case.input, expected=case.expected, check=case.check)
        for row in page.rows
        if (case := cases.get(row.record.case_id)) is not None
    ]
    return Listing(found, None if page.next is None else str(page.next))


@post(
    "/v1/answers/{answer_id:str}/ruling",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", body=Ruled, answer=CaseAnswer),
)
def rule_answer(request: Call, answer_id: FromPath[str], body: RawBody) -> CaseAnswer:
    """Say whether an answer to a golden case is good. A later ruling takes the place of an earlier one."""
    engine, told = engine_of(request), read(body, Ruled)
    wanted = id_in_path(answer_id, "answer")
    return engine.exams.rule(request.auth.project_id, wanted, told.ruling == "good", engine.clock.now())


@get("/v1/features/{feature:str}/judge", sync_to_thread=True, opt=contract("read", "admin", answer=JudgeReport))
def get_judge(request: Call, feature: FromPath[str]) -> JudgeReport:
    """Say how far the judging model agrees with people on this feature's answers, and whether it may decide."""
    engine, project_id = engine_of(request), request.auth.project_id
    return engine.exams.report(project_id, _feature(engine, project_id, feature))


@post(
    "/v1/features/{feature:str}/judge",
    sync_to_thread=True,
    status_code=200,
    opt=contract("admin", body=Ordered, answer=JudgeReport, body_required=False),
)
def measure_judge(request: Call, feature: FromPath[str], body: RawBody) -> JudgeReport:
    """Ask the judging model about answers that people ruled on and it has not seen yet, and say how it agrees."""
    engine, project_id, told = engine_of(request), request.auth.project_id, read(body, Ordered)
    name = _feature(engine, project_id, feature)
    if engine.exams.judge is None:
        raise Conflict("no model judges: set judge.model")
    return engine.exams.measure(project_id, name, engine.clock.now(), most=told.most)


def _feature(engine: Engine, project_id: str, feature: str) -> str:
    name = name_in_path(feature)
    if engine.store.rollout(project_id, name) is None:
        raise NotFound(f"no feature {name!r}; PUT /v1/features/{{feature}} declares it", param="feature")
    return name


def _blind(answer: CaseAnswer) -> CaseAnswer:
    return CaseAnswer(
        id=answer.id,
        feature=answer.feature,
        case_id=answer.case_id,
        version_id=answer.version_id,
        runner=answer.runner,
        sample=answer.sample,
        created_at=answer.created_at,
        output=answer.output,
    )


ROUTES = [list_answers, rule_answer, get_judge, measure_judge]
