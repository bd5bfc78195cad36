"""One batch of events to the server, and what its answer means."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Literal, NamedTuple

from trimtab.client.clock import wall
from trimtab.client.transport import Answer, Transport, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Verdict", "cure", "deliver", "parted"]

_GZIP_FROM = 1024
_LONGEST_WAIT_S = 3600.0
_CURES = {
    "http_401": "the server does not know this key; check TRIMTAB_KEY",
    "http_403": "this key may not write events; use an ingest key",
    "http_404": "nothing takes events at this URL; check TRIMTAB_URL",
    "http_413": "the server takes no event this large",
}


class Verdict(NamedTuple):
    """What became of a batch: stored, to be sent again, refused whole, or too large for one request."""

    kind: Literal["done", "again", "refused", "split"]
    cause: str = ""
    accepted: int = 0
    duplicates: int = 0
    rejected: Mapping[str, int] = {}
    wait_s: float | None = None
    """How long the server asked to be left alone."""


def deliver(transport: Transport, events: Sequence[bytes], losses: Mapping[str, int]) -> Verdict:
    """Send `events` (each one line of JSON) and read the verdict; tell the server of `losses`, by reason."""
    body = b"[" + b",".join(events) + b"]"
    headers = {"Content-Type": "application/json"}
    if losses:
        headers["Trimtab-Lost"] = ", ".join(f"{reason}={count}" for reason, count in sorted(losses.items()))
    if len(body) >= _GZIP_FROM:
        packer = zlib.compressobj(3, zlib.DEFLATED, 31)  # 31: in the gzip wrapping
        body = packer.compress(body) + packer.flush()
        headers["Content-Encoding"] = "gzip"
    try:
        answer = transport.request("POST", "/v1/events", body=body, headers=headers)
    except Unreachable as error:
        return Verdict("again", error.cause)
    return _read(answer)


def cure(cause: str) -> str:
    """Return what would help against a refusal."""
    return _CURES.get(cause, "the server refuses the request")


def parted(lines: Sequence[bytes], most_events: int, most_bytes: int) -> list[list[bytes]]:
    """Return `lines` in order as batches within both bounds; a line over the bytes has a batch of its own."""
    batches: list[list[bytes]] = []
    size = most_bytes
    for line in lines:
        size += len(line)
        if size > most_bytes or len(batches[-1]) >= most_events:
            batches.append([])
            size = len(line)
        batches[-1].append(line)
    return batches


def _read(answer: Answer) -> Verdict:
    if 200 <= answer.status < 300:
        return _receipt(answer.body)
    if answer.status == 413:
        return Verdict("split", "http_413")
    # A redirect or a 5xx may be gone tomorrow; any other 4xx says that these bytes will never be taken.
    if answer.status in (408, 425, 429) or not 400 <= answer.status < 500:
        return Verdict("again", f"http_{answer.status}", wait_s=_wait_s(answer.headers.get("retry-after", "")))
    return Verdict("refused", f"http_{answer.status}")


def _receipt(body: bytes) -> Verdict:
    """Read a receipt. A 2xx that holds anything else came from something in between and proves nothing."""
    try:
        receipt = json.loads(body)
        rejected: dict[str, int] = {}
        for refusal in receipt.get("rejected", ()):
            code = str(refusal["code"])[:64]
            rejected[code] = rejected.get(code, 0) + 1
        return Verdict("done", "", int(receipt["accepted"]), int(receipt.get("duplicates", 0)), rejected)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Verdict("again", "unreadable_answer")


def _wait_s(retry_after: str) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date; None when absent or unreadable; an hour at most."""
    text = retry_after.strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_WAIT_S)
    from email.utils import mktime_tz, parsedate_tz  # noqa: PLC0415 rare

    try:
        date = parsedate_tz(text)
        return min(max(mktime_tz(date) - wall() / 1e6, 0.0), _LONGEST_WAIT_S) if date else None
    except (ValueError, OverflowError, TypeError):
        return None
