"""Whether a text needs a second look once its findings are taken out: most often nothing near them is in doubt."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from trimtab.redact import account, mail, network, number, opaque
from trimtab.redact.gate import Family, Hits
from trimtab.redact.settled import NOBODYS, PLAIN, Run
from trimtab.redact.span import Span

__all__ = ["is_done"]

# Families whose second look is told here; the gate's patterns for any other send the text through a whole one.
_TOLD_HERE: Final = (
    Family.AT | Family.NUMBER | Family.TOLD | Family.IPV4 | Family.COLON | Family.ACCOUNT | Family.OPAQUE
)
# No pattern of the gate newly begins or ends at one of these when what was beside it is gone.
_DOTTED: Final = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]")  # in any IPv4 address
_IPV6_COLONS: Final = 6  # in an IPv6 address without `::`
_EDGES: Final = frozenset(" \n\t.,;:!?()[]'\"")


def is_done(text: str, spans: Sequence[Span], hits: Hits, runs: Sequence[Run], *, strict: bool) -> bool:
    """Return whether what is left of an ASCII text around `spans` surely holds no further finding.

    `hits` are the gate's, `runs` the runs of digits of the look that found `spans`. False only means a whole look.
    """
    if hits.places is None or hits.families & ~_TOLD_HERE:
        return False
    size = len(text)
    for span in spans:
        if (span.start > 0 and text[span.start - 1] not in _EDGES) or (
            span.end < size and text[span.end] not in _EDGES
        ):
            return False
    told = bool(hits.families & Family.TOLD)
    if hits.families & Family.NUMBER and not _are_runs_done(text, spans, runs, strict=strict, told=told):
        return False
    if not hits.families & ~(Family.NUMBER | Family.TOLD):
        return True
    if hits.families & Family.OPAQUE and not _are_tokens_done(text, spans, hits.places[Family.OPAQUE]):
        return False
    if not hits.families & (Family.AT | Family.IPV4 | Family.COLON | Family.ACCOUNT):
        return True
    heads = sorted(hits.places.get(Family.ACCOUNT, ()))
    start = 0
    for span in spans:
        if span.start > start and not _is_piece_done(text, start, span.start, hits.families, heads, strict=strict):
            return False
        start = span.end
    return start == size or _is_piece_done(text, start, size, hits.families, heads, strict=strict)


def _are_tokens_done(text: str, spans: Sequence[Span], tokens: Sequence[int]) -> bool:
    """Return whether none of the tokens is spared as content by a word that a finding before it has cut."""
    ends = [span.end for span in spans]
    for place in tokens:
        before = bisect_right(ends, place) - 1
        if before >= 0 and place < ends[before] + opaque.BEFORE and opaque.is_content(text, place):
            return False
    return True


def _are_runs_done(text: str, spans: Sequence[Span], runs: Sequence[Run], *, strict: bool, told: bool) -> bool:
    """Return whether each run of digits is within a finding, or is nobody's with the findings gone."""
    index = 0
    low = 0
    taken_from, taken_to = spans[0].start, spans[0].end
    for run in runs:
        _, start, end, said = run
        while taken_to <= start:
            low = taken_to
            index += 1
            # Beyond the last finding nothing is taken until the end.
            taken_from, taken_to = spans[index][:2] if index < len(spans) else (len(text), len(text) + 1)
        if end > taken_from:
            if not _is_taken(text, (start, end), low, spans[index:], strict=strict, told=told):
                return False
        elif said == NOBODYS or (said == PLAIN and start - low >= number.NEAR and taken_from - end >= number.NEAR):
            continue
        elif not number.stays(run, low, taken_from, strict=strict, told=told):
            return False
    return True


def _is_taken(
    text: str, run: tuple[int, int], low: int, spans: Sequence[Span], *, strict: bool, told: bool
) -> bool:
    """Return whether findings leave nothing of a run that another could be in; what is before it begins at `low`."""
    position, end = run
    for span in spans:
        high = min(span.start, end)
        if high > position and not number.is_short(text[position:high]):
            # What a finding took a part of: read again as it stands there.
            if number.find(text[low : span.start], strict=strict, told=told):
                return False
        if span.start >= end:
            return True
        position = low = span.end
    return position >= end or number.is_short(text[position:end]) or not number.find(text[low:], strict=strict, told=told)


def _is_piece_done(text: str, start: int, end: int, families: int, heads: list[int], *, strict: bool) -> bool:
    """Return whether no address and no account can be found in `text[start:end]`, which findings are beside."""
    if families & Family.AT and text.find("@", start, end) >= 0 and mail.find(text[start:end]):
        return False
    if families & Family.IPV4 and _DOTTED.search(text, start, end) and network.find_ipv4(text[start:end]):
        return False
    if (
        families & Family.COLON
        and (text.find("::", start, end) >= 0 or text.count(":", start, end) >= _IPV6_COLONS)
        and network.find_ipv6(text[start:end])
    ):
        return False
    inside = heads[bisect_left(heads, start) : bisect_left(heads, end)] if heads else ()
    return not inside or not account.find(text[start:end], [place - start for place in inside], strict=strict)
