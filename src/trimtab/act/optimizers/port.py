"""What every search for a better Version is given and returns: examples, a budget with a hard stop, candidates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, NoReturn, Protocol

import msgspec
from msgspec import Struct

from trimtab.act.gate import passes
from trimtab.clock import EPOCH
from trimtab.records import Case, Uuid, Version

__all__ = ["Ask", "Budget", "Candidate", "Example", "Optimizer", "Progress", "Stopped", "lineage", "parted", "variant"]

_VALIDATION = 1 / 3  # of the people; 20 to learn from and 10 to choose by are the least that GEPA is given
_KEPT = 50

Ask = Callable[[Version, Sequence[str]], list[str]]
Progress = Callable[[dict[str, Any]], None]


class Stopped(BaseException):
    """Ends a search between two calls: the budget is spent, or `cause` came up. No library's `except` may hold it."""

    def __init__(self, reason: str, *, cause: Exception | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause


class Example(Struct, frozen=True, kw_only=True):
    """What was asked, and what a person said is right; of the build part only. `user` is who the answer was for."""

    input: str
    output: str
    feedback_id: Uuid
    user: str
    check: Literal["exact", "similar"] = "exact"

    def score(self, answer: str) -> float:
        """Return 1 for an answer that the gate would pass, else 0."""
        case = Case(
            id=self.feedback_id, feature="x", created_at=EPOCH, input=self.input, expected=self.output, check=self.check
        )
        return float(passes(case, answer))


class Budget:
    """How many calls, and USD (0: any), a search may still spend. `take` comes before calls and `pay` after them.

    The number of calls is never passed. Money is known only afterwards: it is passed by what one lot of calls costs.
    """

    def __init__(self, calls: int, usd: float = 0.0) -> None:
        self.calls = calls
        self.usd = usd
        self.spent_calls = 0
        self.spent_usd = 0.0
        self.ended = ""

    @property
    def left(self) -> int:
        """The calls left."""
        return max(self.calls - self.spent_calls, 0)

    def take(self, calls: int) -> None:
        """Set aside `calls` calls. Raises Stopped where they are not to be had."""
        if self.usd and self.spent_usd >= self.usd:
            self.end(f"the budget of {self.usd:g} USD is spent")
        if calls > self.left:
            self.end(f"the budget of {self.calls} calls is spent")
        self.spent_calls += calls

    def end(self, reason: str) -> NoReturn:
        """Let no more calls be made. Raises Stopped."""
        self.ended = reason
        raise Stopped(reason)

    def pay(self, usd: float) -> None:
        """Write down what calls have cost."""
        self.spent_usd += usd


class Candidate(NamedTuple):
    """A Version that was tried: its share of right answers on the validation part, and the places of its parents."""

    version: Version
    score: float
    parents: tuple[int, ...] = ()


class Optimizer(Protocol):
    """Searches for a Version that answers the examples better."""

    def propose(
        self, current: Version, examples: Sequence[Example], budget: Budget, ask: Ask, progress: Progress
    ) -> list[Candidate]:
        """Return what was tried, `current` first; a budget that runs out ends the search, not the call.

        `ask` answers inputs as a Version would and spends the budget; `progress` is told numbers of how far it is.
        Raises Stopped with a `cause` where the search has to be given up.
        """
        ...


def variant(current: Version, **fields: Any) -> Version:
    """Return the version with these fields changed, under the id of what it now does."""
    return msgspec.structs.replace(current, **fields).identified()


def parted(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Return what to learn from and what to choose by, about 2 to 1; no person is in both. Deterministic.

    The words of one person alone cannot be split: nothing is left to choose by then.
    """
    people = sorted({item.user for item in examples}, key=lambda user: hashlib.sha256(user.encode()).digest())
    chosen: set[str] = set()
    wanted = round(len(examples) * _VALIDATION)
    for user in people[:-1]:
        if sum(item.user in chosen for item in examples) >= wanted:
            break
        chosen.add(user)
    return (
        [item for item in examples if item.user not in chosen],
        [item for item in examples if item.user in chosen],
    )


def lineage(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Return ids, scores and parents (as ids) of at most 50 candidates, the first and the best of them; no texts."""
    best = sorted(range(1, len(candidates)), key=lambda place: -candidates[place].score)[: _KEPT - 1]
    return [
        {
            "version": candidates[place].version.id,
            "score": round(candidates[place].score, 4),
            "parents": [candidates[parent].version.id for parent in candidates[place].parents],
        }
        for place in sorted([0, *best])
        if candidates
    ]
