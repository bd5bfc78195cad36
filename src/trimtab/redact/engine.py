"""The redactor: text in, text without personal data and secrets out, and never an exception."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Final

from trimtab.redact import known as known_values
from trimtab.redact import mail, number, secret
from trimtab.redact.entity import FAILED, TOKEN
from trimtab.redact.known import KnownValue
from trimtab.redact.policy import STRICT, Policy
from trimtab.redact.pseudonym import Pseudonymiser
from trimtab.redact.span import Span, merge
from trimtab.redact.walk import walk

__all__ = ["Redactor"]

_MAX_PASSES: Final = 6
_WHOLE_PHONE: Final = re.compile(r"\+?[\d .\-/()]{7,22}")


class Redactor:
    """Removes personal data and secrets from text, under one policy and one key.

    One redactor serves any number of threads. Nothing it is given makes it raise: what it cannot redact
    becomes `<REDACTION_FAILED>` and is counted in `failures`. Redacting twice changes nothing more.

        redactor = Redactor(key=key)
        redactor.text("mail me at jane@example.com")                 # 'mail me at <EMAIL:...>'
        redactor.text("Jane here", [KnownValue("name", "Jane")])     # '<NAME> here'
        redactor.value({"note": "...", "password": "hunter2"})       # {'note': '...', 'password': '<SECRET>'}
        redactor.batch(["many", "texts"])                            # one scan for all of them
        redactor.identifier("user-8841")                             # ids stay as they are

    Raises ConfigError at construction when the key has fewer than 16 bytes.
    """

    def __init__(self, *, key: bytes, policy: Policy = STRICT) -> None:
        self.policy = policy
        self.version = f"{policy.name}-{policy.version}"
        self.failures = 0
        self._lock = threading.Lock()
        self._pseudonymiser = Pseudonymiser(key)
        self._allow = [re.compile(pattern) for pattern in policy.allow]
        self._extra = [re.compile(one.pattern) for one in policy.extra]

    def text(self, text: str, known: Sequence[KnownValue] = ()) -> str:
        """Return `text` with each finding replaced by its token; `known` are the event's own facts."""
        try:
            if len(text) > self.policy.max_chars:
                return self._failed()
            return self._redact(text, known)
        except Exception:  # noqa: BLE001 -- whatever went wrong, the raw text must not be what is stored
            return self._failed()

    def batch(self, texts: Sequence[str], known: Sequence[KnownValue] = ()) -> list[str]:
        """Return the texts redacted, as `text` would each of them."""
        return [self.text(text, known) for text in texts]

    def value(self, value: object, known: Sequence[KnownValue] = ()) -> object:
        """Return a copy of a JSON value redacted by leaf and key; values under keys such as `password` are dropped."""
        try:
            return walk(value, lambda leaf: self.text(leaf, known))
        except Exception:  # noqa: BLE001 -- as above
            return self._failed()

    def identifier(self, text: str) -> str:
        """Return an id as it is, or its pseudonym when all of it is an e-mail address or telephone number."""
        try:
            stripped = text.strip()
            spans = mail.find(stripped)
            if len(spans) == 1 and (spans[0].start, spans[0].end) == (0, len(stripped)):
                return self._pseudonymiser.token("EMAIL", spans[0].canonical)
            if _WHOLE_PHONE.fullmatch(stripped) and not stripped.isdigit():
                spans = number.find(stripped, strict=False)
                if len(spans) == 1 and spans[0].entity == "PHONE":
                    return self._pseudonymiser.token("PHONE", spans[0].canonical)
            return text
        except Exception:  # noqa: BLE001 -- as above
            return self._failed()

    def _failed(self) -> str:
        with self._lock:
            self.failures += 1
        return FAILED

    def _redact(self, text: str, known: Sequence[KnownValue]) -> str:
        for _ in range(_MAX_PASSES):
            clean = self._pass(text, known)
            if clean == text:
                return clean
            text = clean
        return self._failed()

    def _pass(self, text: str, known: Sequence[KnownValue]) -> str:
        parts: list[str] = []
        position = 0
        for token in TOKEN.finditer(text):
            parts.append(self._piece(text[position : token.start()], known))
            parts.append(token.group())
            position = token.end()
        parts.append(self._piece(text[position:], known))
        return "".join(parts)

    def _piece(self, text: str, known: Sequence[KnownValue]) -> str:
        if not text:
            return text
        spans = [span for span in merge(self._find(text, known)) if self._wanted(text, span)]
        parts: list[str] = []
        position = 0
        for span in spans:
            parts.append(text[position : span.start])
            parts.append(self._pseudonymiser.token(span.entity, span.canonical))
            position = span.end
        parts.append(text[position:])
        return "".join(parts)

    def _find(self, text: str, known: Sequence[KnownValue]) -> list[Span]:
        strict = self.policy.strict
        spans = mail.find(text) + mail.find_spelled(text) + number.find(text, strict=strict) + secret.find_vendor(text)
        if strict:
            spans += secret.find_assigned(text)
        if known:
            spans += known_values.find(text, known)
        for pattern in self._extra:
            spans += [Span(found.start(), found.end(), "CUSTOM") for found in pattern.finditer(text)]
        return spans

    def _wanted(self, text: str, span: Span) -> bool:
        if span.entity in self.policy.disabled:
            return False
        found = text[span.start : span.end]
        return not any(pattern.fullmatch(found) for pattern in self._allow)
