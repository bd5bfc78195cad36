"""Sends batches to a running server, again while it is busy: ids make a second try safe."""

from __future__ import annotations

import threading

import httpx
import msgspec

from trimtab.errors import AuthError, InputError, Unavailable
from trimtab.ingest.intake import Receipt
from trimtab.ingest.load.loading import Sink

__all__ = ["http_sink"]

_TRIES = 8
_MOST_WAIT_S = 30.0


def http_sink(client: httpx.Client, *, tries: int = _TRIES) -> Sink:
    """Return what posts a body of JSON lines to `/v1/events` and reads the receipt.

    Tries again when nobody answers, and on 429 and 503, as long as the answer asks to wait, else twice as long each
    time. Raises AuthError for a key that is refused, InputError for any other refusal, Unavailable in the end.
    """
    pause = threading.Event()

    def send(body: bytes) -> Receipt:
        why = ""
        for attempt in range(tries):
            try:
                answer = client.post("/v1/events", content=body, headers={"Content-Type": "application/x-ndjson"})
            except httpx.TransportError as error:
                why = f"{type(error).__name__}: {error}"
                wait = 0.5 * 2**attempt
            else:
                if answer.status_code == 200:
                    return msgspec.json.decode(answer.content, type=Receipt)
                why = _said(answer)
                if answer.status_code in (401, 403):
                    raise AuthError(f"the server refused the key: {why}", param="key")
                if answer.status_code not in (429, 502, 503, 504):
                    raise InputError(f"the server answered {answer.status_code}: {why}")
                told = answer.headers.get("retry-after", "")
                wait = float(told) if told.isdigit() else 0.5 * 2**attempt
            if attempt + 1 < tries:
                pause.wait(min(wait, _MOST_WAIT_S))
        raise Unavailable(f"the server did not take the events in {tries} tries; the last time: {why}")

    return send


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
