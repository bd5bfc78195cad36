"""What a project wants redacted: one frozen, versioned value, recorded on every row it touched."""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal

import msgspec

from trimtab.errors import ConfigError
from trimtab.records import RedactionSettings
from trimtab.redact.entity import ENTITIES, Entity

__all__ = ["LENIENT", "RULES", "STRICT", "ExtraPattern", "Policy", "policy_of"]

# Raised by hand whenever the same text under the same policy would come out differently.
RULES: Final = 1

_MAX_PATTERNS: Final = 32
_MAX_PATTERN_CHARS: Final = 200
_MAX_WAYS: Final = 4096


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

    def covers(self, other: Policy) -> bool:
        """Return whether this policy takes all that `other` takes: what it cleaned needs no cleaning by `other`."""
        return (
            (self.strict or not other.strict)
            and self.disabled <= other.disabled
            and set(self.allow) <= set(other.allow)
            and {one.pattern for one in self.extra} >= {one.pattern for one in other.extra}
            and self.max_chars <= other.max_chars
        )

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
    if _ways(pattern) > _MAX_WAYS:
        raise ConfigError(
            f"expected bounded repeats, such as {{1,40}} in place of '+' or '*', that can be tried in at most "
            f"{_MAX_WAYS} ways at one place; got {pattern!r}; make the repeats shorter, or take one out of another",
            param=param,
        )


_PART: Final = re.compile(
    r"(?P<escape>\\.)|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<open>\((?:\?(?:P<\w+>|<?[=!:>]|[a-zA-Z-]+:))?)"
    r"|(?P<close>\))|(?P<or>\|)|(?P<repeat>(?:[*+?]|\{(?P<low>\d*)(?P<comma>,?)(?P<high>\d*)\})[?+]?)|(?P<other>.)",
    re.DOTALL,
)


def _ways(pattern: str) -> int:
    """Return how many ways there are to try `pattern` at one place: a bound on the time that a text can cost.

    Alternatives add, what follows each other multiplies, what is repeated k times counts to the power of k: `(a?){40}`
    has 2^40 ways, however short it is. What is over the limit is not counted further.
    """
    # A level is [alternatives so far, this alternative, its last part]; a group's level is closed into its last part.
    levels = [[0, 1, 1]]
    for part in _PART.finditer(pattern):
        level = levels[-1]
        if part["open"]:
            levels.append([0, 1, 1])
        elif part["or"]:
            level[:] = [level[0] + level[1] * level[2], 1, 1]
        elif part["close"] and len(levels) > 1:
            done, now, last = levels.pop()
            levels[-1][1:] = [levels[-1][1] * levels[-1][2], done + now * last]
        elif part["repeat"]:
            level[2] = _repeated(part, level[2])
        else:
            level[1:] = [level[1] * level[2], 1]
        levels[-1] = [min(ways, _MAX_WAYS + 1) for ways in levels[-1]]
    done, now, last = levels[0]
    return done + now * last


def _repeated(part: re.Match[str], ways: int) -> int:
    """Return the ways of a repeat of something that itself has `ways`."""
    sign = part["repeat"][0]
    if sign == "{" and not (part["low"] or part["comma"]):
        return ways  # `{}` is no repeat
    if sign in "*+" or (sign == "{" and part["comma"] and not part["high"]):
        return _MAX_WAYS + 1
    low, high = (0, 1) if sign == "?" else (int(part["low"] or 0), int(part["high"] or part["low"]))
    if ways == 1:
        return high - low + 1
    total = 0
    for times in range(low, high + 1):
        total += ways**times if times * ways.bit_length() < 64 else _MAX_WAYS + 1
        if total > _MAX_WAYS:
            return total
    return total


STRICT: Final = Policy(name="strict")
LENIENT: Final = Policy(name="lenient", mode="lenient")


def policy_of(settings: RedactionSettings) -> Policy:
    """Return the policy that a project's settings stand for, named by their revision: `r3`.

    Raises ConfigError when a pattern does not compile or is unbounded, or an entity is unknown.
    """
    for name in settings.disabled:
        if name not in ENTITIES:
            raise ConfigError(
                f"expected disabled to name entities out of {', '.join(ENTITIES)}; got {name!r}", param="disabled"
            )
    return Policy(
        name=f"r{settings.revision}",
        mode=settings.mode,
        disabled=frozenset(entity for entity in ENTITIES if entity in settings.disabled),
        allow=tuple(settings.allow),
        extra=tuple(ExtraPattern(one.name, one.pattern) for one in settings.extra),
    )
