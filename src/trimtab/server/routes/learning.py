"""What reviewers said, learned: what a change would be made of now, and the order to make it."""

from __future__ import annotations

from litestar import get, post
from litestar.params import RawBody
from msgspec import Struct

from trimtab.act.actions.port import Plan
from trimtab.errors import InvalidField
from trimtab.records import Name
from trimtab.server.contract import Call, contract, engine_of, read
from trimtab.server.query import asked
from trimtab.server.routes.loop import Started

__all__ = ["ROUTES", "LearnOrder"]


class LearnOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which feature is to learn what reviewers said of its answers."""

    feature: Name


@get("/v1/review/learn", sync_to_thread=True, opt=contract("read", "admin", answer=Plan, query=("feature",)))
def plan_learning(request: Call) -> Plan:
    """Say what a feature would learn from its reviewers now; nothing is done."""
    told, engine = asked(request), engine_of(request)
    if told.feature is None:
        raise InvalidField("feature: expected the feature that would learn, got none", param="feature")
    return engine.learning.plan(request.auth.project_id, told.feature, engine.clock.now())


@post(
    "/v1/review/learn",
    sync_to_thread=True,
    status_code=202,
    opt=contract("admin", body=LearnOrder, answer=Started, status=202),
)
def learn(request: Call, body: RawBody) -> Started:
    """Make a change of what reviewers said of a feature's answers now: through the gate, to a canary or an approval."""
    told, engine = read(body, LearnOrder), engine_of(request)
    return Started(run_id=engine.learning.order(request.auth.project_id, told.feature, engine.clock.now()).run_id)


ROUTES = [plan_learning, learn]
