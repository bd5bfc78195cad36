"""What people are told: deliveries with their state."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
from litestar import get, post
from litestar.params import FromPath

from trimtab.errors import Conflict, NotFound
from trimtab.records import Delivery, DeliveryState
from trimtab.server.contract import Call, Listing, contract, engine_of, id_in_path, listing
from trimtab.server.query import asked, query_of, states_of
from trimtab.store.ports import Writes

__all__ = ["ROUTES"]

_LISTED = ("feature", "state", "since", "until", "after", "limit", "order")


@get("/v1/deliveries", sync_to_thread=True, opt=contract("read", "admin", answer=Listing[Delivery], query=_LISTED))
def list_deliveries(request: Call) -> Listing[Delivery]:
    """List what people were told, or will be; `failed` ones were given up and can be sent again."""
    told = asked(request)
    states: Any = states_of(told.state, get_args(DeliveryState))
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


ROUTES = [list_deliveries, retry_delivery]
