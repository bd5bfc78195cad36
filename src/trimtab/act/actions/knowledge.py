"""Corrections become knowledge where the documents were at fault: the right answer to a question, beside the index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trimtab.act.actions.port import Plan, Proposal, Situation
from trimtab.act.evidence import Evidence
from trimtab.act.knowledge.diagnose import IN_KNOWLEDGE, Diagnosis, diagnose, support
from trimtab.act.knowledge.index import Retriever
from trimtab.act.knowledge.words import content_words
from trimtab.errors import Unavailable
from trimtab.ids import content_id
from trimtab.records import ChangeKind, Chunk, Correction, Inference, Knowledge, Version, text_of
from trimtab.store.ports import Query

__all__ = ["KnowledgeAction", "corrected_sources"]

_DEEP = 50
_LOOKED_AT = 200
_CORRECTED = 0.9


class KnowledgeAction:
    """The served version plus right answers to questions that the app's documents cannot answer, or answer wrongly.

    Of the build part it takes the corrections whose answer failed for its context (`knowledge/diagnose.py`); where the
    right text lay before the model it leaves them to examples and rules. On the same question the later word wins. An
    entry that has expired goes, and so does one whose source says by now what the entry says.
    """

    kind: ChangeKind = "knowledge"

    def __init__(self, evidence: Evidence, *, retriever: Retriever | None = None) -> None:
        self._evidence = evidence
        self._settings = evidence.settings
        self._retriever = retriever

    def plan(self, situation: Situation, tried: Collection[str] = ()) -> Plan:
        """Say how many corrections are about knowledge beside those tried before, and what the others are about."""
        found = self._diagnosed(situation.project_id, self._words(situation))
        fresh = sum(word.feedback_id not in tried for word, why in found if why.cause in IN_KNOWLEDGE)
        needed = self._settings.playbook.min_corrections
        causes = _counted(found)
        told = ", ".join(f"{count} {cause}" for cause, count in sorted(causes.items())) or "none"
        left = " (left to examples and rules)" if causes.get("generation_miss") else ""
        return Plan(
            action=self.kind,
            possible=fresh >= needed,
            reason=f"{fresh} corrections about knowledge, {needed} needed; of {len(found)} diagnosed: {told}{left}",
            detail={"fresh": fresh, "causes": causes},
        )

    def gather(self, situation: Situation) -> dict[str, Any]:
        """Choose the newest corrections about knowledge, at most `knowledge.max_entries`, with what each is about."""
        return self.chosen(situation.project_id, situation.base, self._words(situation))

    def chosen(self, project_id: str, base: Version, words: Sequence[Correction]) -> dict[str, Any]:
        """Return which of these words, newest first, are about knowledge, and what is wrong with it."""
        found = self._diagnosed(project_id, words)
        about = [(word, why) for word, why in found if why.cause in IN_KNOWLEDGE]
        most = self._settings.knowledge.max_entries
        chosen = [(word, self._asked_deeper(base, word, why)) for word, why in about[:most]]
        return {
            "corrections": [word.feedback_id for word, _ in chosen],
            "diagnosed": [[why.cause, why.chunk_id, why.support] for _, why in chosen],
            "causes": _counted(chosen),
            "left": _counted([item for item in found if item[1].cause not in IN_KNOWLEDGE]),
        }

    def propose(self, situation: Situation, gathered: dict[str, Any]) -> Proposal:
        """Add the right answers as entries that expire after `knowledge.ttl_days`."""
        chosen = gathered["corrections"]
        needed = self._settings.playbook.min_corrections
        if len(chosen) < needed:
            return Proposal(None, f"{len(chosen)} corrections about knowledge, {needed} needed")
        project_id, base, now = situation.project_id, situation.base, situation.now
        words = self._evidence.corrections(project_id, base.feature, now)
        version, detail = self.learned(project_id, base, words, gathered, now)
        return Proposal(version, "the knowledge changes nothing", {**detail, "causes": gathered["causes"]})

    def learned(
        self, project_id: str, base: Version, words: Sequence[Correction], gathered: dict[str, Any], now: datetime
    ) -> tuple[Version, dict[str, int]]:
        """Return `base` with the words, newest first, that `chosen` named, and how many entries came and went."""
        diagnosed = dict(zip(gathered["corrections"], gathered["diagnosed"], strict=True))
        fresh = self._entries([word for word in words if word.feedback_id in diagnosed], diagnosed, now)
        said = {_key(item.question) for item in fresh}
        kept = [item for item in self._alive(project_id, base, now) if _key(item.question) not in said]
        version = msgspec.structs.replace(base, knowledge=[*kept, *fresh])
        return version, {"entries": len(fresh), "dropped": len(base.knowledge) - len(kept)}

    def _words(self, situation: Situation) -> list[Correction]:
        return self._evidence.build(situation.project_id, situation.base, situation.now)

    def _diagnosed(self, project_id: str, words: Sequence[Correction]) -> list[tuple[Correction, Diagnosis]]:
        """Return the words that are about an answer with a context, in their order, with what failed."""
        answers = self._evidence.store.inferences(project_id, [word.inference_id for word in words])
        found = []
        for word in words:
            answer = answers.get(word.inference_id)
            if answer is not None and answer.context:
                why = diagnose(corrected=word.corrected, output=text_of(answer.output), context=answer.context)
                if why.cause != "unknown":
                    found.append((word, why))
        return found

    def _asked_deeper(self, base: Version, word: Correction, why: Diagnosis) -> Diagnosis:
        """Tell a bad rank from a gap, where the index can be asked; one that does not answer changes nothing."""
        if self._retriever is None or why.cause != "retrieval_miss":
            return why
        try:
            deeper = self._retriever.retrieve(base.feature, text_of(word.input), _DEEP)
        except Unavailable:
            return why
        answer = text_of(word.rejected)
        return diagnose(corrected=word.corrected, output=answer, context=[Chunk(id="shown", text="-")], deeper=deeper)

    def _entries(
        self, words: Sequence[Correction], diagnosed: dict[str, Sequence[Any]], now: datetime
    ) -> list[Knowledge]:
        latest: dict[str, Knowledge] = {}
        until = now + timedelta(days=self._settings.knowledge.ttl_days)
        for item in words:  # newest first
            cause, chunk_id, _ = diagnosed[item.feedback_id]
            question = text_of(item.input)
            entry = Knowledge(
                id=content_id("k", item.feedback_id.encode()),
                question=question,
                text=item.corrected,
                source_id=chunk_id if cause == "stale" else None,
                source_feedback_id=item.feedback_id,
                added_at=now,
                expires_at=until,
            )
            latest.setdefault(_key(question), entry)
        return list(latest.values())

    def _alive(self, project_id: str, base: Version, now: datetime) -> list[Knowledge]:
        living = [item for item in base.knowledge if item.expires_at is None or now < item.expires_at]
        query = Query(feature=base.feature, limit=_LOOKED_AT)
        recent = [row.record for row in self._evidence.store.list_inferences(project_id, query).rows]
        mended = corrected_sources(living, recent)
        return [item for item in living if item.id not in mended]


def corrected_sources(entries: Sequence[Knowledge], recent: Sequence[Inference]) -> set[str]:
    """Return the ids of the entries whose source, as answers were last given with it, says what they say.

    That is 90% of it, and every number: an entry that stays for nothing expires, one that goes too soon lets the wrong
    answer come back.
    """
    texts: dict[str, str] = {}
    for answer in sorted(recent, key=lambda item: item.created_at):
        texts.update({chunk.id: chunk.text for chunk in answer.context if chunk.text})
    return {item.id for item in entries if item.source_id in texts and _says_it(item.text, texts[item.source_id])}


def _says_it(answer: str, text: str) -> bool:
    numbers = {word for word in content_words(answer) if any(character.isdigit() for character in word)}
    return numbers <= content_words(text) and support(answer, text) >= _CORRECTED


def _counted(found: Sequence[tuple[Correction, Diagnosis]]) -> dict[str, int]:
    return dict(Counter(why.cause for _, why in found))


def _key(text: str) -> str:
    return " ".join(text.split()).casefold()
