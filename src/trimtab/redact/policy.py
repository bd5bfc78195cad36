"""What a project wants redacted: one frozen, versioned value, recorded on every row it touched."""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal

import msgspec

from trimtab.errors import ConfigError
from trimtab.redact.entity import ENTITIES, Entity

__all__ = ["LENIENT", "RULES", "STRICT", "ExtraPattern", "Policy"]

# Raised by hand whenever the same text under the same policy would come out differently.
RULES: Final = 1

_MAX_PATTERNS: Final = 32
_MAX_PATTERN_CHARS: Final = 200
_MAX_VARIANTS: Final = 4096


class ExtraPattern(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pattern of the project's own: `name` is for people, whatever `pattern` matches becomes `<CUSTOM>`."""

    name: str
    pattern: str


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is redacted.

    `strict` also removes what only looks like personal data (a card number with a mistyped digit, a long bare
    number, a random-looking token); `lenient` removes what a checksum, a number plan or a format proves.
    `disabled` switches entities off. `allow` keeps a finding whose whole text matches one of these patterns.
    `extra` adds patterns; each must be bounded (no `*`, `+` or open `{n,}`): no text can make it slow.
    A text longer than `max_chars` characters is not stored at all: it fails closed.

    Raises ConfigError when a pattern does not compile or is unbounded.
    """

    name: str
    mode: Literal["strict", "lenient"] = "strict"
    disabled: frozenset[Entity] = frozenset()
    allow: tuple[str, ...] = ()
    extra: tuple[ExtraPattern, ...] = ()
    max_chars: int = 1_000_000

    def __post_init__(self) -> None:
        if unknown := sorted(self.disabled - set(ENTITIES)):
            raise ConfigError(
                f"expected disabled to name entities out of {', '.join(ENTITIES)}; got {unknown!r}",
                param="disabled",
            )
        if len(self.allow) > _MAX_PATTERNS or len(self.extra) > _MAX_PATTERNS:
            raise ConfigError(
                f"expected at most {_MAX_PATTERNS} allow and extra patterns; "
                f"got {len(self.allow)} and {len(self.extra)}; join some with '|'",
                param="extra",
            )
        for pattern in self.allow:
            _check(pattern, param="allow")
        for one in self.extra:
            _check(one.pattern, param="extra")

    @property
    def strict(self) -> bool:
        """Whether lookalikes are removed too."""
        return self.mode == "strict"

    @property
    def version(self) -> str:
        """Return ten hex digits over the rules' revision and all that this policy says but its name."""
        content = msgspec.json.encode(
            [
                RULES,
                self.mode,
                sorted(self.disabled),
                list(self.allow),
                [[one.name, one.pattern] for one in self.extra],
                self.max_chars,
            ]
        )
        return hashlib.sha256(content).hexdigest()[:10]


def _check(pattern: str, *, param: str) -> None:
    if len(pattern) > _MAX_PATTERN_CHARS:
        raise ConfigError(
            f"expected a pattern of at most {_MAX_PATTERN_CHARS} characters; got {len(pattern)}: {pattern!r}",
            param=param,
        )
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"expected a regular expression; got {pattern!r}: {error}", param=param) from error
    if compiled.match("") is not None:
        raise ConfigError(
            f"expected a pattern that needs at least one character; got {pattern!r}, which matches ''",
            param=param,
        )
    variants = _variants(pattern)
    if variants > _MAX_VARIANTS:
        raise ConfigError(
            f"expected bounded repeats, such as {{1,40}} in place of '+' or '*'; got {pattern!r}", param=param
        )


_REPEAT: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<open>[*+]|\{\d*,\})|\{(?P<low>\d*),(?P<high>\d+)\}")


def _variants(pattern: str) -> int:
    """Return an upper bound of the ways to try the repeats of `pattern` at one place."""
    ways = 1
    for found in _REPEAT.finditer(pattern):
        if found["open"]:
            return _MAX_VARIANTS + 1
        if found["high"]:
            ways *= max(int(found["high"]) - int(found["low"] or 0) + 1, 1)
    return ways


STRICT: Final = Policy(name="strict")
LENIENT: Final = Policy(name="lenient", mode="lenient")
