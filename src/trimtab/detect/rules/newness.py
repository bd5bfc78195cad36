"""What is new in what people ask: words by lift, inputs to read, and how many people stand behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from trimtab.detect.lift import MOST_ROWS
from trimtab.detect.rules.normal import Normal
from trimtab.detect.rules.rule import Rule
from trimtab.detect.rules.sampling import group_of_answer
from trimtab.detect.traits import Traits, place_of, traits_of, words_of
from trimtab.records import Incident, Inference, text_of
from trimtab.stats.shift import log_excess
from trimtab.store.ports import EventStore, Page, Query

__all__ = ["Newness", "newness"]

_PAGE = 500
_WORDS = 10
_SAMPLES = 10
_LEAST_CARRIERS = 3


class Newness(NamedTuple):
    """How many people carry the sign that gave the alarm, and what to show of it."""

    users: int
    detail: dict[str, Any]


def newness(
    store: EventStore,
    project_id: str,
    rule: Rule,
    incident: Incident,
    normal: Normal,
    carries: Callable[[Traits], bool],
) -> Newness:
    """Read the newest inputs of the incident's group, as many as gave the alarm, and say what is new in them."""
    recent = list(_recent(store, project_id, rule, incident))
    texts = [text_of(one.input) for one in recent]
    words = [words_of(text) for text in texts]
    new = _by_lift(Counter(word for held in words for word in held), len(recent), normal)
    said = {each["word"] for each in new}
    carriers = [
        (sum(word in said for word in held), one)
        for one, traits, held in zip(recent, traits_of(texts), words, strict=True)
        if carries(traits)
    ]
    carriers.sort(key=lambda each: -each[0])  # those with most of what is new first; else the newest
    users = {one.user_id or one.id for _, one in carriers}
    samples = [one.id for _, one in carriers[:_SAMPLES]]
    return Newness(len(users), {"words": new, "samples": samples, "inputs_read": len(recent)})


def _by_lift(counts: Counter[str], inputs: int, normal: Normal) -> list[dict[str, Any]]:
    """Return the words that have become more common, the surest first. They describe; the test was made before."""
    found: list[tuple[float, dict[str, Any]]] = []
    for word, count in counts.items():
        before = int(normal.words[place_of(word)])
        share, share_before = count / inputs, before / normal.inputs
        if count < _LEAST_CARRIERS or share <= share_before:
            continue
        told = {
            "word": word,
            "inputs": count,
            "share": round(share, 4),
            "share_before": round(share_before, 4),
            "lift": round(share * (normal.inputs + 1) / (before + 1), 1),  # as if one more had held it before
        }
        found.append((log_excess(count, inputs, before, normal.inputs), told))
    found.sort(key=lambda each: each[0])
    return [told for _, told in found[:_WORDS]]


def _recent(store: EventStore, project_id: str, rule: Rule, incident: Incident) -> Iterator[Inference]:
    after, read, kept = None, 0, 0
    while read < MOST_ROWS:
        query = Query(feature=incident.feature, limit=_PAGE, after=after)
        page: Page[Inference] = store.list_inferences(project_id, query)
        for row in page.rows:
            if group_of_answer(rule.spec, row.record, None) == incident.segment:
                kept += 1
                yield row.record
            if kept == incident.events:
                return
        read += len(page.rows)
        after = page.next
        if after is None:
            return
