"""Whether a text needs a second look once its findings are taken out: most often nothing near them is in doubt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trimtab.redact import account, mail, network, number, opaque
from trimtab.redact.gate import Family, Hits
from trimtab.redact.settled import Run
from trimtab.redact.span import Span

__all__ = ["is_done"]

# Families whose second look is told here; the gate's patterns for any other send the text through a whole one.
_TOLD_HERE: Final = (
    Family.AT | Family.NUMBER | Family.TOLD | Family.IPV4 | Family.COLON | Family.ACCOUNT | Family.OPAQUE
)
# No pattern of the gate newly begins or ends at one of these when what was beside it is gone.
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
    start = 0
    for end, following in [*((span.start, span.end) for span in spans), (size, size)]:
        if end > start and not _is_piece_done(text, start, end, hits, hits.places, strict=strict):
            return False
        start = following
    return True


def _are_runs_done(text: str, spans: Sequence[Span], runs: Sequence[Run], *, strict: bool, told: bool) -> bool:
    """Return whether each run of digits is within a finding, or is nobody's with the findings gone."""
    index = 0
    count = len(spans)
    low = 0
    for run in runs:
        while index < count and spans[index].end <= run.start:
            low = spans[index].end
            index += 1
        high = spans[index].start if index < count else len(text)
        if run.end <= high:
            if not number.stays(text, run, low, high, strict=strict, told=told):
                return False
        elif not _is_taken(text, run, spans[index:]):
            return False
    return True


def _is_taken(text: str, run: Run, spans: Sequence[Span]) -> bool:
    """Return whether findings leave too few digits of a run, anywhere in it, for another."""
    position = run.start
    for span in spans:
        if span.start >= run.end:
            break
        if span.start > position and not number.is_short(text[position : span.start]):
            return False
        position = span.end
    return position >= run.end or number.is_short(text[position : run.end])


def _is_piece_done(text: str, start: int, end: int, hits: Hits, places: dict[int, list[int]], *, strict: bool) -> bool:
    """Return whether nothing but numbers can be found in `text[start:end]`, which findings are beside."""
    families = hits.families
    piece = text[start:end]
    if families & Family.AT and "@" in piece and mail.find(piece):
        return False
    if families & Family.IPV4 and network.find_ipv4(piece):
        return False
    if families & Family.COLON and network.find_ipv6(piece):
        return False
    heads = [place - start for place in sorted(places.get(Family.ACCOUNT, ())) if start <= place < end]
    if heads and account.find(piece, heads, strict=strict):
        return False
    # Of what is around a token only the word that names it as content counts, and it may have been cut.
    near = min(start + opaque.BEFORE, end) if start else 0
    return not any(start <= place < near and opaque.is_content(text, place) for place in places.get(Family.OPAQUE, ()))
