"""The Python SDK that an application imports: the standard library alone, and nothing of the engine.

It records inferences and feedback without ever blocking or raising into the application, and serves the active Version
of a feature from a local cache that a background thread keeps fresh.
"""

from __future__ import annotations

from trimtab.client.client import Client
from trimtab.client.distance import edit
from trimtab.client.inference import Handle
from trimtab.client.ledger import Stats
from trimtab.client.version import Resolved, Rollout, Version
from trimtab.client.worker import Limits

__all__ = ["Client", "Handle", "Limits", "Resolved", "Rollout", "Stats", "Version", "edit"]
