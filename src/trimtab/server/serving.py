"""How a process of ours runs uvicorn, and what it sets of Python itself."""

from __future__ import annotations

import gc
import sys
from typing import Any

import uvicorn

__all__ = ["configured", "settle_memory"]

_GRACE_S = 10
_SWITCH_S = 0.0005
_COLLECT_AFTER = (100_000, 50, 100)


def configured(app: Any, *, path: str | None = None) -> uvicorn.Config:
    """Return uvicorn's settings; with `path` it listens on that Unix socket."""
    return uvicorn.Config(
        app,
        uds=path,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whom to believe is said by server.trusted_proxies
        timeout_graceful_shutdown=_GRACE_S,
        loop="auto",
        http="httptools",
    )


def settle_memory() -> None:
    """Keep what was made at the start out of garbage collection, and give way to other threads ten times as often."""
    sys.setswitchinterval(_SWITCH_S)  # of Python's 5 ms the requests would lose one each time the stages compute
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
