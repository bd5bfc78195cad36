"""The app's index, as far as the engine may ask it: what it finds, and that it takes a patch."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from trimtab.act.outgoing import SIGNATURE, Outgoing, OutgoingError, signature
from trimtab.config import Knowledge as KnowledgeSettings
from trimtab.errors import ConfigError, Unavailable
from trimtab.records import Chunk, KnowledgePatch

__all__ = ["Indexed", "Retriever", "Webhook", "open_retriever", "open_webhook"]

_CHUNKS = 1000
_MOST_BYTES = 4 << 20


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


class _Door(NamedTuple):
    """A URL of the app's, asked by signed POST."""

    url: str
    secret: str
    outgoing: Outgoing

    def asked(self, told: dict[str, Any], now: datetime, kind: Any) -> Any:
        """Return what the app answered, read as `kind`. Raises Unavailable, saying no more than the kind of failure."""
        body = msgspec.json.encode(told)
        headers = {"Content-Type": "application/json", "User-Agent": "trimtab"}
        headers[SIGNATURE] = signature(self.secret, body, int(now.timestamp()))
        try:
            answer = self.outgoing.post(self.url, body, headers)
        except OutgoingError as error:
            raise Unavailable(f"the app's index cannot be reached: {error.message}") from error
        if not 200 <= answer.status < 300:
            raise Unavailable(f"the app's index answered {answer.status}")
        try:
            return msgspec.json.decode(answer.body or b"{}", type=kind)
        except msgspec.MsgspecError as error:
            raise Unavailable(f"the app's index sent something else than expected: {error}") from error


class Webhook(NamedTuple):
    """Hands patches to the app by signed HTTP."""

    door: _Door

    def deliver(self, patch: KnowledgePatch, now: datetime) -> Indexed:
        """Post the patch and return what the app says became of it. Raises Unavailable."""
        told = {
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
        answer: Indexed = self.door.asked(told, now, Indexed)
        return answer


class _Asked(NamedTuple):
    door: _Door
    now: Callable[[], datetime]

    def retrieve(self, feature: str, query: str, k: int) -> list[Chunk]:
        told = {"type": "knowledge.retrieve", "feature": feature, "query": query, "k": k}
        found: _Found = self.door.asked(told, self.now(), _Found)
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
        return _Asked(_door(settings, settings.retrieve_url), now)
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
    return Webhook(_door(settings, settings.webhook_url))


def _door(settings: KnowledgeSettings, url: str) -> _Door:
    secret = os.environ.get(settings.secret_env, "")
    if not secret:
        raise ConfigError(
            f"knowledge.webhook_url and knowledge.retrieve_url sign what they send: set {settings.secret_env}",
            param="knowledge.secret_env",
        )
    return _Door(
        url, secret, Outgoing(timeout_s=settings.timeout_s, allow_private=settings.allow_private, most=_MOST_BYTES)
    )
