"""What apps are served: the stream of switches, and prompts rendered for those whose language has no SDK."""

from __future__ import annotations

import asyncio

from litestar import get

from trimtab.errors import Unavailable
from trimtab.server.auth import Keyring
from trimtab.server.contract import Call, contract
from trimtab.server.feed import Feed
from trimtab.server.stream import EventStream

__all__ = ["ROUTES"]

_MOST_DIGITS = 18


@get(
    "/v1/rollouts/stream",
    opt=contract("ingest", "read", "admin", answer=str, answer_type="text/event-stream"),
)
async def stream_rollouts(request: Call) -> EventStream:
    """Tell, as server-sent events, whenever what a feature serves changes.

    The first event is `hello` with the `revisions` of all features; then a `rollout` with `feature`, `revision` and
    `etag` within a second of each switch. A comment comes every 15 seconds. `Last-Event-ID` asks for what was missed.
    A stream ends after about a quarter of an hour: connect again. 429 when too many are open.
    """
    feed: Feed = request.app.state.feed
    keyring: Keyring = request.app.state.keyring
    secret = request.headers.get("authorization", "").partition(" ")[2].strip()

    async def still_valid() -> bool:
        if keyring.remembered(secret) is not None:
            return True
        try:
            return await asyncio.to_thread(keyring.find, secret) is not None
        except Unavailable:
            return True

    last = request.headers.get("last-event-id", "").strip()
    last_id = int(last) if last.isascii() and last.isdigit() and len(last) <= _MOST_DIGITS else None
    return EventStream(feed, await feed.open(request.auth, last_id), still_valid)


ROUTES = [stream_rollouts]
