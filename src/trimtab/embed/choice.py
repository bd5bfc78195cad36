"""Which embedder the settings ask for."""

from __future__ import annotations

from trimtab.config import Embedding
from trimtab.embed.port import Embedder

__all__ = ["configured"]


def configured(settings: Embedding) -> Embedder | None:
    """Return the embedder that `settings` name, or None for `lsa`, which is fitted per project.

    Raises ConfigError or MissingExtra saying what to set or install.
    """
    if settings.kind == "endpoint":
        from trimtab.embed.endpoint import EndpointEmbedder  # noqa: PLC0415  an HTTP client, only where it is asked for

        return EndpointEmbedder(settings)
    if settings.kind == "sentence-transformers":
        from trimtab.embed.sentence import open_sentence  # noqa: PLC0415  only where it is asked for

        return open_sentence(settings.model, text_chars=settings.text_chars)
    return None
