"""Why an answer was wrong: the right text was not found, the text was wrong itself, or the model did not heed it.

Only what retrieval gave and what it lacked is work on knowledge. An answer that was wrong although the right text lay
before the model is for examples and rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from trimtab.act.knowledge.words import content_words
from trimtab.records import Chunk

__all__ = ["IN_KNOWLEDGE", "Cause", "Diagnosis", "diagnose", "support"]

Cause = Literal["retrieval_miss", "ranking_miss", "stale", "generation_miss", "unknown"]

IN_KNOWLEDGE: tuple[Cause, ...] = ("retrieval_miss", "ranking_miss", "stale")
"""The causes that another text in the index can mend."""

_SUPPORTED = 0.6
_NUMBER = 3.0  # a chunk with the right words and another number says something else


class Diagnosis(NamedTuple):
    """What was found: the cause, the chunk that shows it (stale, ranking_miss, generation_miss) and how sure it is.

    `support` is the share of the answer in that chunk: of the right answer, or for a stale one of the wrong.
    """

    cause: Cause
    chunk_id: str | None = None
    support: float = 0.0


def support(answer: str, chunk: str, *, beside: str = "") -> float:
    """Return how much of an answer stands in a chunk, from 0 to 1.

    The share of the answer's content words that the chunk has, a number counting for three. With `beside`, the words
    that answer and `beside` have in common are left out: what is asked then is whether the chunk says what tells the
    one from the other. 0 for an answer with nothing to look for.

    >>> support("within 30 days", "Returns are free within 30 days."), support("within 30 days", "Within 14 days.")
    (1.0, 0.4)
    """
    wanted = content_words(answer) - content_words(beside)
    found = content_words(chunk)
    total = sum(map(_weight, wanted))
    return sum(_weight(word) for word in wanted & found) / total if total else 0.0


def diagnose(
    *, corrected: str, output: str, context: Sequence[Chunk], deeper: Sequence[Chunk] | None = None
) -> Diagnosis:
    """Say why `output` was given where `corrected` is right, from the chunks that the model was shown.

    A chunk supports the right answer when it holds at least 60% of it and 60% of what tells it from the output; the
    wrong answer likewise. Then, in this order:

    - stale: some chunk supports the wrong answer and not the right one (it contradicts the correction), whatever the
      others say;
    - generation_miss: some chunk supports the right answer;
    - ranking_miss: a chunk of `deeper` does, what the index finds further down (k = 50);
    - retrieval_miss: none does. Without `deeper` this may be a ranking miss as well.

    unknown where no chunk has a text, or the two answers do not differ in content words. Assumption: an answer repeats
    the words of its source; a paraphrase without common words is taken for a miss.
    """
    shown = [chunk for chunk in context if chunk.text]
    if not shown or not content_words(corrected) - content_words(output):
        return Diagnosis("unknown")
    against = _best(output, corrected, [chunk for chunk in shown if not _says(corrected, output, chunk)])
    if against is not None:
        return Diagnosis("stale", against.id, round(support(output, against.text or ""), 3))
    for cause, chunks in (("generation_miss", shown), ("ranking_miss", deeper or ())):
        found = _best(corrected, output, chunks)
        if found is not None:
            return Diagnosis(cause, found.id, round(support(corrected, found.text or ""), 3))  # type: ignore[arg-type]
    return Diagnosis("retrieval_miss")


def _says(answer: str, other: str, chunk: Chunk) -> bool:
    """Say whether a chunk supports the answer rather than the other one."""
    text = chunk.text or ""
    return support(answer, text) >= _SUPPORTED and support(answer, text, beside=other) >= _SUPPORTED


def _best(answer: str, other: str, chunks: Sequence[Chunk]) -> Chunk | None:
    saying = [chunk for chunk in chunks if _says(answer, other, chunk)]
    return max(saying, key=lambda chunk: support(answer, chunk.text or ""), default=None)


def _weight(word: str) -> float:
    return _NUMBER if any(character.isdigit() for character in word) else 1.0
