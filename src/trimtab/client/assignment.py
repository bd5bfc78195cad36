"""Who gets which Version: the sticky assignment, bit for bit as the engine computes it."""

from __future__ import annotations

import hashlib

__all__ = ["audiences", "bucket", "in_candidate", "in_holdback"]


def audiences(user: str | None, tenant: str | None) -> frozenset[str]:
    """Return the names under which an exemplar may be for this user alone, or for their tenant."""
    units = (("user", user), ("tenant", tenant))
    return frozenset(
        f"{kind}:{hashlib.sha256(f'{kind}:{unit}'.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
        for kind, unit in units
        if unit
    )


def bucket(salt: str, unit: str) -> float:
    """Return where `unit` (a user, else a session) lies on [0, 1] under `salt` (the id of the rollout).

    The first 64 bits of SHA-256 over "salt:unit", divided by 2**64.
    """
    digest = hashlib.sha256(f"{salt}:{unit}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def in_candidate(salt: str, unit: str, share: float) -> bool:
    """Say whether `unit` is served the candidate. While a share only grows, nobody falls back."""
    # The largest buckets round to 1.0, and a full share must include them.
    return share >= 1.0 or bucket(salt, unit) < share


def in_holdback(feature: str, unit: str, share: float) -> bool:
    """Say whether `unit` is of those who keep the version of before, whatever changes: the same users for ever."""
    return share > 0.0 and bucket(f"holdback:{feature}", unit) < share
