"""A better prompt, searched for on what people said: GEPA's rewritten instructions, or well chosen worked examples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trimtab.act.actions.port import Plan, Proposal, Situation
from trimtab.act.evidence import Evidence
from trimtab.act.optimizers.fewshot import FewShotSearch
from trimtab.act.optimizers.gepa import GepaSearch, is_installed
from trimtab.act.optimizers.port import Budget, Candidate, Example, Optimizer, Stopped, lineage, parted
from trimtab.act.runner import Runner, runner_of, words_check
from trimtab.clock import Clock
from trimtab.config import Optimizer as OptimizerSettings
from trimtab.config import Runner as RunnerSettings
from trimtab.errors import Conflict
from trimtab.records import ChangeKind, Version, text_of
from trimtab.redact.project import Cleaners
from trimtab.store.ports import Writes

__all__ = ["PromptAction"]

_LOT = 8  # calls between two looks at whether to go on; an llm runner asks as many at once
_FEWEST = 6  # for a choice among examples: four to show and two to choose by
_CHARS_PER_TOKEN = 3.0  # errs on the dear side: English has about four
_SHOWN = 3  # exemplars in a prompt
_NOTED_EVERY = timedelta(seconds=2)


class PromptAction:
    """Searches with what the build part says, chooses by people it did not learn from, within calls, money and time.

    `lint` says whether a prompt may follow that of a version. `turn` is the lock of `Decisions`.
    """

    kind: ChangeKind = "prompt"

    def __init__(
        self,
        evidence: Evidence,
        cleaners: Cleaners,
        runner: Runner,
        clock: Clock,
        *,
        turn: AbstractContextManager[Any],
        lint: Callable[[str, Version], bool] = lambda prompt, _base: bool(prompt),
    ) -> None:
        self._evidence = evidence
        self._cleaners = cleaners
        self._runner = runner
        self._clock = clock
        self._turn = turn
        self._lint = lint
        self._settings = evidence.settings.optimizer

    def plan(self, situation: Situation, tried: Collection[str] = ()) -> Plan:
        """Say which search there is evidence for, and what it may spend at most."""
        words = self._evidence.build(situation.project_id, situation.base, situation.now)
        fresh = sum(word.feedback_id not in tried for word in words)
        count = min(len(words), self._settings.max_examples)
        search, why = self._search_for(count)
        possible = count >= _FEWEST and fresh >= self._evidence.settings.playbook.min_corrections
        reason = why if count >= _FEWEST else f"{count} usable corrections, {_FEWEST} needed"
        if count >= _FEWEST and not possible:
            reason = "nothing was said since the latest attempt"
        told = {"search": search, "corrections": count, "fresh": fresh, "max_calls": self._settings.max_calls}
        if self._settings.max_usd:
            told["max_usd"] = self._settings.max_usd
        return Plan(action=self.kind, possible=possible, reason=reason, detail=told)

    def gather(self, situation: Situation) -> dict[str, Any]:
        """Choose the newest corrections of the build part, at most `optimizer.max_examples`."""
        found = self._evidence.build(situation.project_id, situation.base, situation.now)
        return {"corrections": [item.feedback_id for item in found[: self._settings.max_examples]]}

    def propose(self, situation: Situation, gathered: dict[str, Any]) -> Proposal:
        """Search, and take the best where it gains `optimizer.min_gain` on the people it was not learned from."""
        examples = self._examples(situation, set(gathered["corrections"]))
        if len(examples) < _FEWEST:
            return Proposal(None, f"{len(examples)} usable corrections, {_FEWEST} needed")
        train, held = parted(examples)
        if not held or not train:
            return Proposal(None, "all corrections are from one person: nothing is left to choose by")
        search, why = self._search_for(len(examples))
        attempt = _Attempt(self._evidence, self._runner, self._clock, situation, self._turn)
        try:
            found = self._optimizer(search, situation, attempt).propose(
                situation.base, examples, attempt.budget, attempt.ask, attempt.note
            )
        except Stopped as stopped:
            raise (stopped.cause or Conflict(stopped.reason)) from None
        finally:
            attempt.close()
        best = max(range(len(found)), key=lambda place: found[place].score)
        detail = {
            "search": search,
            "why": why,
            "train": len(train),
            "validation": len(held),
            **attempt.spent(),
            "ended": attempt.budget.ended,
            "candidates": len(found),
            "lineage": lineage(found),
        }
        return self._chosen(found[0], found[best], detail)

    def _chosen(self, served: Candidate, best: Candidate, detail: dict[str, Any]) -> Proposal:
        gain = best.score - served.score
        why = f" ({detail['ended']})" if detail["ended"] else ""
        scores = {"score_before": round(served.score, 4), "score_after": round(best.score, 4)}
        if best is served or gain < self._settings.min_gain - 1e-9:
            told = (
                f"the best of {detail['candidates']} tried gains {gain:.0%} on {detail['validation']} held-out answers"
            )
            return Proposal(None, f"{told}{why}; {self._settings.min_gain:.0%} needed", {**detail, **scores})
        changed = [
            name
            for name in ("messages", "rules", "exemplars")
            if getattr(best.version, name) != getattr(served.version, name)
        ]
        return Proposal(best.version, "", {**detail, **scores, "changed": changed})

    def _search_for(self, examples: int) -> tuple[str, str]:
        """Return which search to use, and why, in words."""
        settings = self._settings
        if settings.kind == "fewshot":
            return "fewshot", f"{examples} usable corrections to choose worked examples from"
        if not settings.base_url or not settings.model:
            return "fewshot", "optimizer.base_url or optimizer.model is empty: worked examples instead of GEPA"
        if not is_installed():
            return "fewshot", "the gepa extra is not installed: worked examples instead of GEPA"
        if examples < settings.min_examples:
            return "fewshot", f"{examples} corrections, GEPA needs {settings.min_examples}: worked examples instead"
        return "gepa", f"{examples} usable corrections to rewrite the instructions by"

    def _optimizer(self, search: str, situation: Situation, attempt: _Attempt) -> Optimizer:
        settings = self._settings
        if search == "fewshot":
            return FewShotSearch(shots=settings.max_shots, seed=settings.seed, added_at=situation.now)
        cleaner = self._cleaners.of(situation.project_id)

        def vet(text: str) -> str | None:
            clean = cleaner.batch([text])[0].strip()
            return clean if clean and len(clean) <= settings.max_chars and self._lint(clean, situation.base) else None

        return GepaSearch(reflect=attempt.reflect, vet=vet, clean=cleaner.batch, seed=settings.seed)

    def _examples(self, situation: Situation, chosen: set[str]) -> list[Example]:
        check = words_check(self._evidence.settings, situation.base.feature)
        words = self._evidence.corrections(situation.project_id, situation.base.feature, situation.now)
        return [
            Example(
                input=text_of(word.input),
                output=word.corrected,
                feedback_id=word.feedback_id,
                user=word.user_id or word.inference_id,
                check=check,
            )
            for word in words
            if word.feedback_id in chosen
        ]


class _Attempt:
    """One search's calls: counted, paid, stopped between two lots. What a killed attempt spent is not given anew."""

    def __init__(
        self,
        evidence: Evidence,
        runner: Runner,
        clock: Clock,
        situation: Situation,
        turn: AbstractContextManager[Any],
    ) -> None:
        settings = evidence.settings.optimizer
        self._store = evidence.store
        self._prices = runner_of(evidence.settings, situation.base.feature)
        self._settings = settings
        self._runner = runner
        self._clock = clock
        self._project_id = situation.project_id
        self._run_id = situation.run_id
        self._turn = turn
        self._reflecting: Any = None
        self._told: dict[str, Any] = {}
        self._noted_at: datetime | None = None
        self._until = clock.now() + timedelta(minutes=settings.max_minutes)
        run = self._store.run(self._project_id, self._run_id)
        self.budget = Budget(settings.max_calls, settings.max_usd)
        self.budget.spent_calls = int(run.progress.get("calls", 0)) if run else 0
        self.budget.spent_usd = float(run.progress.get("usd", 0.0)) if run else 0.0

    def ask(self, version: Version, inputs: Sequence[str]) -> list[str]:
        """Answer as the version would, a few at a time."""
        told = sum(len(message.content) for message in version.messages) + sum(len(rule.text) for rule in version.rules)
        shown = sorted((len(item.input) + len(item.output) for item in version.exemplars), reverse=True)[:_SHOWN]
        if len(inputs) > self.budget.left:  # half an evaluation tells nothing and costs all the same
            self.budget.take(len(inputs))
        answers: list[str] = []
        for start in range(0, len(inputs), _LOT):
            lot = list(inputs[start : start + _LOT])
            self._go_on(len(lot))
            said = self._asked(self._runner, version, lot)
            sent = len(lot) * (told + sum(shown)) + sum(map(len, lot))
            self._pay(self._prices, sent, sum(map(len, said)))
            answers += said
        return answers

    def reflect(self, prompt: str) -> str:
        """Ask the stronger model."""
        if self._reflecting is None:
            from trimtab.act.llm import LlmRunner  # noqa: PLC0415  an HTTP client, only where it is used

            settings = self._settings
            there = RunnerSettings(
                kind="llm",
                base_url=settings.base_url,
                model=settings.model,
                api_key_env=settings.api_key_env,
                timeout_s=settings.timeout_s,
            )
            self._reflecting = LlmRunner(there, place="optimizer")
        self._go_on(1)
        nothing = Version(feature="optimizer", created_at=self._clock.now())
        said = self._asked(self._reflecting, nothing, [prompt])[0]
        self._pay(self._settings, len(prompt), len(said))
        return said

    def note(self, told: dict[str, Any]) -> None:
        """Take note of how far the search is; written down at most every two seconds."""
        self._told = told
        now = self._clock.now()
        if self._noted_at is None or now - self._noted_at >= _NOTED_EVERY:
            self._noted_at = now
            self._write()

    def spent(self) -> dict[str, Any]:
        """Return calls and money so far."""
        return {"calls": self.budget.spent_calls, "usd": round(self.budget.spent_usd, 6)}

    def close(self) -> None:
        """Close the connections to the stronger model."""
        if self._reflecting is not None:
            self._reflecting.close()

    def _go_on(self, calls: int) -> None:
        run = self._store.run(self._project_id, self._run_id)
        if run is not None and run.state == "cancelled":
            raise Stopped("cancelled", cause=Conflict(f"run {self._run_id!r} was cancelled"))
        if self._clock.now() >= self._until:
            self.budget.end(f"the {self._settings.max_minutes:g} minutes of optimizer.max_minutes are over")
        self.budget.take(calls)

    def _asked(self, runner: Runner, version: Version, inputs: Sequence[str]) -> list[str]:
        try:
            return runner.answer(version, inputs)
        except Exception as error:
            self._write()
            raise Stopped("a model could not be asked", cause=error) from error

    def _pay(self, prices: RunnerSettings | OptimizerSettings, sent: int, said: int) -> None:
        tokens_in, tokens_out = sent / _CHARS_PER_TOKEN, said / _CHARS_PER_TOKEN
        self.budget.pay((tokens_in * prices.usd_per_1k_input + tokens_out * prices.usd_per_1k_output) / 1000)
        self.note(self._told)

    def _write(self) -> None:
        with self._turn:  # or this would bring a run back that a person has just cancelled
            run = self._store.run(self._project_id, self._run_id)
            if run is not None and run.state == "running":
                progress = {**run.progress, **self._told, **self.spent()}
                told = msgspec.structs.replace(run, progress=progress, steps=[])
                self._store.commit({self._project_id: Writes(runs=[told])})
