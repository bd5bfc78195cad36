"""The redactor: text in, text without personal data and secrets out, and never an exception."""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from trimtab.redact import gate as gates
from trimtab.redact import mail, number, revisit, view
from trimtab.redact.entity import FAILED, TOKEN
from trimtab.redact.known import KnownValue, Literals
from trimtab.redact.matcher import Matcher
from trimtab.redact.policy import STRICT, Policy
from trimtab.redact.pseudonym import Pseudonymiser
from trimtab.redact.settled import Settled
from trimtab.redact.span import Span, merge
from trimtab.redact.walk import Leaves

__all__ = ["Redactor"]

_MAX_PASSES: Final = 8
_PHONE_LIKE: Final = re.compile(r"[+(0-9][0-9 .\-/()]{6,24}")


class Redactor:
    """Removes personal data and secrets from text, under one policy and one key.

    One redactor serves any number of threads. Nothing it is given makes it raise: what it cannot redact becomes
    `<REDACTION_FAILED>` and is counted in `failures`. Redacting twice changes nothing more.

        redactor = Redactor(key=key)
        redactor.text("mail me at jane@example.com")                 # 'mail me at <EMAIL:...>'
        redactor.text("Jane here", [KnownValue("name", "Jane")])     # '<NAME> here'
        redactor.value({"note": "...", "password": "hunter2"})       # {'note': '...', 'password': '<SECRET>'}
        redactor.batch(["many", "texts"])                            # one scan for all of them
        redactor.identifier("user-8841")                             # ids stay as they are

    `gate=False` leaves out the scan that spares clean texts the matchers: the same output, several times slower. It is
    left out as well where its library is not installed. Raises ConfigError when the key has fewer than 16 bytes.
    """

    def __init__(self, *, key: bytes, policy: Policy = STRICT, gate: bool = True) -> None:
        self.policy = policy
        self.version = f"{policy.name}-{policy.version}"
        self.failures = 0
        self._lock = threading.Lock()
        self._pseudonymiser = Pseudonymiser(key)
        self._gate = gates.opened(tuple(one.pattern for one in policy.extra)) if gate else None
        self._matcher = Matcher(policy, self._gate)

    def of(self, _project_id: str) -> Redactor:
        """Return itself: one policy for all projects, where a redactor stands for `Redactors`."""
        return self

    def text(self, text: str, known: Sequence[KnownValue] = ()) -> str:
        """Return `text` with every finding replaced by its token; `known` are the event's own facts to take out."""
        try:
            return self._text(text, Literals(known) if known else None)
        except Exception:  # noqa: BLE001 -- whatever went wrong, the raw text must not be what is stored
            return self._failed()

    def batch(self, texts: Sequence[str], known: Sequence[KnownValue] = ()) -> list[str]:
        """Return the texts redacted, as `text` would each: one scan over all, then a closer look at those it hit."""
        try:
            literals = Literals(known) if known else None
            if self._gate is None or not self._gate.certain or len(texts) < 2:
                return [self._text(text, literals) for text in texts]
            hit = self._hit(self._gate, texts)
            if literals is not None:
                hit.update([index for index, text in enumerate(texts) if literals.may_stand_in(text)])
        except Exception:  # noqa: BLE001 -- one odd text must not cost the others
            return [self.text(text, known) for text in texts]
        return [self._text(text, literals) if index in hit else text for index, text in enumerate(texts)]

    def value(self, value: object, known: Sequence[KnownValue] = ()) -> object:
        """Return a copy of a JSON value redacted by leaf and key; values under keys such as `password` are dropped."""
        try:
            leaves = Leaves(value)
            return leaves.rebuilt(self.batch(leaves.texts, known))
        except Exception:  # noqa: BLE001 -- as in text
            return self._failed()

    def identifier(self, text: str) -> str:
        """Return an id as it is, or its pseudonym when the whole of it is an e-mail address or telephone number."""
        try:
            if text[:1].isalpha() and "@" not in text:  # begins as no number does
                return text
            if "@" in text:
                spans = mail.find(text.strip())
                if len(spans) == 1 and spans[0].end - spans[0].start == len(text.strip()):
                    return self._pseudonymiser.token("EMAIL", spans[0].canonical)
            elif not text.isdigit() and _PHONE_LIKE.fullmatch(text.strip()):
                canonical = number.whole(text.strip())
                if canonical is not None:
                    return self._pseudonymiser.token("PHONE", canonical)
            return text
        except Exception:  # noqa: BLE001 -- as in text
            return self._failed()

    def _text(self, text: str, known: Literals | None) -> str:
        try:
            return self._redact(text, known if known is not None and known.may_stand_in(text) else None)
        except Exception:  # noqa: BLE001 -- as in text
            return self._failed()

    def _failed(self) -> str:
        with self._lock:
            self.failures += 1
        return FAILED

    def _hit(self, gate: gates.Gate, texts: Sequence[str]) -> set[int]:
        """Return which texts need a closer look."""
        plains = [text if (seen := view.plain(text)) is None else seen.text for text in texts]
        starts = list(accumulate((len(text) + 1 for text in plains), initial=0))
        hit = {bisect_right(starts, end - 1) - 1 for end in gate.ends("\n".join(plains))}
        # The scan stands in for extra patterns in ASCII only.
        unsure = bool(self.policy.extra)
        limit = self.policy.max_chars
        return hit | {index for index, text in enumerate(texts) if len(text) > limit or (unsure and not text.isascii())}

    def _redact(self, text: str, known: Literals | None) -> str:
        # What is left of a replaced finding can look different to the next look, so the text is done when one
        # whole pass changes nothing; that makes redacting twice the same as once.
        if len(text) > self.policy.max_chars:
            return self._failed()
        hits = None
        if self._matcher.is_simple and text.isascii() and "<" not in text:
            hits = self._matcher.scan(text)
            if hits is None:
                spans = merge(known.find(text)) if known is not None else ()
                if revisit.is_apart(text, spans):
                    return self._replaced(text, spans)
            if known is not None:
                hits = None
        settled = Settled()
        for _ in range(_MAX_PASSES):
            done = False
            if hits is not None:
                spans = self._matcher.first(text, hits, settled)
                clean = self._replaced(text, spans)
                done = self._matcher.is_done(text, clean, spans, hits, settled)
                hits = None
            else:
                clean = self._pass(text, known, settled)
            if done or clean == text:
                return clean
            text = clean
            settled.next_look()
        return self._failed()

    def _pass(self, text: str, known: Literals | None, settled: Settled) -> str:
        if "<" not in text:
            return self._piece(text, known, settled)
        parts: list[str] = []
        position = 0
        for token in TOKEN.finditer(text):
            parts += (self._piece(text[position : token.start()], known, settled), token.group())
            position = token.end()
        parts.append(self._piece(text[position:], known, settled))
        return "".join(parts)

    def _piece(self, text: str, known: Literals | None, settled: Settled) -> str:
        return self._replaced(text, self._matcher.find(text, known, settled=settled))

    def _replaced(self, text: str, spans: Sequence[Span]) -> str:
        if not spans:
            return text
        parts: list[str] = []
        position = 0
        for span in spans:
            parts += (text[position : span.start], self._pseudonymiser.token(span.entity, span.canonical))
            position = span.end
        parts.append(text[position:])
        return "".join(parts)
