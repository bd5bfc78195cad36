"""JSON values, leaf by leaf: every string and key, and the keys whose value must never be kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from trimtab.redact.entity import FAILED

__all__ = ["drops", "walk"]

_MAX_DEPTH: Final = 64
_DROPPED: Final = "<SECRET>"
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# The last words of a key decide: `db_password` and `userSSN` hold one, `password_policy` does not.
_DROP_LAST: Final = frozenset(
    [
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "passcode",
        "secret",
        "ssn",
        "cvv",
        "cvc",
        "pin",
        "otp",
        "authorization",
        "cookie",
        "credential",
        "credentials",
        "passwort",
        "kennwort",
        "contrasena",
        "senha",
        "parola",
        "haslo",
        "wachtwoord",
        "losenord",
    ]
)
_DROP_PAIR: Final = frozenset(
    {
        ("api", "key"),
        ("secret", "key"),
        ("private", "key"),
        ("access", "key"),
        ("access", "token"),
        ("refresh", "token"),
        ("auth", "token"),
        ("id", "token"),
        ("bearer", "token"),
        ("session", "token"),
        ("client", "secret"),
        ("set", "cookie"),
        ("social", "security"),
        ("security", "number"),
        ("card", "number"),
        ("credit", "card"),
        ("tax", "id"),
        ("mot", "passe"),
    }
)
_DROP_WHOLE: Final = frozenset({"token", "apikey", "accesstoken", "cardnumber", "creditcard", "auth"})


def drops(key: str) -> bool:
    """Return whether a value under `key` is dropped whatever it is."""
    words = [word.lower() for word in _WORD.findall(key)]
    if not words:
        return False
    if words[-1] in _DROP_LAST or (len(words) == 1 and words[0] in _DROP_WHOLE):
        return True
    return tuple(words[-2:]) in _DROP_PAIR


def walk(value: object, leaf: Callable[[str], str], *, depth: int = 0) -> object:
    """Return a copy of a JSON value with `leaf` applied to every string and key."""
    if isinstance(value, str):
        return leaf(value)
    if depth > _MAX_DEPTH:
        return FAILED
    if isinstance(value, dict):
        return _walk_dict(value, leaf, depth)
    if isinstance(value, list | tuple):
        return [walk(item, leaf, depth=depth + 1) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000_000:
        plain = str(value)
        clean = leaf(plain)
        return value if clean == plain else clean
    if value is None or isinstance(value, bool | int | float):
        return value
    return FAILED


def _walk_dict(value: dict[object, object], leaf: Callable[[str], str], depth: int) -> dict[str, object]:
    clean: dict[str, object] = {}
    for key, item in value.items():
        raw = key if isinstance(key, str) else str(key)
        name = leaf(raw)
        suffix = 2
        while name in clean:
            name = f"{leaf(raw)}#{suffix}"
            suffix += 1
        dropped = item is not None and not isinstance(item, bool) and drops(raw)
        clean[name] = _DROPPED if dropped else walk(item, leaf, depth=depth + 1)
    return clean
