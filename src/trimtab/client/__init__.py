"""The Python SDK that an application imports: the standard library alone, and nothing of the engine.

It records inferences and feedback without ever blocking or raising into the application, and serves the active Version
of a feature from a local cache that a background thread keeps fresh. Names are loaded on first use.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # the name type checkers look for, without the price of importing typing
if TYPE_CHECKING:
    from trimtab.client.client import Client
    from trimtab.client.distance import edit
    from trimtab.client.facts import Fact
    from trimtab.client.indexer import Patch
    from trimtab.client.inference import Handle
    from trimtab.client.ledger import Stats
    from trimtab.client.outbox import Limits
    from trimtab.client.version import Resolved, Rollout, Version
    from trimtab.client.webhook import verify_webhook
    from trimtab.client.wrap.origin import inference_of

__all__ = [
    "Client",
    "Fact",
    "Handle",
    "Limits",
    "Patch",
    "Resolved",
    "Rollout",
    "Stats",
    "Version",
    "edit",
    "inference_of",
    "verify_webhook",
]

_HOMES = {
    "Client": "client",
    "Fact": "facts",
    "Handle": "inference",
    "Limits": "outbox",
    "Patch": "indexer",
    "Resolved": "version",
    "Rollout": "version",
    "Stats": "ledger",
    "Version": "version",
    "edit": "distance",
    "inference_of": "wrap.origin",
    "verify_webhook": "webhook",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"trimtab.client.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'trimtab.client' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
