"""Credentials named by the word before them: `password: ...`, `api_key=...`, `Bearer ...`, URLs that carry one."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Final

from trimtab.redact.span import Span

__all__ = ["KEYED_GATES", "PARAMETER_GATE", "find_assigned", "find_parameter", "find_userinfo", "without_userinfo"]

# What names a secret, in the languages of the people who paste theirs into a chat.
_WORDS: Final[tuple[str, ...]] = (
    "password", "passwd", "passwrd", "passcode", "passphrase", "pwd", "secret", "token", "apikey", "api key",
    "access key", "secret key", "private key", "client secret", "account key", "accountkey", "credential",
    "credentials", "passwort", "kennwort", "contraseña", "contrasena", "clave", "mot de passe", "senha", "parola",
    "hasło", "haslo", "wachtwoord", "lösenord", "losenord", "adgangskode", "passord", "salasana", "şifre", "sifre",
    "heslo", "jelszó", "пароль", "密码", "密碼", "パスワード", "비밀번호",
)  # fmt: skip
# Said in a sentence: `my password is hunter2`.
_IS: Final = ("is", "ist", "est", "es", "è", "é", "was", "jest", "är", "er")
_SPOKEN: Final = (
    "password", "passwort", "kennwort", "contraseña", "clave", "mot de passe", "senha", "parola", "hasło",
    "wachtwoord", "lösenord", "passcode", "passphrase", "pwd", "pin",
)  # fmt: skip


def _spelled(word: str) -> str:
    return re.escape(word).replace(r"\ ", "[ _-]?")


_MARK: Final = r"[\"'`\])]{0,2}[ \t]{0,3}[:=]"
_NAMED: Final = "(?:" + "|".join(_spelled(word) for word in _WORDS) + ")"
_KEYED: Final = (
    rf"(?:{_NAMED}{_MARK}|(?<![A-Za-z])(?:bearer|basic)[ ]|authorization:[ ]"
    rf"|(?:{'|'.join(_spelled(word) for word in _SPOKEN)})[ ](?:{'|'.join(_IS)})[ :])"
)
_KEYED_ANY: Final = re.compile(_KEYED, re.IGNORECASE)
# The same by word, for a scan of bytes in which every character outside ASCII is a question mark.
KEYED_GATES: Final[tuple[str, ...]] = tuple(
    re.sub(r"[^\x00-\x7f]", r"\?", pattern)
    for pattern in (
        *(_spelled(word) + _MARK for word in _WORDS),
        r"(?:^|[^A-Za-z])(?:bearer|basic)[ ]",
        r"authorization:[ ]",
        *(rf"{_spelled(word)}[ ](?:{'|'.join(_IS)})[ :]" for word in _SPOKEN),
    )
)
_KEYED_END: Final = re.compile(_KEYED + r"\Z", re.IGNORECASE)
_MAX_KEYED: Final = 48
_VALUE: Final = re.compile(
    r"(?P<lead>[=>:]{0,2}[ \t]{0,3}(?:bearer |basic )?)"
    r"(?:(?P<quote>\\?[\"'`])(?P<quoted>[^\"'`\r\n\\]{1,240})(?=\\?(?P=quote))|(?P<bare>[^\s\"'`<>,;|\\]{1,240}))",
    re.IGNORECASE,
)
_PLACEHOLDER: Final = re.compile(
    r"(?:bearer|basic|none|null|nil|undefined|true|false|str|string|bool|int|bytes|any|optional|required|missing|invalid|wrong|empty"
    r"|incorrect|expired|changed|reset|changeme|password|secret|token|your[\w-]*|my[\w-]{0,20}|example|xxx+|\*+|\.{3,}|_+|-+"
    r"|\$\{?\w+\}?|%\w+%|\{\{?[^}]*\}?\}?|\[[^\]]*\]|<[^>]*>|[a-z_-]{0,24}(?:password|passwd|secret|token|key)[a-z_-]{0,24}|n/a|todo|tbd|[a-z_]{1,24}\(.*|(?:self|os|this|process|config"
    r"|settings|env|request|args|kwargs|data|user|form|req|ctx|params|options|opts|row|state|props)[.\[].*)[.!?]?",
    re.IGNORECASE,
)
_CODE: Final = re.compile(
    r"[\w.]+[\[(].*|[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)+[,;)]?|[A-Z][A-Z0-9_]+|[a-z]+(?:_[a-z]+)+[,;)]?"
)
_MIN_VALUE: Final = 4

PARAMETER_GATE: Final = (
    r"[?&;#](?:[a-z]{1,16}[_-])?(?:token|key|apikey|secret|password|passwd|pwd|pass|sig|signature|auth|code|session|sid"
    r"|sessionid|credential|jwt|otp|assertion|x-amz-signature|x-amz-security-token|x-goog-signature)="
)
_PARAMETER: Final = re.compile(PARAMETER_GATE, re.IGNORECASE)
_PARAMETER_END: Final = re.compile(PARAMETER_GATE + r"\Z", re.IGNORECASE)
_IN_URL: Final = re.compile(r"[?&][\w-]{0,40}=\Z")
_PARAMETER_VALUE: Final = re.compile(r"[^\s&#\"'<>()\[\]{}]{4,600}")
_USERINFO: Final = re.compile(r"[^\s/?#@\"'<>]{0,128}:[^\s/?#\"'<>]{1,128}@(?=[\w\[])")
_TOKEN_USERINFO: Final = re.compile(r"[\w-]{16,128}@(?=[\w\[])")


def find_assigned(text: str, ends: Iterable[int] | None, *, strict: bool) -> list[Span]:
    """Return the values after a word that names a secret; `ends` are where such a word and its mark end."""
    spans: list[Span] = []
    done = 0
    for end in _ends(text, ends, _KEYED_ANY, _KEYED_END):
        if end < done:
            continue
        before = text[max(end - 24, 0) : end]
        value = _VALUE.match(text, end)
        if value is None:
            continue
        group = "quoted" if value["quoted"] else "bare"
        found = value[group]
        stop = value.end(group)
        parameter = _IN_URL.search(before) is not None
        if group == "bare":
            kept = (found.partition("&")[0] if parameter else found).rstrip(".!?)]}:")
            stop -= len(found) - len(kept)
            found = kept
        if _is_secret(found, before.lower(), quoted=group == "quoted", strict=strict):
            spans.append(Span(value.start(group), stop, "URL_SECRET" if parameter else "SECRET"))
            done = stop
        elif stop - value.start(group) > _MAX_KEYED:
            done = stop  # a long value that is none holds no shorter one that is
    return spans


def _ends(text: str, ends: Iterable[int] | None, anywhere: re.Pattern[str], ending: re.Pattern[str]) -> list[int]:
    """Return where matches of `anywhere` end: the gate's `ends`, looked at again where it took letters for `?`."""
    if ends is None:
        return [found.end() for found in anywhere.finditer(text)]
    places = sorted(set(ends))
    if text.isascii():
        return places
    return [end for end in places if ending.search(text, max(end - _MAX_KEYED, 0), end)]


def _is_secret(value: str, before: str, *, quoted: bool, strict: bool) -> bool:
    if len(value) < _MIN_VALUE or _PLACEHOLDER.fullmatch(value):
        return False
    mixed = any(char.isdigit() for char in value) or not value.isalnum()
    spoken = not before.rstrip(" ").endswith((":", "="))
    if before.endswith("bearer "):
        return len(value) >= 8 and any(char.isdigit() for char in value)
    if before.endswith("basic "):
        return _is_basic(value)
    if not quoted and _CODE.fullmatch(value):
        return False
    if spoken or "token" in before or "key" in before or "clave" in before:
        # Words that also stand before harmless things need a value that looks like a credential.
        return (
            any(char.isdigit() for char in value) and not value.isdigit() if not spoken else mixed and " " not in value
        )
    if not strict:
        return mixed and " " not in value and len(value) >= 6
    return (" " not in value or len(value) <= 64) and not (not quoted and value.isdigit() and len(value) < _MIN_VALUE)


def _is_basic(value: str) -> bool:
    """Return whether a value is what HTTP calls basic credentials: the base64 of `user:password`."""
    try:
        plain = base64.b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4), validate=True)
        return b":" in plain and plain.decode().isprintable()
    except ValueError:  # no base64, or of no text
        return False


def find_parameter(text: str, ends: Iterable[int] | None) -> list[Span]:
    """Return the values of URL parameters that carry credentials; `ends` are where `?token=` and the like end."""
    spans: list[Span] = []
    done = 0
    for end in _ends(text, ends, _PARAMETER, _PARAMETER_END):
        value = _PARAMETER_VALUE.match(text, end) if end >= done else None
        if value is not None and not _PLACEHOLDER.fullmatch(value.group()):
            spans.append(Span(end, value.end(), "URL_SECRET"))
            done = value.end()
    return spans


def without_userinfo(text: str, addresses: list[Span]) -> list[Span]:
    """Return the addresses that are not `password@host` of a URL, which `find_userinfo` takes without the host."""
    signs = {span.end for span in find_userinfo(text)}
    return [span for span in addresses if not any(text.find("@", span.start) == sign for sign in signs)]


def find_userinfo(text: str) -> list[Span]:
    """Return `user:password` of URLs that carry them before the host."""
    spans: list[Span] = []
    scheme = text.find("://")
    while scheme != -1:
        found = _USERINFO.match(text, scheme + 3) or _TOKEN_USERINFO.match(text, scheme + 3)
        if found is not None:
            spans.append(Span(found.start(), found.end() - 1, "URL_SECRET"))
        scheme = text.find("://", scheme + 3)
    return spans
