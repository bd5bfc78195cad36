"""Origins: how people write where their pages are, brought to the one form in which browsers tell it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

import msgspec

from trimtab.errors import InvalidField
from trimtab.records import KeyKind, Origin

__all__ = ["ANY", "allows", "checked_origins"]

ANY = "*"
_PORTS = {"http": 80, "https": 443}
_MOST = 100
_SHOWN = 80


def allows(origins: Collection[str], origin: str) -> bool:
    """Say whether a page of `origin` is among these; compared whole, as browsers write it."""
    return origin in origins or ANY in origins


def checked_origins(kind: KeyKind, origins: Sequence[str]) -> list[str]:
    """Return the origins of a new key in the form of browsers, each once.

    Raises InvalidField for what is no origin, for a public key without any, and for a read key with one.
    """
    if kind == "public" and not origins:
        raise InvalidField(
            "expected the origins of the pages that may use this public key, got none; "
            "name them (https://app.example), or say '*' for every page",
            param="origins",
        )
    if kind == "read" and origins:
        raise InvalidField(f"expected no origins for a key of kind {kind!r}, which no page may use", param="origins")
    if len(origins) > _MOST:
        raise InvalidField(f"expected at most {_MOST} origins, got {len(origins)}; make a second key", param="origins")
    return list(dict.fromkeys(map(_checked, origins)))


def _checked(text: str) -> str:
    if text == ANY:
        return text
    try:
        parts = urlsplit(text.strip().lower())
        port = parts.port
        plain = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        shown = "" if port is None or port == _PORTS.get(parts.scheme) else f":{port}"
        if plain and host:
            return msgspec.convert(f"{parts.scheme}://{host}{shown}", Origin)
    except ValueError:  # msgspec's error is one, too
        pass
    raise InvalidField(
        f"expected an origin such as 'https://app.example' or 'http://localhost:3000', got {text[:_SHOWN]!r}; "
        "leave out path and wildcards, write international names in punycode",
        param="origins",
    )
