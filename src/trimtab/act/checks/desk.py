"""Puts examinations together: who answers for a feature, what checks its cases, and whom of its judges to believe."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from trimtab.act.checks.exam import Checker, Examiner, Keeper
from trimtab.act.checks.judge import LlmJudge, ToJudge, question_of
from trimtab.act.checks.measured import JudgeReport, distinct, measured
from trimtab.act.checks.pattern import PATTERNS, Patterns
from trimtab.act.checks.shadow import Shadow, asked_lately, shadow
from trimtab.act.runner import Runner, fingerprint, runner_of
from trimtab.config import Settings
from trimtab.embed.port import Embedder
from trimtab.errors import InvalidField, NotFound
from trimtab.ids import derived_id
from trimtab.records import Case, CaseAnswer, Version, text_of
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import seal, seal_all
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["SERVED", "ExamDesk", "Sitting"]

SERVED: Final = "served"
"""The runner of answers that users got."""

_KEPT: Final = timedelta(days=28)  # an answer that nobody ruled on
_MOST: Final = 400  # rulings that a judge is measured by, the newest
_LOT: Final = 16
_PAGE: Final = 1000


class Sitting(NamedTuple):
    """One examination: who holds it, and what is to be said of the judge (None where none is needed)."""

    exam: Examiner
    judge: JudgeReport | None


class ExamDesk:
    """Everything that checks answers to golden cases. Close it when done.

    `embedder` returns a project's embedder, or is None where no texts are embedded. `turn` is the lock under which
    rulings are written.
    """

    def __init__(
        self,
        store: HotStore,
        cleaners: Cleaners,
        settings: Settings,
        runner: Runner,
        *,
        embedder: Callable[[str], Embedder] | None = None,
        judge: LlmJudge | None = None,
        turn: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._store = store
        self._cleaners = cleaners
        self._settings = settings
        self._runner = runner
        self._embedder = embedder
        self._judge = judge
        self._turn: AbstractContextManager[Any] = turn or threading.RLock()
        self._patterns = Patterns()

    @property
    def judge(self) -> LlmJudge | None:
        """The model that judges, if the settings name one."""
        return self._judge

    def close(self) -> None:
        """End the process that tries patterns, and close what asks the judge."""
        self._patterns.close()
        if self._judge is not None:
            self._judge.close()

    def require_usable(self, case: Case) -> None:
        """Raise InvalidField for a case that no answer could ever be checked by, saying what to change."""
        check = case.check
        if check in ("regex", "json_schema"):
            fault = self._patterns.fault(check, case.expected)
            if fault:
                noun = {"regex": "a regular expression", "json_schema": "a JSON schema as text"}[check]
                raise InvalidField(f"expected: not {noun}: {fault[:300]}; correct it", param="expected")
        elif not case.expected.strip():
            raise InvalidField(
                "expected: expected words that a right answer is held against, got none", param="expected"
            )
        elif check == "judge" and self._judge is None:
            raise InvalidField("check: 'judge' needs a model; set judge.model", param="check")
        elif check == "embedding" and self._embedder is None:
            raise InvalidField("check: 'embedding' needs an embedder; set embedding.kind", param="check")

    def sit(
        self,
        project_id: str,
        feature: str,
        cases: Sequence[Case],
        now: datetime,
        go_on: Callable[[], object] = lambda: None,
        *,
        anew: bool = False,
    ) -> Sitting:
        """Return an examination on these cases. With a judge's cases among them, the judge is measured first.

        `anew` asks all of them again, whatever was answered lately, and keeps nothing.
        """
        needs_judge = any(case.check == "judge" for case in cases)
        report = self.measure(project_id, feature, now, go_on=go_on) if needs_judge else None
        embeds = self._embedder is not None and any(case.check == "embedding" for case in cases)
        checker = Checker(
            self._patterns,
            likeness=self._settings.gate.likeness,
            embedder=self._embedder(project_id) if embeds and self._embedder is not None else None,
            judge=self._judge,
            believed=report.may_decide if report else False,
        )
        exam = Examiner(
            self._runner,
            checker,
            repeats=self._settings.gate.repeats,
            keeper=None if anew else self._keeper(project_id, feature, now, needs_judge=needs_judge),
            go_on=go_on,
        )
        return Sitting(exam, report)

    def shadow(
        self, project_id: str, base: Version, candidate: Version, go_on: Callable[[], object] = lambda: None
    ) -> Shadow | None:
        """Let the candidate answer the last `gate.shadow` questions beside what was served; None where that is 0."""
        count = self._settings.gate.shadow
        if not count:
            return None
        asked = asked_lately(self._store, project_id, base, count)
        return shadow(self._runner, self._cleaners.of(project_id), candidate, asked, self._judge, go_on)

    def report(self, project_id: str, feature: str) -> JudgeReport:
        """Return how far the judge is believed for a feature. Asks it nothing."""
        return measured(self._ruled(project_id, feature), self._settings.judge, self._judge.key if self._judge else "")

    def measure(
        self,
        project_id: str,
        feature: str,
        now: datetime,
        *,
        most: int = _MOST,
        go_on: Callable[[], object] = lambda: None,
    ) -> JudgeReport:
        """Ask the judge about at most `most` answers that people ruled on and it did not judge yet; return the report.

        The answers that people corrected count, too, as bad ones. Raises Unavailable where the judge cannot be asked.
        """
        judge = self._judge
        if judge is None:
            return self.report(project_id, feature)
        cases = {case.id: case for case in self._store.cases(project_id, feature)}
        self._corrected(project_id, feature, list(cases.values()), now)
        ruled = self._ruled(project_id, feature)
        waiting = [answer for answer in ruled if answer.judge != judge.key and answer.case_id in cases][:most]
        for start in range(0, len(waiting), _LOT):
            go_on()
            lot = waiting[start : start + _LOT]
            of = [cases[answer.case_id] for answer in lot]
            told = [
                ToJudge(question_of(case.input), case.expected, each.output) for case, each in zip(of, lot, strict=True)
            ]
            made = [
                msgspec.structs.replace(answer, judge=judge.key, opinion=opinion, ruling=None)  # the stored one stays
                for answer, opinion in zip(lot, judge.opinions(told), strict=True)
            ]
            self._write(project_id, made)
        return self.report(project_id, feature)

    def rule(self, project_id: str, answer_id: str, good: bool, now: datetime) -> CaseAnswer:  # noqa: FBT001
        """Write down what a person says of an answer. Raises NotFound for an unknown one."""
        with self._turn:
            found = self._store.case_answer(project_id, answer_id)
            if found is None:
                raise NotFound(f"no answer {answer_id!r}", param="answer_id")
            ruled = msgspec.structs.replace(found, ruling="good" if good else "bad", ruled_at=now)
            sealed = seal(self._cleaners.of(project_id), ruled)
            self._store.commit({project_id: Writes(case_answers=[sealed])})
        return sealed.record

    def forget_old(self, feature: str, now: datetime) -> list[tuple[str, datetime]]:
        """Return what to write so that answers of long ago go, but for those with a ruling."""
        return [(feature, now - _KEPT)]

    def _keeper(self, project_id: str, feature: str, now: datetime, *, needs_judge: bool) -> Keeper | None:
        settings = runner_of(self._settings, feature)
        who = fingerprint(settings)
        if not who and not needs_judge:
            return None
        return Keeper(
            self._store,
            self._cleaners.of(project_id),
            project_id,
            who or "memory",
            now=now,
            reuse=timedelta(hours=settings.reuse_hours),
            only_judged=not who,
        )

    def _ruled(self, project_id: str, feature: str) -> list[CaseAnswer]:
        """Return the newest rulings, but for those on answers to retired cases: what is wrong proves nothing."""
        page = self._store.case_answers(project_id, Query(feature=feature, limit=_MOST), ruled=True)
        known = {case.id for case in self._store.cases(project_id, feature)}
        return distinct([row.record for row in page.rows if row.record.case_id in known])

    def _corrected(self, project_id: str, feature: str, cases: Sequence[Case], now: datetime) -> None:
        """Note the answers that golden cases came from, which a person has called bad, as answers with a ruling.

        Each once: noted again, an answer would lose what the judge said of it, and be paid for again.
        """
        by_word = {case.feedback_id: case for case in cases if case.feedback_id and case.check not in PATTERNS}
        noted = set(self._noted(project_id, feature)) if by_word else set()
        wanted = [word for word, case in by_word.items() if case.id not in noted][-_MOST:]
        words = self._store.feedback(project_id, wanted)
        answers = self._store.joined(project_id, wanted)
        inferences = self._store.inferences(project_id, list(answers.values()))
        made = []
        for word_id, word in words.items():
            case, given = by_word[word_id], inferences.get(answers.get(word_id, ""))
            output = text_of(given.output) if given else ""
            called_bad = word.kind == "correction" or word.value == 0
            if given is None or not called_bad or not output or output == case.expected:
                continue
            made.append(
                CaseAnswer(
                    id=derived_id("answer", case.id, SERVED),
                    feature=case.feature,
                    case_id=case.id,
                    version_id=given.version_id or "unknown",
                    runner=SERVED,
                    sample=0,
                    created_at=now,
                    output=output,
                    ruling="bad",
                    ruled_at=word.created_at,
                )
            )
        self._write(project_id, made)

    def _noted(self, project_id: str, feature: str) -> Iterator[str]:
        query: Query | None = Query(feature=feature, limit=_PAGE)
        while query is not None:
            page = self._store.case_answers(project_id, query, runner=SERVED)
            yield from (row.record.case_id for row in page.rows)
            query = msgspec.structs.replace(query, after=page.next) if page.next is not None else None

    def _write(self, project_id: str, answers: Sequence[CaseAnswer]) -> None:
        if answers:
            sealed = seal_all(self._cleaners.of(project_id), answers)
            self._store.commit({project_id: Writes(case_answers=sealed)})
