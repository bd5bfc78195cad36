from __future__ import annotations

from collections import Counter

from tests.unit.act.knowledge.diagnosis_cases import spoilt
from trimtab.act.knowledge.diagnose import IN_KNOWLEDGE, diagnose, support
from trimtab.records import Chunk


def test_seeded_faults_are_named_for_what_they_are() -> None:
    table: Counter[tuple[str, str]] = Counter()
    for case in spoilt():
        found = diagnose(corrected=case.corrected, output=case.output, context=case.context, deeper=case.deeper)
        table[case.cause, found.cause] += 1
    right = sum(count for (cause, found), count in table.items() if cause == found)
    in_knowledge = sum(
        count for (cause, found), count in table.items() if (cause in IN_KNOWLEDGE) == (found in IN_KNOWLEDGE)
    )
    assert right / table.total() >= 0.9, table
    assert in_knowledge / table.total() >= 0.95, table


def test_a_chunk_with_another_number_does_not_support_the_answer() -> None:
    assert support("You have 14 days.", "You have 30 days.") < 0.5
    found = diagnose(
        corrected="You have 14 days.", output="You have 30 days.", context=[Chunk(id="d", text="You have 30 days.")]
    )
    assert (found.cause, found.chunk_id) == ("stale", "d")


def test_without_texts_or_a_difference_nothing_is_said() -> None:
    assert diagnose(corrected="Yes, 5.", output="No.", context=[]).cause == "unknown"
    assert diagnose(corrected="Yes, 5.", output="No.", context=[Chunk(id="d")]).cause == "unknown"
    assert diagnose(corrected="5 days", output="5 days.", context=[Chunk(id="d", text="x")]).cause == "unknown"


def test_what_lies_deeper_tells_a_bad_rank_from_a_gap() -> None:
    shown, deep = [Chunk(id="a", text="We like bikes.")], [Chunk(id="z", text="Shipping costs 25 euros.")]
    told = {"corrected": "Shipping costs 25 euros.", "output": "Shipping is free."}
    assert diagnose(**told, context=shown).cause == "retrieval_miss"  # type: ignore[arg-type]
    found = diagnose(**told, context=shown, deeper=deep)
    assert (found.cause, found.chunk_id) == ("ranking_miss", "z")
