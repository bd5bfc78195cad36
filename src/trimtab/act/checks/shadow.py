"""A candidate in the shadow: what it would have answered to what people asked lately, beside what they were served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from trimtab.act.checks.judge import LlmJudge, ToJudge, question_of
from trimtab.act.checks.measured import Share
from trimtab.act.checks.words import holds
from trimtab.act.runner import Runner
from trimtab.records import Inference, Payload, Version, text_of
from trimtab.redact.wall import Cleaner
from trimtab.stats.interval import wilson
from trimtab.store.ports import HotStore, Query

__all__ = ["Asked", "Shadow", "asked_lately", "shadow"]

_LOT: Final = 16
_LOOKED_AT: Final = 10  # rows for each question that is wanted: one per person, none twice


class Asked(NamedTuple):
    """A question of a user, redacted, and the answer that was served."""

    question: Payload
    served: str


class Shadow(Struct, frozen=True, kw_only=True):
    """How `n` answers of a candidate compare with those that were served.

    `same` have the same words, `alike` of the others hold most of them. Where a model judges, `better` and `worse` say
    which of two it preferred in either order (`better_share` of those on which it did), and `better_longer` how many of
    the better ones are longer, too. A judge's preferences are not measured against people: they inform.
    """

    n: int
    same: int
    alike: int
    better: int = 0
    worse: int = 0
    neither: int = 0
    better_longer: int = 0
    better_share: Share | None = None


def asked_lately(store: HotStore, project_id: str, base: Version, count: int) -> list[Asked]:
    """Return at most `count` of the newest questions that `base` answered without an error, one for each person."""
    query = Query(feature=base.feature, version_id=base.id, limit=min(count * _LOOKED_AT, 1000))
    found: dict[str, Asked] = {}
    people: set[str] = set()
    for row in store.list_inferences(project_id, query).rows:
        record: Inference = row.record
        served, question = text_of(record.output), text_of(record.input)
        person = record.user_id or record.id
        if record.error or not served or person in people or question in found or len(found) == count:
            continue
        people.add(person)
        found[question] = Asked(record.input, served)
    return list(found.values())


def shadow(
    runner: Runner,
    cleaner: Cleaner,
    candidate: Version,
    asked: Sequence[Asked],
    judge: LlmJudge | None = None,
    go_on: Callable[[], object] = lambda: None,
) -> Shadow:
    """Let the candidate answer, and compare. Raises what the runner and the judge raise; nothing is kept."""
    answers: list[str] = []
    for start in range(0, len(asked), _LOT):
        go_on()
        lot = asked[start : start + _LOT]
        answers += cleaner.batch(runner.answer(candidate, [each.question for each in lot]))
    pairs = list(zip(asked, answers, strict=True))
    same = [holds("exact", each.served, answer) for each, answer in pairs]
    other = [pair for pair, equal in zip(pairs, same, strict=True) if not equal]
    alike = sum(holds("similar", each.served, answer) for each, answer in other)
    if judge is None:
        return Shadow(n=len(pairs), same=sum(same), alike=alike)
    better = worse = longer = 0
    for start in range(0, len(other), _LOT):
        go_on()
        told = other[start : start + _LOT]
        pairs_told = [(ToJudge(question_of(each.question), "", answer), each.served) for each, answer in told]
        said = judge.preferences(pairs_told)
        better += said.count("first")
        worse += said.count("second")
        longer += sum(
            preferred == "first" and len(answer) > len(each.served)
            for preferred, (each, answer) in zip(said, told, strict=True)
        )
    rate = wilson(better, better + worse)
    return Shadow(
        n=len(pairs),
        same=sum(same),
        alike=alike,
        better=better,
        worse=worse,
        neither=len(other) - better - worse,
        better_longer=longer,
        better_share=Share(n=rate.n, value=rate.value, low=rate.low, high=rate.high),
    )
