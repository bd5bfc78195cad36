"""Late imports that a fork cannot cut in half.

The delivery threads import what they need when they first need it. A process that forks in the middle of such an import
would leave its child with modules that are half there, for good; so a fork waits until the import is through.
"""

from __future__ import annotations

import os
import threading

__all__ = ["LOADING", "load_http"]

LOADING = threading.RLock()
"""Hold it while importing anything late."""


def load_http() -> None:
    """Import all that a request needs, down to the codec of host names."""
    with LOADING:
        import email.utils  # noqa: F401, PLC0415
        import http.client  # noqa: F401, PLC0415
        import urllib.parse  # noqa: F401, PLC0415 all three only have to be there

        "localhost".encode("idna")


def _release() -> None:
    LOADING.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=LOADING.acquire, after_in_parent=_release, after_in_child=_release)
