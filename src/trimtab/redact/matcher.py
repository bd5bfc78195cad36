"""All matchers over one text: which run is the gate's word, what counts is the policy's."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from trimtab.redact import account, mail, network, number, opaque, revisit, secret, vendor, view
from trimtab.redact.gate import EVERYWHERE, Family, Gate, Hits
from trimtab.redact.known import Literals
from trimtab.redact.policy import Policy
from trimtab.redact.settled import Settled
from trimtab.redact.span import Span, merge

__all__ = ["Matcher"]

_MAX_DEPTH: Final = 1
# An attribute of a class is looked up by name each time; these are not.
_AT, _SCHEME, _NUMBER, _TOLD = Family.AT, Family.SCHEME, Family.NUMBER, Family.TOLD
_VENDOR, _KEYED, _PARAMETER, _ACCOUNT, _OPAQUE = (
    Family.VENDOR, Family.KEYED, Family.PARAMETER, Family.ACCOUNT, Family.OPAQUE,
)  # fmt: skip
_BY_FLAG: Final[tuple[tuple[int, Callable[[str], list[Span]]], ...]] = (
    (Family.SCHEME, secret.find_userinfo),
    (Family.SPELLED, mail.find_spelled),
    (Family.IPV4, network.find_ipv4),
    (Family.COLON, network.find_ipv6),
    (Family.MAC, network.find_mac),
)


class Matcher:
    """Finds what a policy wants found. `gate` None tries every matcher everywhere, to the same result."""

    def __init__(self, policy: Policy, gate: Gate | None) -> None:
        self._policy = policy
        self._gate = gate
        self._allow = [re.compile(pattern) for pattern in policy.allow]
        self._picky = bool(policy.disabled or policy.allow)
        self._extra = [re.compile(one.pattern) for one in policy.extra]
        # Whether the policy neither adds to the rules nor takes from them, and a gate says where to look.
        self.is_simple = gate is not None and not (self._picky or self._extra)

    def scan(self, text: str) -> Hits | None:
        """Return what the gate sees in a text; None when nothing can be found in it."""
        return EVERYWHERE if self._gate is None else self._gate.scan(text)

    def first(self, text: str, hits: Hits, settled: Settled) -> list[Span]:
        """Return the findings of a plain text without marks of ours, in which the gate saw `hits`."""
        return merge(self._seen(text, hits, settled, 0))

    def is_done(self, text: str, clean: str, spans: Sequence[Span], hits: Hits, settled: Settled) -> bool:
        """Return whether no second look can find more in `clean`, which is `text` without what `first` found in it."""
        return not spans or revisit.is_done(text, clean, spans, hits, settled.runs, strict=self._policy.strict)

    def find(
        self, text: str, known: Literals | None = None, *, settled: Settled | None = None, depth: int = 0
    ) -> list[Span]:
        """Return the findings in order, apart from each other; `depth` counts decodings of base64."""
        if not text:
            return []
        plain = view.plain(text)
        seen = plain.text if plain is not None else text
        hits = self.scan(seen)
        spans: list[Span] = []
        if hits is not None:
            spans += self._seen(seen, hits, settled, depth)
        if self._extra and (self._gate is None or not self._gate.certain or not text.isascii() or _has_extra(hits)):
            spans += [
                Span(found.start(), found.end(), "CUSTOM") for extra in self._extra for found in extra.finditer(seen)
            ]
        if known is not None and (told := merge(known.find(seen))):
            # What the event says itself gives the token: the rules may read a spelling of it as another value.
            spans = _beside(spans, told) + told
        if not spans:
            return spans
        if plain is not None:
            spans = _moved(spans, plain)
        if self._picky:
            spans = [span for span in spans if self._wanted(text, span)]
        return merge(spans) if len(spans) > 1 else spans

    def _seen(self, text: str, hits: Hits, settled: Settled | None, depth: int) -> list[Span]:
        """Return the findings in a text and in what its escapes stand for."""
        spans: list[Span] = []
        if hits.families & Family.ESCAPE and (decoded := view.decoded(text)) is not None:
            inner = self.scan(decoded.text)
            if inner is not None:
                spans += _moved(self._matched(decoded.text, inner, settled, depth), decoded)
        return spans + self._matched(text, hits, settled, depth)

    def _matched(self, text: str, hits: Hits, settled: Settled | None, depth: int) -> list[Span]:
        strict = self._policy.strict
        families = hits.families
        spans: list[Span] = []
        if families & _AT:
            spans += secret.without_userinfo(text, mail.find(text)) if families & _SCHEME else mail.find(text)
        for family, find in _BY_FLAG:
            if family & families:
                spans += find(text)
        if families & _NUMBER:
            told = bool(families & _TOLD)
            addresses = [span for span in spans if span.entity == "IP"] if spans and not self._picky else ()
            spans += number.find(text, strict=strict, told=told, settled=settled, addresses=addresses)
        if families & _VENDOR:
            spans += vendor.find(text, hits.at(_VENDOR))
        if families & _KEYED:
            spans += secret.find_assigned(text, hits.at(_KEYED), strict=strict)
        if families & _PARAMETER:
            spans += secret.find_parameter(text, hits.at(_PARAMETER))
        if families & _ACCOUNT:
            spans += account.find(text, hits.at(_ACCOUNT), strict=strict)
        if families & _OPAQUE:
            spans += opaque.find(text, hits.at(_OPAQUE), lambda plain: self._hides(plain, depth), strict=strict)
        return spans

    def _hides(self, plain: str, depth: int) -> bool:
        return depth < _MAX_DEPTH and bool(self.find(plain, depth=depth + 1))

    def _wanted(self, text: str, span: Span) -> bool:
        if span.entity in self._policy.disabled:
            return False
        return not any(pattern.fullmatch(text, span.start, span.end) for pattern in self._allow)


def _has_extra(hits: Hits | None) -> bool:
    return hits is not None and bool(hits.families & Family.EXTRA)


def _beside(spans: list[Span], told: list[Span]) -> list[Span]:
    """Return the spans that are not within one of `told`, which are in order and apart, of the same entity."""
    starts = [one.start for one in told]
    kept = []
    for span in spans:
        one = told[bisect_right(starts, span.start) - 1]  # for a span before all of them the last, which begins later
        if not (one.start <= span.start and span.end <= one.end and one.entity == span.entity):
            kept.append(span)
    return kept


def _moved(spans: list[Span], seen: view.View) -> list[Span]:
    """Return the spans of a view at their places in the text it was made from."""
    return [Span(*seen.origin(span.start, span.end), span.entity, span.canonical) for span in spans]
