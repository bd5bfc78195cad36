"""Which rows follow from what people said of one answer, and why there are none.

Only explicit words count: corrections, thumbs, and the text that a person made of an answer. What people merely did
(copying, asking again, leaving) makes no row. A correction gives a pair for DPO, its text for SFT, both texts for KTO;
a thumb without a correction gives KTO one answer with its label, and never a row of SFT or DPO.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from trimtab.act.datasets.wording import Turn, answer_of, prompt_of
from trimtab.records import DatasetKind
from trimtab.redact.entity import FAILED

__all__ = ["Row", "Told", "Word", "rows_of"]

_LEAST_EDIT, _MOST_EDIT = 0.02, 0.8
"""A smaller edit mends typing, a larger one is another text: neither says which of the two is the better answer."""


class Word(Struct, frozen=True, kw_only=True):
    """The latest word of one person, of one kind, on an answer; never a retracted one. `said_us`: since 1970."""

    feedback_id: str
    kind: str
    said_us: int
    value: float | None = None
    text: str | None = None
    author_id: str | None = None


class Told(Struct, frozen=True, kw_only=True):
    """An answer and all that people said of it, by (said_us, feedback_id)."""

    inference_id: str
    feature: str
    created_us: int
    input: Any
    output: Any
    words: list[Word]
    version_id: str | None = None
    user_id: str | None = None
    confidence: float | None = None
    segments: dict[str, str] = {}


class Row(Struct, frozen=True, kw_only=True):
    """One row of a set before it has a format: `chosen` is the right answer, of KTO the one that `label` is about."""

    inference_id: str
    feedback_ids: list[str]
    feature: str
    created_us: int
    person: str
    rule: str
    prompt: list[Turn]
    chosen: str
    rejected: str | None = None
    label: bool | None = None


def rows_of(told: Told, kind: DatasetKind) -> tuple[list[Row], str | None]:
    """Return the rows of one answer, or none and the reason."""
    prompt = prompt_of(told.input)
    if prompt is None:
        return [], "prompt_is_not_plain_text"
    found = _Found(told, prompt)
    if kind == "sft":
        return found.demonstration()
    return found.pair() if kind == "dpo" else found.labelled()


class _Found:
    """What the words on one answer amount to."""

    def __init__(self, told: Told, prompt: list[Turn]) -> None:
        self._told = told
        self._prompt = prompt
        self._output = answer_of(told.output)
        self._correction = self._latest("correction")
        self._edit = self._latest("edit")
        self._ups = [word for word in told.words if word.kind == "thumb" and word.value == 1]
        self._downs = [word for word in told.words if word.kind == "thumb" and word.value == 0]

    def demonstration(self) -> tuple[list[Row], str | None]:
        """Learn the correction."""
        reason = self._unusable(self._correction)
        if reason or self._correction is None or self._correction.text is None:
            return [], reason
        return [self._row("correction", [self._correction], self._correction.text)], None

    def pair(self) -> tuple[list[Row], str | None]:
        """Prefer the correction, else a person's own version of the answer, to what was answered."""
        word = self._correction or self._edit
        reason = self._unusable(word)
        if reason or word is None or word.text is None:
            return [], reason
        if self._output is None:
            return [], "no_answer_in_words"
        if word.kind == "edit":
            distance = word.value if word.value is not None else 0.0
            if not _LEAST_EDIT < distance < _MOST_EDIT:
                return [], "edit_too_small" if distance <= _LEAST_EDIT else "edit_too_large"
        return [self._row(word.kind, [word], word.text, rejected=self._output)], None

    def labelled(self) -> tuple[list[Row], str | None]:
        """Say of answers whether they are wanted."""
        if self._correction is not None:
            reason = self._unusable(self._correction)
            if reason or self._correction.text is None:
                return [], reason
            rows = [self._row("correction", [self._correction], self._correction.text, label=True)]
            if self._output is not None:
                words = [self._correction, *self._downs]
                rows.append(self._row("corrected", words, self._output, label=False))
            return rows, None
        if self._output is None:
            return [], "no_answer_in_words"
        if self._ups and self._downs:
            return [], "people_disagree"
        if self._downs:
            return [self._row("thumb_down", self._downs, self._output, label=False)], None
        if not self._ups:
            return [], "edit_without_vote"
        if self._edit is not None:
            return [], "thumb_up_but_edited"
        return [self._row("thumb_up", self._ups, self._output, label=True)], None

    def _latest(self, kind: str) -> Word | None:
        said = [word for word in self._told.words if word.kind == kind]
        return max(said, key=lambda word: (word.said_us, word.feedback_id)) if said else None

    def _unusable(self, word: Word | None) -> str | None:
        if word is None or word.text is None or not word.text.strip():
            return "no_text"
        if FAILED in word.text:
            return "words_were_withheld"
        return "same_as_answered" if word.text == self._output else None

    def _row(
        self, rule: str, words: list[Word], chosen: str, *, rejected: str | None = None, label: bool | None = None
    ) -> Row:
        told = self._told
        return Row(
            inference_id=told.inference_id,
            feedback_ids=[word.feedback_id for word in words],
            feature=told.feature,
            created_us=told.created_us,
            # Whose answer it was; who corrected it only where nobody knows, and an answer of nobody's stands alone.
            person=told.user_id or words[0].author_id or told.inference_id,
            rule=rule,
            prompt=self._prompt,
            chosen=chosen,
            rejected=rejected,
            label=label,
        )
