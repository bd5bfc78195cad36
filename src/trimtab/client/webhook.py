"""For an application that is told or asked by webhook: whether a message really is from its Trimtab, and the reply."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from trimtab.client.clock import Micros, wall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

__all__ = ["Reply", "answer_webhook", "verify_webhook"]


class Reply(NamedTuple):
    """What to send back: the status, and a body of JSON."""

    status: int
    body: bytes


def answer_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    answer: Callable[[dict[str, Any]], Any],
    *,
    replies: MutableMapping[str, Reply] | None = None,
    now: Micros | None = None,
) -> Reply:
    """Answer a question that Trimtab asks about a Version (its runner of the kind "webhook"), and return the reply.

    `answer` is given the question as a dict: `input`, `messages` (rendered as the SDK does), `feature`, `version` (with
    its `id`, `model`, `parameters`) and `id`; it returns a text, what JSON can hold, or None for no answer. It is
    called only where the signature is right, and what it raises goes through: answer it as an error of your own, and
    the question comes again. `replies`, where given, keeps them by the question's id, so that none is answered twice.
    """
    told = {name.lower(): value for name, value in headers.items()}
    if not verify_webhook(body, told.get("trimtab-signature", ""), secret, now=now):
        return _refused(401, "the signature is missing, wrong, or more than five minutes old")
    try:
        question = json.loads(body)
    except ValueError:
        question = None
    if not isinstance(question, dict) or question.get("kind") != "answer" or "id" not in question:
        return _refused(400, "expected a question of the kind 'answer'")
    key = str(question["id"])
    if replies is not None and key in replies:
        return replies[key]
    reply = Reply(200, json.dumps({"output": answer(question)}).encode())
    if replies is not None:
        replies[key] = reply
    return reply


def _refused(status: int, why: str) -> Reply:
    return Reply(status, json.dumps({"error": why}).encode())


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
