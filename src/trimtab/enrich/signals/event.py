"""What a person did with one answer, as the app reported it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from trimtab.config import Signals
from trimtab.enrich.signals.edit import distance
from trimtab.enrich.signals.sign import Sign
from trimtab.records import Feedback, Inference, Opinion, text_of

__all__ = ["done"]

_SAYS: Final[Mapping[str, float]] = {"copy": 0.0, "regenerate": 1.0, "rephrase": 1.0, "abandon": 1.0, "dwell": 0.5}


def done(
    inference: Inference, opinions: Iterable[Opinion], words: Mapping[str, Feedback], settings: Signals
) -> list[Sign]:
    """Return the signs among the opinions on an answer, in the order of (time, feedback id).

    `words` are their feedback by id, as far as it was read; only edits and clicks need theirs. What was taken back is
    none, nor is what a reviewer or a judge did with an answer while looking at it.
    """
    held = {
        opinion.feedback_id: opinion
        for opinion in opinions
        if not opinion.retracted and opinion.source in ("user", "app") and opinion.inference_id == inference.id
    }
    signs = [
        _sign(inference, opinion, words.get(opinion.feedback_id), settings)
        for opinion in sorted(held.values(), key=lambda opinion: (opinion.created_at, opinion.feedback_id))
        if getattr(settings, opinion.kind, False)
    ]
    return [sign for sign in signs if sign is not None]


def _sign(inference: Inference, opinion: Opinion, words: Feedback | None, settings: Signals) -> Sign | None:
    value = opinion.value
    match opinion.kind:
        case "edit":
            value = _changed(inference, opinion, words)
            if value is None or value <= settings.edit_distance:
                return None
            x = 1.0
        case "click":
            if not _is_citation(inference, words):
                return None
            x = 0.0
        case "copy" | "regenerate" | "rephrase" | "abandon" | "dwell":
            x = _SAYS[opinion.kind]
        case _:
            return None
    return Sign(opinion.kind, inference.id, opinion.created_at, value, None, opinion.feedback_id, x)


def _changed(inference: Inference, opinion: Opinion, words: Feedback | None) -> float | None:
    """Return the distance of the kept text from the answer, both as stored; the sender's own where a text is missing.

    An answer that is no text is never the text that was shown, so the sender's number stands for it too.
    """
    if words is None or not words.text or not isinstance(inference.output, str):
        return opinion.value
    own = distance(text_of(inference.output), words.text)
    return opinion.value if own is None else own


def _is_citation(inference: Inference, words: Feedback | None) -> bool:
    """Say whether a click names one of the documents that the answer was made of."""
    if words is None:
        return False
    known = {chunk.id for chunk in inference.context}
    return any(name is not None and name.strip() in known for name in (words.label, words.text))
