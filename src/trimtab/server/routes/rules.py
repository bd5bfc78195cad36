"""The rules that a feature follows: how each stands, one more, one less."""

from __future__ import annotations

from datetime import datetime

from litestar import delete, get, post
from litestar.params import FromPath, RawBody
from msgspec import Struct

from trimtab.records import Change, Name, Text
from trimtab.server.contract import Call, Listing, contract, engine_of, name_in_path, read
from trimtab.server.query import asked

__all__ = ["ROUTES", "NewRule", "RemovedRule", "RuleStanding"]


class RuleStanding(Struct, frozen=True, kw_only=True):
    """A rule of the served version, and users' votes since it came in: on answers given with it, and without it.

    Those with and without it are other people: a difference is a hint, no proof. What proves is the canary of a change.
    """

    id: Name
    text: Text
    since: datetime
    helpful: int
    harmful: int
    good_without: int
    bad_without: int


class NewRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One plain line that the feature shall follow."""

    text: Text


class RemovedRule(Struct, frozen=True, kw_only=True):
    """What became of a rule that is to go: the change that tries to do without, none where it is gone already."""

    change: Change | None = None


@get(
    "/v1/features/{feature:str}/rules", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[RuleStanding])
)
def list_rules(request: Call, feature: FromPath[str]) -> Listing[RuleStanding]:
    """List the rules of the served version with what people said of answers that were given with each."""
    engine, name = engine_of(request), name_in_path(feature)
    found = engine.by_hand.standings(request.auth.project_id, name, engine.clock.now())
    return Listing(
        [
            RuleStanding(
                id=each.rule.id,
                text=each.rule.text,
                since=each.since,
                helpful=each.helpful,
                harmful=each.harmful,
                good_without=each.good_without,
                bad_without=each.bad_without,
            )
            for each in found
        ]
    )


@post(
    "/v1/features/{feature:str}/rules",
    sync_to_thread=True,
    status_code=202,
    opt=contract("admin", body=NewRule, answer=Change, status=202),
)
def add_rule(request: Call, feature: FromPath[str], body: RawBody) -> Change:
    """Propose one more rule; it goes through the gate and a canary as any change."""
    told, engine = read(body, NewRule), engine_of(request)
    return engine.by_hand.add_rule(request.auth.project_id, name_in_path(feature), told.text, engine.clock.now())


@delete(
    "/v1/features/{feature:str}/rules/{rule_id:str}",
    sync_to_thread=True,
    status_code=202,
    opt=contract("admin", answer=RemovedRule, query=("now",), status=202),
)
def remove_rule(request: Call, feature: FromPath[str], rule_id: FromPath[str]) -> RemovedRule:
    """Propose to do without a rule, through gate and canary; with `now=true` it is gone for everyone at once."""
    engine, told = engine_of(request), asked(request)
    change = engine.by_hand.remove_rule(
        request.auth.project_id, name_in_path(feature), name_in_path(rule_id), engine.clock.now(), at_once=told.now
    )
    return RemovedRule(change=change)


ROUTES = [list_rules, add_rule, remove_rule]
