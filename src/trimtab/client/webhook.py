"""For an application that is told by webhook: whether a message really is from its Trimtab."""

from __future__ import annotations

import hashlib
import hmac

from trimtab.client.clock import Micros, wall

__all__ = ["verify_webhook"]


def verify_webhook(
    body: bytes, signature: str, secret: str, *, tolerance_s: float = 300.0, now: Micros | None = None
) -> bool:
    """Say whether `body`, the request's bytes as they came, was signed with `secret` in the last `tolerance_s` seconds.

    `signature` is the header `Trimtab-Signature`: `t=SECONDS,v1=HEX`, HMAC-SHA256 of "SECONDS." and the body. Anything
    malformed is False. Compared in constant time. A message may come twice: drop it by its header `Trimtab-Delivery`.
    """
    pairs = [part.strip().partition("=") for part in signature.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) <= 12):
        return False
    age_s = ((wall() if now is None else now) - int(times[0]) * 1_000_000) / 1e6
    if abs(age_s) > tolerance_s:
        return False
    expected = hmac.new(secret.encode(), f"{times[0]}.".encode() + body, hashlib.sha256).hexdigest().encode()
    told = [value.encode() for name, _, value in pairs if name == "v1"]
    return any([hmac.compare_digest(expected, each) for each in told])  # noqa: C419  each is compared, found or not
