"""JSON values, leaf by leaf: every string and key, and the keys whose value must never be kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from trimtab.redact.entity import FAILED

__all__ = ["Leaves", "drops"]

_MAX_DEPTH: Final = 64
_LONG: Final = 100_000_000
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


@lru_cache(maxsize=4096)
def drops(key: str) -> bool:
    """Return whether a value under `key` is dropped whatever it is."""
    words = [word.lower() for word in _WORD.findall(key)]
    if not words:
        return False
    if words[-1] in _DROP_LAST or (len(words) == 1 and words[0] in _DROP_WHOLE):
        return True
    return tuple(words[-2:]) in _DROP_PAIR


class Leaves:
    """The strings of a JSON value, keys included, and the value rebuilt around their redacted forms.

    Long whole numbers are leaves too: a card number is one as an integer as well. What is no JSON, or nested deeper
    than 64, comes back as `<REDACTION_FAILED>`.
    """

    def __init__(self, value: object) -> None:
        self.texts: list[str] = []
        self._value = value
        self._collect(value, 0)

    def rebuilt(self, clean: Sequence[str]) -> object:
        """Return the value with its leaves replaced by `clean`, which is in the order of `texts`."""
        return self._rebuild(self._value, iter(clean), 0)

    def _collect(self, value: object, depth: int) -> None:
        if isinstance(value, str):
            self.texts.append(value)
        elif depth > _MAX_DEPTH:
            return
        elif isinstance(value, dict):
            for key, item in value.items():
                self.texts.append(_name(key))
                if not _dropped(key, item):
                    self._collect(item, depth + 1)
        elif isinstance(value, list | tuple):
            for item in value:
                self._collect(item, depth + 1)
        elif _is_long(value):
            self.texts.append(str(value))

    def _rebuild(self, value: object, clean: Iterator[str], depth: int) -> object:
        if isinstance(value, str):
            return next(clean)
        if depth > _MAX_DEPTH:
            return FAILED
        if isinstance(value, dict):
            return self._rebuild_dict(value, clean, depth)
        if isinstance(value, list | tuple):
            return [self._rebuild(item, clean, depth + 1) for item in value]
        if _is_long(value):
            after = next(clean)
            return value if after == str(value) else after
        return value if value is None or isinstance(value, bool | int | float) else FAILED

    def _rebuild_dict(self, value: dict[object, object], clean: Iterator[str], depth: int) -> dict[str, object]:
        made: dict[str, object] = {}
        for key, item in value.items():
            name = first = next(clean)
            copies = 1
            while name in made:
                copies += 1
                name = f"{first}#{copies}"
            made[name] = _DROPPED if _dropped(key, item) else self._rebuild(item, clean, depth + 1)
        return made


def _name(key: object) -> str:
    return key if isinstance(key, str) else str(key)


def _dropped(key: object, item: object) -> bool:
    return item is not None and not isinstance(item, bool) and drops(_name(key))


def _is_long(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _LONG
