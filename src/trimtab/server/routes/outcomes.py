"""What answers were judged to be, how much of it can be believed, and the audit that says so."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.params import RawBody
from msgspec import Meta, Struct

from trimtab.enrich.audit import labels
from trimtab.enrich.dissatisfaction import Dissatisfaction, dissatisfaction
from trimtab.enrich.weights import HINTS, table
from trimtab.errors import InvalidField, NotFound
from trimtab.records import AuditItem, Calibration, Name, Outcome, Payload, Tier, Time
from trimtab.runtime.assemble import Engine
from trimtab.server.contract import Call, Listing, contract, engine_of, listing, read
from trimtab.server.query import LIST, Asked, asked, query_of, span_of
from trimtab.stats.interval import wilson
from trimtab.store.ports import Writes

__all__ = ["ROUTES", "CalibrationInfo", "Draw", "Drawn", "HintWeight", "VersionRate"]

_SPAN = timedelta(days=28)
_PEOPLE_COUNTED = 20_000  # votes; each is read for that


class VersionRate(Struct, frozen=True, kw_only=True):
    """How one version fared: `rate` is negatives of judged, with its 95% Wilson interval (null when none is judged).

    `voters` are the distinct people behind them; null where the span has more than 20,000 votes, since people cannot be
    added up from counters.
    """

    version_id: str | None
    inferences: int
    judged: int
    negatives: int
    voters: int | None
    rate: float | None
    low: float
    high: float


class Draw(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many answers of a feature to draw for the audit; of the last 28 days unless told."""

    feature: Name
    count: Annotated[int, Meta(ge=1, le=1000)]
    since: Time | None = None
    until: Time | None = None


class Drawn(Struct, frozen=True, kw_only=True):
    """An answer of the audit as a reviewer sees it: its words, not its score, which would lead them.

    `bad` is what reviewers said, 0 to 1; null while the item is open. `input` is null for an answer that is gone.
    """

    inference_id: str
    feature: str
    version_id: str | None
    created_at: datetime
    drawn_at: datetime
    inclusion: float | None
    input: Payload | None
    output: Payload | None
    bad: float | None


class HintWeight(Struct, frozen=True, kw_only=True):
    """What seeing a hint adds to the log-odds of bad, beside what the settings say, and its tier."""

    weight: float
    assumed: float
    tier: Tier


class CalibrationInfo(Struct, frozen=True, kw_only=True):
    """What a feature's hints count for now, and why they may be believed or not.

    `base` is the log-odds of bad where no hint was seen. `auc` and `ece` were measured on the `audited` answers on
    which no user said a word, null while there are none; `votes` is how many answers had one. `fitted` is false while
    all of it is as the settings have it.
    """

    feature: str
    fitted: bool
    created_at: datetime | None
    base: float
    weights: dict[str, HintWeight]
    votes: int
    audited: int
    auc: float | None
    ece: float | None
    calibrated: bool
    reason: str


@get("/v1/outcomes", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Outcome], query=LIST))
def list_outcomes(request: Call) -> Listing[Outcome]:
    """List the fused judgements of inferences, with the signals behind them."""
    return listing(engine_of(request).store.list_outcomes(request.auth.project_id, query_of(asked(request))))


@get(
    "/v1/outcomes/summary",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[VersionRate], query=("feature", "since", "until")),
)
def summarise(request: Call) -> Listing[VersionRate]:
    """Count inferences, answers that users voted on and negatives per version; the last 28 days unless told.

    That is the rate among voters. What it says of all answers: `/v1/outcomes/dissatisfaction`.
    """
    told, engine = asked(request), engine_of(request)
    since, until = span_of(told, engine.clock.now(), _SPAN)
    project_id, feature = request.auth.project_id, _feature(told)
    rows = engine.store.scores(project_id, feature, since, until)
    few = sum(row.votes for row in rows) <= _PEOPLE_COUNTED
    voters = engine.store.voters(project_id, feature, since, until) if few else {}
    items = []
    for row in rows:
        rate = wilson(round(row.negatives), row.votes)
        items.append(
            VersionRate(
                version_id=row.version_id,
                inferences=row.inferences,
                judged=row.votes,
                negatives=rate.bad,
                voters=voters.get(row.version_id, 0) if few else None,
                rate=rate.value,
                low=rate.low,
                high=rate.high,
            )
        )
    return Listing(items)


@get(
    "/v1/outcomes/dissatisfaction",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Dissatisfaction, query=("feature", "since", "until")),
)
def estimate(request: Call) -> Dissatisfaction:
    """Estimate how many of a feature's answers are bad, voted on or not, overall and per version.

    The last 28 days unless told. The estimate corrects the score by the audit; beside it stands the rate among voters.
    """
    told, engine = asked(request), engine_of(request)
    project_id, feature = request.auth.project_id, _feature(told)
    since, until = span_of(told, engine.clock.now(), _SPAN)
    return dissatisfaction(engine.store, project_id, _calibration(engine, project_id, feature), since, until)


@get(
    "/v1/calibrations",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[CalibrationInfo], query=("feature",)),
)
def list_calibrations(request: Call) -> Listing[CalibrationInfo]:
    """List what hints count for, per feature, and whether an audit vouches for it."""
    told, engine, project_id = asked(request), engine_of(request), request.auth.project_id
    names = [each.name for each in engine.store.features(project_id)]
    if told.feature is not None:
        _known(names, told.feature)
        names = [told.feature]
    return Listing([_info(engine, project_id, name) for name in names])


@post("/v1/audits", sync_to_thread=True, opt=contract("admin", body=Draw, answer=Listing[AuditItem], status=201))
def draw(request: Call, body: RawBody) -> Listing[AuditItem]:
    """Draw answers for the audit, uniformly at random among those not drawn before; fewer come where there are fewer.

    A reviewer judges each by `POST /v1/feedback` with `source` `reviewer`.
    """
    told, engine, project_id = read(body, Draw), engine_of(request), request.auth.project_id
    _known([each.name for each in engine.store.features(project_id)], told.feature)
    since, until = span_of(told, engine.clock.now(), _SPAN)
    seed = secrets.randbits(62)
    now = engine.clock.now()
    drawn = engine.store.sample(project_id, told.feature, since, until, told.count, seed)
    served = sum(each.inferences for each in engine.store.exposures(project_id, told.feature, since, until))
    items = [
        AuditItem(
            inference_id=answer.id,
            feature=answer.feature,
            version_id=answer.version_id,
            created_at=answer.created_at,
            drawn_at=now,
            inclusion=len(drawn) / max(served, len(drawn)),
        )
        for answer in drawn
    ]
    if items:
        engine.store.commit({project_id: Writes(audits=items)})
    return Listing(items)


@get(
    "/v1/audits",
    sync_to_thread=True,
    opt=contract("read", "admin", answer=Listing[Drawn], query=(*LIST, "open")),
)
def list_audits(request: Call) -> Listing[Drawn]:
    """List what was drawn for audits, with the answers to judge; `open` true: those that no reviewer judged yet.

    A page with `open` has fewer items than `limit` where others were left out of it; follow `next` to the end.
    """
    told, engine, project_id = asked(request), engine_of(request), request.auth.project_id
    page = engine.store.audits(project_id, query_of(told))
    ids = [row.record.inference_id for row in page.rows]
    said, answers = labels(engine.store, project_id, ids), engine.store.inferences(project_id, ids)
    items = []
    for row in page.rows:
        item = row.record
        answer, bad = answers.get(item.inference_id), said.get(item.inference_id)
        if told.open is None or told.open == (bad is None):
            words: dict[str, Any] = {"input": answer and answer.input, "output": answer and answer.output}
            items.append(Drawn(**msgspec.structs.asdict(item), **words, bad=bad))
    return Listing(items, None if page.next is None else str(page.next))


def _feature(told: Asked) -> str:
    if told.feature is None:
        raise InvalidField("expected the parameter 'feature', got none; add ?feature=NAME", param="feature")
    return told.feature


def _known(names: list[str], feature: str) -> None:
    if feature not in names:
        raise NotFound(f"no feature {feature!r}; its first answer or PUT /v1/features/NAME makes it", param="feature")


def _table(engine: Engine, feature: str) -> Calibration:
    settings = engine.settings
    return table(feature, settings.outcome, settings.features.get(feature), now=engine.clock.now())


def _calibration(engine: Engine, project_id: str, feature: str) -> Calibration:
    return engine.store.calibration(project_id, feature) or _table(engine, feature)


def _info(engine: Engine, project_id: str, feature: str) -> CalibrationInfo:
    held, assumed = engine.store.calibration(project_id, feature), _table(engine, feature)
    found = held or assumed
    weights: dict[str, HintWeight] = {
        kind: HintWeight(weight=float(found.weights.get(kind, 0.0)), assumed=float(assumed.weights[kind]), tier=tier)
        for kind, tier in HINTS.items()
    }
    return CalibrationInfo(
        feature=feature,
        fitted=held is not None,
        created_at=held.created_at if held else None,
        base=found.base,
        weights=weights,
        votes=found.votes,
        audited=found.audited,
        auc=found.auc,
        ece=found.ece,
        calibrated=found.calibrated,
        reason=found.reason,
    )


ROUTES = [list_outcomes, summarise, estimate, list_calibrations, draw, list_audits]
