"""An examination: a Version answers golden cases, each answer is checked, and nothing is asked or paid for twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np

from trimtab.act.checks.judge import LlmJudge, ToJudge, question_of
from trimtab.act.checks.pattern import PATTERNS, Patterns
from trimtab.act.checks.words import WORDS
from trimtab.act.runner import Runner
from trimtab.embed.port import Embedder
from trimtab.ids import derived_id
from trimtab.records import Case, CaseAnswer, Version
from trimtab.redact.wall import Cleaner, seal_all
from trimtab.store.ports import HotStore, Query, Writes

__all__ = ["Checker", "Exam", "Examiner", "Keeper", "Mark"]

_LOT: Final = 16  # answers between two commits; what a kill may cost
_PAGE: Final = 1000
_Key = tuple[str, int]


class Mark(NamedTuple):
    """Whether a case was passed; where it is not `decided`, what an opinion that does not count says."""

    passed: bool
    decided: bool = True


class Exam(Protocol):
    """What a gate needs: how a Version does on cases."""

    def marks(self, version: Version, cases: Sequence[Case]) -> list[Mark]:
        """Return one mark per case, in order."""
        ...


class Checker:
    """Checks answers. `embedder` and `judge` are None where there is none; `believed`: the judge may decide.

    An embedder is the project's of now: both versions of one gate are measured in the same space.
    """

    def __init__(
        self,
        patterns: Patterns,
        *,
        likeness: float = 0.8,
        embedder: Embedder | None = None,
        judge: LlmJudge | None = None,
        believed: bool = False,
    ) -> None:
        self._patterns = patterns
        self._likeness = likeness
        self._embedder = embedder
        self.judge = judge
        self.believed = believed

    def found(self, cases: Sequence[Case], answers: Sequence[str], clean: Sequence[str]) -> list[bool | None]:
        """Say of each answer whether it passes; None where nobody can, and for a judge's cases.

        `clean` are the answers redacted, as what was expected is: words are right that are so in either form.
        """
        alike = self._alike(cases, clean)
        found: list[bool | None] = []
        for place, (case, answer, cleaned) in enumerate(zip(cases, answers, clean, strict=True)):
            if case.check in WORDS:
                holds = WORDS[case.check]
                found.append(holds(case.expected, answer) or holds(case.expected, cleaned))
            elif case.check in PATTERNS:
                found.append(self._patterns.holds(case.check, case.expected, answer))
            else:
                found.append(alike.get(place))
        return found

    def mark(self, case: Case, answer: CaseAnswer) -> Mark:
        """Return the mark of one kept answer."""
        if case.check != "judge":
            return Mark(bool(answer.passed), decided=answer.passed is not None)
        decided = self.believed and answer.opinion in ("good", "bad")
        return Mark(answer.opinion == "good", decided=decided)

    def _alike(self, cases: Sequence[Case], clean: Sequence[str]) -> dict[int, bool]:
        places = [place for place, case in enumerate(cases) if case.check == "embedding"]
        if not places or self._embedder is None:
            return {}
        rows = self._embedder.embed([cases[place].expected for place in places] + [clean[place] for place in places])
        cosines = np.einsum("nd,nd->n", rows[: len(places)], rows[len(places) :])
        return {
            place: bool(cosine >= (cases[place].likeness or self._likeness))
            for place, cosine in zip(places, cosines, strict=True)
        }


class Keeper:
    """Keeps the answers of one feature in the store, under the fingerprint of who gave them.

    An answer counts again for `reuse` after it was given. `only_judged`: answers cost nothing, so those alone are kept
    on which people may be asked to rule.
    """

    def __init__(
        self,
        store: HotStore,
        cleaner: Cleaner,
        project_id: str,
        runner: str,
        *,
        now: datetime,
        reuse: timedelta,
        only_judged: bool = False,
    ) -> None:
        self._store = store
        self._cleaner = cleaner
        self._project_id = project_id
        self._since = now - reuse
        self._only_judged = only_judged
        self.runner = runner
        self.now = now

    def known(self, version: Version) -> dict[_Key, CaseAnswer]:
        """Return the newest answers of a version that still count, by case and sample."""
        found: dict[_Key, CaseAnswer] = {}
        query = Query(feature=version.feature, version_id=version.id, since=self._since, limit=_PAGE, newest=False)
        while True:
            page = self._store.case_answers(self._project_id, query, runner=self.runner)
            found.update(((row.record.case_id, row.record.sample), row.record) for row in page.rows)
            if page.next is None:
                return found
            query = msgspec.structs.replace(query, after=page.next)

    def cleaned(self, answers: Sequence[str]) -> list[str]:
        """Return the answers redacted."""
        return self._cleaner.batch(list(answers))

    def keep(self, cases: Sequence[Case], answers: Sequence[CaseAnswer]) -> list[CaseAnswer]:
        """Write answers down and return them as they are kept. A ruling given meanwhile stays."""
        sealed = seal_all(
            self._cleaner, [msgspec.structs.replace(each, ruling=None, ruled_at=None) for each in answers]
        )
        kept = [
            each for case, each in zip(cases, sealed, strict=True) if not self._only_judged or case.check == "judge"
        ]
        if kept:
            self._store.commit({self._project_id: Writes(case_answers=kept)})
        return [each.record for each in sealed]


class Examiner:
    """Asks a runner, checks what it says, and keeps both where there is a `keeper`.

    A case passes when all `repeats` answers pass. `go_on` is called before each lot, and may raise.
    """

    def __init__(
        self,
        runner: Runner,
        checker: Checker,
        *,
        repeats: int = 1,
        keeper: Keeper | None = None,
        go_on: Callable[[], object] = lambda: None,
    ) -> None:
        self._runner = runner
        self._checker = checker
        self._repeats = repeats
        self._keeper = keeper
        self._go_on = go_on

    def marks(self, version: Version, cases: Sequence[Case]) -> list[Mark]:
        """Return one mark per case, in order."""
        known = self.answers(version, cases)
        return [
            _together([self._checker.mark(case, known[case.id, sample]) for sample in range(self._repeats)])
            for case in cases
        ]

    def answers(self, version: Version, cases: Sequence[Case]) -> Mapping[_Key, CaseAnswer]:
        """Return the version's answers to the cases, checked, by case and sample."""
        known = self._keeper.known(version) if self._keeper else {}
        for sample in range(self._repeats):
            missing = [case for case in cases if (case.id, sample) not in known]
            for lot in self._lots(missing):
                self._go_on()
                said = self._runner.answer(version, [case.input for case in lot])
                for answer in self._kept(version, lot, sample, said):
                    known[answer.case_id, sample] = answer
            self._judged([case for case in cases if case.check == "judge"], sample, known)
        return known

    def _lots(self, cases: Sequence[Case]) -> Iterator[Sequence[Case]]:
        size = _LOT if self._keeper else max(len(cases), 1)
        for start in range(0, len(cases), size):
            yield cases[start : start + size]

    def _kept(self, version: Version, cases: Sequence[Case], sample: int, said: Sequence[str]) -> list[CaseAnswer]:
        keeper = self._keeper
        clean = keeper.cleaned(said) if keeper else list(said)
        passed = self._checker.found(cases, said, clean)
        runner, now = (keeper.runner, keeper.now) if keeper else ("memory", version.created_at)
        made = [
            CaseAnswer(
                id=derived_id("answer", case.id, version.id, runner, str(sample), now.isoformat()),
                feature=case.feature,
                case_id=case.id,
                version_id=version.id,
                runner=runner,
                sample=sample,
                created_at=now,
                output=output,
                passed=verdict,
            )
            for case, output, verdict in zip(cases, said, passed, strict=True)
        ]
        return keeper.keep(cases, made) if keeper else made

    def _judged(self, cases: Sequence[Case], sample: int, known: dict[_Key, CaseAnswer]) -> None:
        """Let the judge say what it thinks of the answers that it has not judged yet."""
        judge = self._checker.judge
        if judge is None:
            return
        waiting = [case for case in cases if known[case.id, sample].judge != judge.key]
        for lot in self._lots(waiting):
            self._go_on()
            held = [known[case.id, sample] for case in lot]
            told = [
                ToJudge(question_of(case.input), case.expected, answer.output)
                for case, answer in zip(lot, held, strict=True)
            ]
            made = [
                msgspec.structs.replace(answer, judge=judge.key, opinion=opinion)
                for answer, opinion in zip(held, judge.opinions(told), strict=True)
            ]
            for answer in self._keeper.keep(lot, made) if self._keeper else made:
                known[answer.case_id, sample] = answer


def _together(marks: Sequence[Mark]) -> Mark:
    """Return the mark of a case that was asked several times: one failure that counts is enough."""
    if any(mark.decided and not mark.passed for mark in marks):
        return Mark(passed=False)
    return Mark(all(mark.passed for mark in marks), decided=all(mark.decided for mark in marks))
