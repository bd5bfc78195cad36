"""How the server stops: streams end first, for they would never end by themselves."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn

__all__ = ["StoppingServer"]


class StoppingServer(uvicorn.Server):
    """Uvicorn over an application of `create_app`."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then wait for requests under way and stop."""
        app: Any = self.config.app
        app.state.feed.close()
        await super().shutdown(sockets)
