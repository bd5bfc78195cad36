"""Embeddings from any server that speaks OpenAI's `POST /embeddings`."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.config import Embedding
from trimtab.embed.unit import sayings, unit_rows
from trimtab.errors import ConfigError, Unavailable
from trimtab.ids import content_id

__all__ = ["EndpointEmbedder"]

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")


class _Row(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Row]


class EndpointEmbedder:
    """Asks `POST {base_url}/embeddings`, `batch_texts` at a time; texts without a letter or digit are not sent.

    A request that fails for now (no connection, 429, 5xx) is sent again, with pauses that double or are as long as the
    server asks, for at most `retry_s`. Redirects are not followed: the server the operator named is the one that sees
    the texts. The key is read from the environment once, sent as a bearer token, and stands in no message.

    Raises ConfigError for settings that name no server or model, Unavailable when no vectors could be had.
    """

    def __init__(
        self,
        settings: Embedding,
        *,
        environ: Mapping[str, str] | None = None,
        pause: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._url = _address(settings.base_url)
        if not settings.model:
            raise ConfigError(
                "embedding.model is empty; an endpoint needs the name of its model", param="embedding.model"
            )
        key = (os.environ if environ is None else environ).get(settings.api_key_env, "")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=settings.timeout_s,
            follow_redirects=False,
        )
        self._pause = pause
        self._monotonic = monotonic
        self._length = settings.dimensions
        told = json.dumps([self._url, settings.model, settings.dimensions])
        self._space = content_id("endpoint", told.encode())

    @property
    def space(self) -> str:
        """Id of the space: address, model and the dimensions asked for."""
        return self._space

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row per text. Raises Unavailable saying what the endpoint did and what to change."""
        wanted = sayings(texts, self._settings.text_chars)
        spoken, step = list(wanted.values()), self._settings.batch_texts
        found = [self._ask(spoken[start : start + step]) for start in range(0, len(spoken), step)]
        if texts and not self._length:  # nothing but blank texts so far: one word tells how long a row is
            self._ask(["length"])
        rows: NDArray[np.float32] = np.zeros((len(texts), self._length), dtype=np.float32)
        if found:
            rows[list(wanted)] = np.concatenate(found)
        return rows

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, batch: list[str]) -> NDArray[np.float32]:
        body: dict[str, Any] = {"model": self._settings.model, "input": batch, "encoding_format": "float"}
        if self._settings.dimensions:
            body["dimensions"] = self._settings.dimensions
        deadline = self._monotonic() + self._settings.retry_s
        wait = _FIRST_PAUSE_S
        while True:
            answer, why = self._send(body)
            if answer is not None and answer.is_success:
                return self._rows(answer.content, len(batch))
            if answer is not None and answer.status_code not in _AGAIN:
                raise Unavailable(self._refused(answer))
            pause = max(wait, _asked_pause(answer))
            if self._monotonic() + pause > deadline:
                raise Unavailable(f"{why} for {self._settings.retry_s:g} s (embedding.retry_s); is it up, is it busy?")
            self._pause(pause)
            wait = min(wait * 2, _LONGEST_PAUSE_S)

    def _send(self, body: dict[str, Any]) -> tuple[httpx.Response | None, str]:
        """Return the answer, or None, and in words what is wrong where it is no success."""
        try:
            answer = self._client.post(self._url, json=body)
        except httpx.HTTPError as error:
            return None, f"the embedding endpoint {self._url} could not be reached ({type(error).__name__})"
        return answer, f"the embedding endpoint {self._url} answered {answer.status_code}"

    def _refused(self, answer: httpx.Response) -> str:
        """Say what a final answer means. Of its body only a code is quoted: the rest may hold the texts or the key."""
        status, env = answer.status_code, self._settings.api_key_env
        cure = "see the endpoint's log"
        if answer.is_redirect:
            cure = "redirects are not followed; set embedding.base_url to the final address"
        elif status in (401, 403):
            cure = f"put a valid key into the environment variable {env!r} (embedding.api_key_env)"
        elif status == 404:
            cure = f"check embedding.base_url (with /v1) and embedding.model {self._settings.model!r}"
        elif status in (400, 413, 422):
            cure = "lower embedding.text_chars or embedding.batch_texts, or check model and dimensions"
        return f"the embedding endpoint {self._url} answered {status}{_code_of(answer)}; {cure}"

    def _rows(self, content: bytes, count: int) -> NDArray[np.float32]:
        try:
            data = msgspec.json.decode(content, type=_Answer).data
        except msgspec.MsgspecError as error:
            raise Unavailable(
                f"the embedding endpoint {self._url} sent no embeddings ({error}); does embedding.base_url end in /v1?"
            ) from error
        if sorted(row.index for row in data) != list(range(count)):
            raise Unavailable(
                f"the embedding endpoint {self._url} sent {len(data)} rows for {count} texts, or not each once; "
                "is it OpenAI-compatible?"
            )
        rows = {row.index: row.embedding for row in data}
        lengths = {len(row) for row in rows.values()}
        expected = self._length or min(lengths)
        if lengths != {expected} or not expected:
            raise Unavailable(
                f"the embedding endpoint {self._url} sent vectors of {sorted(lengths)} numbers, expected {expected}; "
                "set embedding.dimensions to what the model gives"
            )
        matrix = np.array([rows[place] for place in range(count)], dtype=np.float64)
        if not np.isfinite(matrix).all():
            raise Unavailable(f"the embedding endpoint {self._url} sent numbers that are not finite; check the model")
        self._length = expected
        return unit_rows(matrix)


def _address(base_url: str) -> str:
    """Return the address of the embeddings, or raise ConfigError for what is none, or would leak a password."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        shown = repr(base_url) if not url.userinfo else "one with a name or password in it"
        raise ConfigError(
            f"embedding.base_url: expected an address such as 'http://127.0.0.1:8080/v1', got {shown}; "
            "a key belongs into the variable that embedding.api_key_env names",
            param="embedding.base_url",
        )
    return base_url.rstrip("/") + "/embeddings"


def _asked_pause(answer: httpx.Response | None) -> float:
    """Return how many seconds the server asks to wait, 0 where it does not say in seconds."""
    try:
        asked = float(answer.headers.get("Retry-After", "0")) if answer is not None else 0.0
    except ValueError:
        return 0.0
    return max(asked, 0.0) if math.isfinite(asked) else 0.0


def _code_of(answer: httpx.Response) -> str:
    try:
        error = answer.json()["error"]
        code = error.get("code") or error.get("type")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return f" ({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""
