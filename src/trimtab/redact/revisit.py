"""Whether a text needs a second look once its findings are taken out: most often nothing near them is in doubt."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from trimtab.redact import account, mail, network, number, opaque
from trimtab.redact.gate import Family, Hits
from trimtab.redact.settled import NOBODYS, PLAIN, Run
from trimtab.redact.span import Span

__all__ = ["is_apart", "is_done"]

# Families whose second look is told here; the gate's patterns for any other send the text through a whole one.
_TOLD_HERE: Final = (
    Family.AT | Family.NUMBER | Family.TOLD | Family.IPV4 | Family.COLON | Family.ACCOUNT | Family.OPAQUE
)
_AT, _NUMBER, _IPV4, _COLON = Family.AT, Family.NUMBER, Family.IPV4, Family.COLON
_IN_PIECES: Final = _AT | _IPV4 | _COLON | Family.ACCOUNT
# No pattern of the gate newly begins or ends at one of these when what was beside it is gone.
_EDGES: Final = frozenset(" \n\t.,;:!?()[]'\"")


def is_done(text: str, clean: str, spans: Sequence[Span], hits: Hits, runs: Sequence[Run], *, strict: bool) -> bool:
    """Return whether `clean`, which is an ASCII text with its findings replaced, surely holds no further finding.

    `spans` are the findings, one at least, `hits` the gate's and `runs` the runs of digits of the look that found them.
    False only means a whole look.
    """
    families = hits.families
    if hits.places is None or families & ~_TOLD_HERE:
        return False
    if not is_apart(text, spans):
        return False
    if families & _NUMBER and not _are_runs_done(text, spans, runs, strict=strict, told=bool(families & Family.TOLD)):
        return False
    if families & Family.OPAQUE and not _are_tokens_done(text, spans, hits.places[Family.OPAQUE]):
        return False
    # Our own tokens hold none of what an address is known by.
    families &= ~(_AT if "@" not in clean else 0)
    families &= ~(_IPV4 if families & _IPV4 and not network.may_hold_ipv4(clean) else 0)
    families &= ~(_COLON if families & _COLON and not network.may_hold_ipv6(clean) else 0)
    if not families & _IN_PIECES:
        return True
    heads = sorted(hits.places.get(Family.ACCOUNT, ()))
    start = 0
    for span in spans:
        if span.start > start and not _is_piece_done(text, start, span.start, families, heads, strict=strict):
            return False
        start = span.end
    return start == len(text) or _is_piece_done(text, start, len(text), families, heads, strict=strict)


def is_apart(text: str, spans: Sequence[Span]) -> bool:
    """Return whether no pattern of the gate newly matches beside a finding that is taken out of an ASCII text."""
    size = len(text)
    for start, end, _, _ in spans:
        if (start > 0 and text[start - 1] not in _EDGES) or (end < size and text[end] not in _EDGES):
            return False
    return True


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


def _is_taken(text: str, run: tuple[int, int], low: int, spans: Sequence[Span], *, strict: bool, told: bool) -> bool:
    """Return whether findings leave nothing of a run that another could be in; what is before it begins at `low`."""
    position, end = run
    for span in spans:
        high = min(span.start, end)
        left = high > position and not number.is_short(text[position:high])
        # What a finding took a part of is read again as it stands there.
        if left and number.find(text[low : span.start], strict=strict, told=told):
            return False
        if span.start >= end:
            return True
        position = low = span.end
    return (
        position >= end or number.is_short(text[position:end]) or not number.find(text[low:], strict=strict, told=told)
    )


def _is_piece_done(text: str, start: int, end: int, families: int, heads: list[int], *, strict: bool) -> bool:
    """Return whether no address and no account can be found in `text[start:end]`, which findings are beside."""
    piece = text[start:end]
    if (
        (families & _AT and mail.find(piece))
        or (families & _IPV4 and network.find_ipv4(piece))
        or (families & _COLON and network.find_ipv6(piece))
    ):
        return False
    inside = heads[bisect_left(heads, start) : bisect_left(heads, end)] if heads else ()
    return not inside or not account.find(piece, [place - start for place in inside], strict=strict)
