"""Which corrections to show as worked examples, and in which order: a seeded search that needs no model of its own.

Bootstrap few-shot search after DSPy's `BootstrapFewShotWithRandomSearch`, with people's corrections as the
demonstrations: greedy growth from the served version, then random restarts, each mended by small moves.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime

from trimtab.act.optimizers.port import Ask, Budget, Candidate, Example, Progress, Stopped, parted, variant
from trimtab.ids import content_id
from trimtab.records import Exemplar, Version

__all__ = ["FewShotSearch"]

_TRIED = 6  # examples looked at for each place that greedy growth fills
_MOVES = 4  # small moves after each restart


class FewShotSearch:
    """Greedy growth, then `restarts` random subsets of at most `shots` examples. The same seed finds the same."""

    def __init__(self, *, shots: int = 8, restarts: int = 10, seed: int = 0, added_at: datetime | None = None) -> None:
        self._shots = shots
        self._restarts = restarts
        self._seed = seed
        self._added_at = added_at

    def propose(
        self, current: Version, examples: Sequence[Example], budget: Budget, ask: Ask, progress: Progress
    ) -> list[Candidate]:
        """Return what was tried, `current` first. Where nothing is left to choose by, only that."""
        del budget  # `ask` spends it
        train, held = parted(examples)
        search = _Search(current, train, held, ask, progress, self._added_at)
        if not held or not train:
            return [Candidate(current, 0.0)]
        try:
            self._run(search)
        except Stopped as stopped:
            if stopped.cause is not None:
                raise
        return search.found or [Candidate(current, 0.0)]

    def _run(self, search: _Search) -> None:
        chance = random.Random(self._seed)  # noqa: S311  a search, not a secret
        places = range(len(search.train))
        best = search.score((), 0)
        chosen: tuple[int, ...] = ()
        while len(chosen) < min(self._shots, len(places)) and best < 1.0:
            rest = [place for place in places if place not in chosen]
            tried = [(*chosen, place) for place in chance.sample(rest, min(_TRIED, len(rest)))]
            scores = {subset: search.score(subset, search.place(chosen)) for subset in tried}
            top = max(tried, key=lambda subset: scores[subset])
            if scores[top] < best or (scores[top] == best and len(chosen) > 0):
                break
            chosen, best = top, scores[top]
        for _ in range(self._restarts):
            if best >= 1.0:
                return
            size = chance.randint(1, min(self._shots, len(places)))
            start = tuple(chance.sample(list(places), size))
            best = max(best, self._mended(search, start, chance))

    def _mended(self, search: _Search, subset: tuple[int, ...], chance: random.Random) -> float:
        """Move from a subset as long as moves help: one more, one less, or two in the other order."""
        best = search.score(subset, 0)
        for _ in range(_MOVES):
            moved = _moved(subset, len(search.train), self._shots, chance)
            score = search.score(moved, search.place(subset))
            if score > best:
                subset, best = moved, score
        return best


class _Search:
    """What has been tried, each subset once. Place 0 is the served version."""

    def __init__(
        self,
        current: Version,
        train: Sequence[Example],
        held: Sequence[Example],
        ask: Ask,
        progress: Progress,
        added_at: datetime | None,
    ) -> None:
        self.current = current
        self.train = train
        self.found: list[Candidate] = []
        self._held = held
        self._ask = ask
        self._progress = progress
        self._added_at = added_at
        self._places: dict[tuple[int, ...], int] = {}

    def place(self, subset: tuple[int, ...]) -> int:
        return self._places[subset]

    def score(self, subset: tuple[int, ...], parent: int) -> float:
        known = self._places.get(subset)
        if known is not None:
            return self.found[known].score
        version = self._shown(subset) if subset else self.current
        answers = self._ask(version, [item.input for item in self._held])
        right = [item.score(answer) for item, answer in zip(self._held, answers, strict=True)]
        self._places[subset] = len(self.found)
        self.found.append(Candidate(version, sum(right) / len(right), (parent,) if subset else ()))
        best = max(candidate.score for candidate in self.found)
        self._progress({"candidates": len(self.found), "best": round(best, 4), "start": round(self.found[0].score, 4)})
        return self.found[-1].score

    def _shown(self, subset: tuple[int, ...]) -> Version:
        chosen = [self.train[place] for place in subset]
        said = {_key(item.input) for item in chosen}
        fresh = [
            Exemplar(
                id=content_id("x", item.feedback_id.encode()),
                input=item.input,
                output=item.output,
                source_feedback_id=item.feedback_id,
                added_at=self._added_at,
            )
            for item in chosen
        ]
        kept = [item for item in self.current.exemplars if _key(item.input) not in said]
        return variant(self.current, exemplars=[*kept, *fresh])


def _moved(subset: tuple[int, ...], count: int, most: int, chance: random.Random) -> tuple[int, ...]:
    rest = [place for place in range(count) if place not in subset]
    moves = (
        ["add"] * (len(subset) < most and bool(rest)) + ["drop", "swap"] * (len(subset) > 1) + ["other"] * bool(rest)
    )
    match chance.choice(moves or ["stay"]):
        case "add":
            return (*subset, chance.choice(rest))
        case "drop":
            gone = chance.choice(subset)
            return tuple(place for place in subset if place != gone)
        case "swap":
            turned = list(subset)
            first, second = chance.sample(range(len(turned)), 2)
            turned[first], turned[second] = turned[second], turned[first]
            return tuple(turned)
        case "other":
            return (*subset[:-1], chance.choice(rest))
        case _:
            return subset


def _key(text: str) -> str:
    return " ".join(text.split()).casefold()
