"""What a Version knows reaches the model in the same words, whether the app asks it or the gate does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from trimtab.act.knowledge.facts import nearest_facts
from trimtab.act.knowledge.words import content_words
from trimtab.act.render import render
from trimtab.client import facts as client_facts
from trimtab.client.render import render as client_render
from trimtab.client.version import Version as ClientVersion
from trimtab.client.version import served_from
from trimtab.records import Knowledge, Message, Rule, Version

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FACTS = [
    Knowledge(id="k_1", question="How long do I have to return a bike?", text="14 days.", source_id="doc-1"),
    Knowledge(id="k_2", question="What does a puncture cost?", text="12,50 euros.", expires_at=NOW + timedelta(days=9)),
    Knowledge(id="k_3", question="How long may I return a helmet?", text="7 days.", expires_at=NOW),
    Knowledge(id="k_4", text="Bikes are insured for theft in the first year."),
    Knowledge(id="k_5", question="How long do I have to return a used bike?", text="3 days."),
]
ASKED = [
    "how long can I return my bike",
    "Is a bike insured against theft?",
    "puncture costs?",
    "when do you open",
    "",
    "Wie lange kann ich ein Rad zurückgeben?",
]
TEMPLATES = [
    [],
    [Message(role="system", content="You are Brisk's desk."), Message(role="user", content="{input}")],
    [Message(role="user", content="Answer: {input}")],
    [Message(role="developer", content="Be short."), Message(role="system", content="Be kind.")],
]


def told(version: Version) -> ClientVersion:
    body = {
        "rollout": {"id": "r", "stable_version_id": version.id},
        "versions": {version.id: msgspec.to_builtins(version)},
    }
    return served_from(body).versions[version.id]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("asked", ASKED)
def test_the_sdk_and_the_gate_show_a_model_the_same_messages(template: list[Message], asked: str) -> None:
    version = Version(
        feature="desk",
        created_at=NOW,
        messages=template,
        rules=[Rule(id="r_1", text="Name the price.")],
        knowledge=FACTS,
    ).identified()
    ours = render(version, asked, [], nearest_facts(version.knowledge, asked, now=NOW))
    theirs = client_render(told(version), asked, now=round(NOW.timestamp() * 1_000_000))
    assert [(turn.role, turn.content) for turn in ours] == [(turn["role"], turn["content"]) for turn in theirs]


def test_only_facts_about_the_input_are_shown_behind_the_first_system_message() -> None:
    version = Version(feature="desk", created_at=NOW, messages=TEMPLATES[1], knowledge=FACTS)
    shown = render(version, ASKED[2], [], nearest_facts(FACTS, ASKED[2], now=NOW))
    assert [turn.role for turn in shown] == ["system", "system", "user"]
    assert "[k_2] What does a puncture cost?\n12,50 euros." in shown[1].content
    assert "k_1" not in shown[1].content
    assert nearest_facts(FACTS, "when do you open", now=NOW) == []


def test_what_corrects_a_chunk_that_was_found_comes_however_the_question_is_put() -> None:
    asked, micros = "Refunds for riders?", round(NOW.timestamp() * 1_000_000)
    assert nearest_facts(FACTS, asked, now=NOW) == []
    assert [item.id for item in nearest_facts(FACTS, asked, now=NOW, found=["doc-1", "doc-9"])] == ["k_1"]
    both = nearest_facts(FACTS, ASKED[0], now=NOW, found=["doc-1"])
    assert [item.id for item in both].count("k_1") == 1
    newest = [*FACTS, msgspec.structs.replace(FACTS[0], id="k_6"), msgspec.structs.replace(FACTS[0], id="k_7")]
    assert [item.id for item in nearest_facts(newest, asked, now=NOW, limit=2, found=["doc-1"])] == ["k_7", "k_6"]
    version = told(Version(feature="desk", created_at=NOW, knowledge=newest).identified())
    theirs = client_facts.nearest_facts(version.knowledge, asked, now=micros, limit=2, found=["doc-1"])
    assert [item.id for item in theirs] == ["k_7", "k_6"]


def test_an_expired_fact_is_not_shown() -> None:
    assert next(item.id for item in nearest_facts(FACTS, "How long may I return a helmet?")) == "k_3"
    assert "k_3" not in [item.id for item in nearest_facts(FACTS, "How long may I return a helmet?", now=NOW)]


@pytest.mark.parametrize("text", [*ASKED, "1,50 € vs 1.50", "Glass class ß ﬁne", "O'Neill's returns"])
def test_both_sides_read_the_same_words(text: str) -> None:
    assert content_words(text) == client_facts._content_words(text)
