"""The app's index, as far as the engine may ask it: what it finds, and that it takes a patch."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import httpx
import msgspec

from trimtab.config import Knowledge as KnowledgeSettings
from trimtab.errors import ConfigError, Unavailable
from trimtab.records import Chunk, KnowledgePatch

__all__ = ["Indexed", "Retriever", "Webhook", "open_retriever", "open_webhook", "post_signed"]

_CHUNKS = 1000


class Retriever(Protocol):
    """Asks an index."""

    def retrieve(self, feature: str, query: str, k: int) -> list[Chunk]:
        """Return the first `k` chunks for a query, the best first. Raises Unavailable."""
        ...


class Indexed(msgspec.Struct, frozen=True):
    """What became of a patch: the ids of the chunks it was written as, and what the index gives for its question."""

    chunk_ids: list[str] = []
    retrieved: list[str] | None = None


class _Found(msgspec.Struct, frozen=True):
    chunks: list[Chunk]


class Webhook(NamedTuple):
    """Hands patches to the app by signed HTTP."""

    url: str
    secret: bytes
    timeout_s: float

    def deliver(self, patch: KnowledgePatch, now: datetime) -> Indexed:
        """Post the patch and return what the app says became of it. Raises Unavailable."""
        body = msgspec.json.encode(
            {
                "type": "knowledge.patch",
                "id": patch.id,
                "feature": patch.feature,
                "kind": patch.kind,
                "entry_id": patch.entry_id,
                "question": patch.question,
                "text": patch.text,
                "source_id": patch.source_id,
                "expires_at": patch.expires_at,
            }
        )
        answer: Indexed = _decoded(post_signed(self.url, body, self.secret, now, self.timeout_s), Indexed)
        return answer


class _Asked(NamedTuple):
    url: str
    secret: bytes
    timeout_s: float
    now: Callable[[], datetime]

    def retrieve(self, feature: str, query: str, k: int) -> list[Chunk]:
        body = msgspec.json.encode({"type": "knowledge.retrieve", "feature": feature, "query": query, "k": k})
        found: _Found = _decoded(post_signed(self.url, body, self.secret, self.now(), self.timeout_s), _Found)
        return found.chunks[:_CHUNKS]


class _Called(NamedTuple):
    function: Callable[..., Sequence[Any]]

    def retrieve(self, feature: str, query: str, k: int) -> list[Chunk]:
        try:
            found = self.function(query, k)
            return [msgspec.convert(item, Chunk, from_attributes=True) for item in found][:_CHUNKS]
        except Exception as error:
            raise Unavailable(f"knowledge.retrieve raised {type(error).__name__} for feature {feature!r}") from error


def open_retriever(settings: KnowledgeSettings, now: Callable[[], datetime]) -> Retriever | None:
    """Return what asks the app's index: `retrieve_url`, else the function named by `retrieve`; None without either.

    Raises ConfigError for a function that cannot be imported.
    """
    if settings.retrieve_url:
        return _Asked(settings.retrieve_url, _secret(settings), settings.timeout_s, now)
    if not settings.retrieve:
        return None
    module, _, name = settings.retrieve.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"expected knowledge.retrieve to name a function as 'module:function', got {settings.retrieve!r} ({error})",
            param="knowledge.retrieve",
        ) from error
    return _Called(function)


def open_webhook(settings: KnowledgeSettings) -> Webhook | None:
    """Return what delivers patches, None without `webhook_url`: then the app's worker fetches them."""
    if not settings.webhook_url:
        return None
    return Webhook(settings.webhook_url, _secret(settings), settings.timeout_s)


def post_signed(url: str, body: bytes, secret: bytes, now: datetime, timeout_s: float) -> bytes:
    """Post a body and return the answer's, redirects not followed.

    `Trimtab-Signature` is `t=SECONDS,v1=HEX`, HMAC-SHA256 of `SECONDS.BODY` under the secret. Raises Unavailable,
    saying no more than the kind of failure.
    """
    seconds = str(int(now.timestamp()))
    signature = hmac.new(secret, seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "Trimtab-Signature": f"t={seconds},v1={signature}"}
    try:
        answer = httpx.post(url, content=body, headers=headers, timeout=timeout_s, trust_env=False)
        answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise Unavailable(f"the app's index answered {error.response.status_code}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"the app's index cannot be reached: {type(error).__name__}") from error
    return answer.content


def _secret(settings: KnowledgeSettings) -> bytes:
    secret = os.environ.get(settings.secret_env, "")
    if not secret:
        raise ConfigError(
            f"knowledge.webhook_url and knowledge.retrieve_url sign what they send: set {settings.secret_env}",
            param="knowledge.secret_env",
        )
    return secret.encode()


def _decoded(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"the app's index sent something else than expected: {error}") from error
