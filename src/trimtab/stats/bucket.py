"""Who sees the candidate: a sticky, stateless assignment that every SDK computes alike."""

import hashlib
from typing import Final, Literal

from trimtab.stats import expect

__all__ = ["BUILD_SHARE", "SplitPart", "audience", "bucket", "in_candidate", "in_holdback", "split_part"]

SplitPart = Literal["build", "judge"]

BUILD_SHARE: Final = 0.7
_SPLIT_SALT: Final = "build-judge"


def bucket(salt: str, unit_id: str) -> float:
    """Return the unit's place on [0, 1] under `salt`: the same for ever, unrelated under any other salt.

    The first 8 bytes of SHA-256 of "salt:unit_id" in UTF-8, read big-endian, over 2^64. `salt` is the rollout's id, so
    that the same users are not the first to meet every candidate. `unit_id` is the user, else tenant, session or
    conversation: never a request inside a conversation.
    """
    digest = hashlib.sha256(f"{salt}:{unit_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def audience(kind: Literal["user", "tenant"], unit_id: str) -> str:
    """Return how a Version names a user or tenant whom alone an exemplar is for: not by the id itself.

    The kind, a colon and the first 64 bits of SHA-256 over "kind:unit_id", in hex.
    """
    return f"{kind}:{hashlib.sha256(f'{kind}:{unit_id}'.encode()).hexdigest()[:16]}"


def in_candidate(salt: str, unit_id: str, share: float) -> bool:
    """Return whether the unit gets the candidate at this `share` of traffic (0 = nobody, 1 = everyone).

    A unit is in while bucket < share, so growing the share adds units and moves none back.
    Raises ValueError if share is outside [0, 1].
    """
    expect.fraction("share", share)
    # the largest buckets round to 1.0, and a full share must include them
    return share == 1.0 or bucket(salt, unit_id) < share


def in_holdback(feature: str, unit_id: str, share: float) -> bool:
    """Return whether the unit is of those who keep the version of before, at this `share` of users.

    The salt is the feature's own and never changes: the same users for ever, and not the first to meet a candidate.
    Raises ValueError if share is outside [0, 1].
    """
    expect.fraction("share", share)
    return share > 0.0 and bucket(f"holdback:{feature}", unit_id) < share


def split_part(unit_id: str) -> SplitPart:
    """Return whether this user's corrections may "build" a change (70%) or only "judge" one (30%).

    The same data must never propose a change and judge it. The split goes by user, so no user stands on both sides,
    and under a salt of its own, so it is unrelated to who sees which candidate.
    """
    return "build" if bucket(_SPLIT_SALT, unit_id) < BUILD_SHARE else "judge"
