"""The engine renders and assigns as the SDK does: the same version, the same messages."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from trimtab.act.prompt import nearest_by_words, prompt
from trimtab.act.rollout import served_to
from trimtab.client import assignment
from trimtab.client.assignment import audiences
from trimtab.client.render import render
from trimtab.client.version import Served, served_from
from trimtab.clock import to_micros
from trimtab.records import Exemplar, Knowledge, Message, Rollout, Rule, Version
from trimtab.stats import bucket
from trimtab.stats.bucket import audience

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SALT = "018f0000-0000-7000-8000-000000000000"
WORDS = ["parcel", "refund", "late", "the", "my", "order", "card", "Zürich", "17", "naïve", "where", "is", "how"]
TEMPLATES: list[list[Message]] = [
    [],
    [Message(role="system", content="Be kind.")],
    [Message(role="user", content="Answer: {input}")],
    [
        Message(role="developer", content="Rules first."),
        Message(role="user", content="{input}"),
        Message(role="assistant", content="Then {input} again."),
    ],
]
INPUTS: list[Any] = [
    None,
    "",
    "Where is my late parcel?",
    "A text with {input} in it",
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "late?"},
    ],
    [{"role": "assistant", "content": "Only me: refund"}],
    [],
    ["no", "conversation"],
    {"question": "Zürich, wo?", "n": 1},
]


def version(messages: list[Message], *, exemplars: int, rules: int, seed: int = 3) -> Version:
    dice = random.Random(seed)
    return Version(
        feature="answer",
        created_at=NOW,
        messages=messages,
        rules=[Rule(id=f"r{number}", text=f"Rule {number} says {{input}}.") for number in range(rules)],
        exemplars=[
            Exemplar(id=f"e{number}", input=" ".join(dice.choices(WORDS, k=dice.randrange(9))), output=f"Out {number}")
            for number in range(exemplars)
        ],
    ).identified()


def as_the_sdk_has_it(rollout: Rollout, *versions: Version) -> Served:
    body = {"rollout": rollout, "versions": {each.id: each for each in versions}}
    return served_from(msgspec.json.decode(msgspec.json.encode(body)))


@pytest.mark.parametrize("messages", TEMPLATES)
@pytest.mark.parametrize("payload", INPUTS)
@pytest.mark.parametrize("rules", [0, 2])
@pytest.mark.parametrize("fallback", [[], [Message(role="system", content="The app's own. {input}")]])
def test_the_engine_renders_what_the_sdk_renders(
    messages: list[Message], payload: Any, rules: int, fallback: list[Message]
) -> None:
    for limit, count in ((0, 5), (3, 0), (3, 2), (3, 40)):
        made = version(messages, exemplars=count, rules=rules, seed=count)
        rollout = Rollout(feature="answer", stable_version_id=made.id, updated_at=NOW, id=SALT)
        sdk = as_the_sdk_has_it(rollout, made).to("u").version
        own = [{"role": turn.role, "content": turn.content} for turn in fallback]
        expected = render(sdk, payload, fallback=own, exemplars=limit)
        rendered = prompt(made, payload, fallback=fallback, exemplars=limit)
        assert msgspec.to_builtins(rendered) == expected


KNOWN = [
    Knowledge(id="k_1", question="Where is my late parcel?", text="In Zürich, {input} says.", source_id="doc-1"),
    Knowledge(id="k_2", question="Where is the refund?", text="On its way.", expires_at=NOW + timedelta(days=1)),
    Knowledge(id="k_3", text="A naïve order is late by 17 days.", expires_at=NOW),
    Knowledge(id="k_4", question="Is the card late?", text="No."),
]


@pytest.mark.parametrize("messages", TEMPLATES)
@pytest.mark.parametrize("payload", INPUTS)
@pytest.mark.parametrize("day", [-1, 0, 1])
def test_the_engine_tells_the_facts_that_the_sdk_tells(messages: list[Message], payload: Any, day: int) -> None:
    plain = version(messages, exemplars=3, rules=1)
    made = msgspec.structs.replace(plain, knowledge=KNOWN, id="").identified()
    sdk = as_the_sdk_has_it(Rollout(feature="answer", stable_version_id=made.id, updated_at=NOW, id=SALT), made)
    now = NOW + timedelta(days=day)
    for limit in (0, 1, 3):
        expected = render(sdk.to("u").version, payload, facts=limit, now=to_micros(now))
        assert msgspec.to_builtins(prompt(made, payload, facts=limit, now=now)) == expected


def test_a_fact_is_no_template() -> None:
    made = msgspec.structs.replace(version(TEMPLATES[1], exemplars=0, rules=0), knowledge=KNOWN[:1], id="").identified()
    told = prompt(made, "Where is my late parcel?")
    assert [turn.role for turn in told] == ["system", "system", "user"]
    assert told[1].content.endswith("In Zürich, {input} says.")


def test_near_exemplars_rank_alike_for_many_inputs() -> None:
    dice = random.Random(1)
    made = version([], exemplars=200, rules=0)
    sdk = as_the_sdk_has_it(Rollout(feature="answer", stable_version_id=made.id, updated_at=NOW, id=SALT), made)
    for _ in range(200):
        text = " ".join(dice.choices(WORDS, k=6))
        assert msgspec.to_builtins(prompt(made, text, exemplars=7)) == render(sdk.to(None).version, text, exemplars=7)


@pytest.mark.parametrize(("user", "tenant"), [(None, None), ("ada", None), ("ada", "acme"), ("eve", "acme")])
def test_what_is_for_one_user_or_tenant_is_shown_to_them_alone_by_server_and_sdk(
    user: str | None, tenant: str | None
) -> None:
    dice = random.Random(2)
    plain = version([], exemplars=60, rules=0)
    whose = ["", audience("user", "ada"), audience("user", "eve"), audience("tenant", "acme")]
    shown = [msgspec.structs.replace(item, audience=dice.choice(whose)) for item in plain.exemplars]
    made = msgspec.structs.replace(plain, exemplars=shown, id="").identified()
    assert made.id != plain.id
    sdk = as_the_sdk_has_it(Rollout(feature="answer", stable_version_id=made.id, updated_at=NOW, id=SALT), made)
    mine = audiences(user, tenant)
    allowed = {item.output for item in shown if item.audience in {"", *mine}}
    for _ in range(50):
        text = " ".join(dice.choices(WORDS, k=6))
        rendered = msgspec.to_builtins(prompt(made, text, exemplars=5, audiences=mine))
        assert rendered == render(sdk.to(None).version, text, exemplars=5, audiences=mine)
        assert {turn["content"] for turn in rendered if turn["role"] == "assistant"} <= allowed


def test_the_engine_names_an_audience_as_the_sdk_does() -> None:
    assert audiences("ada", "acme") == {audience("user", "ada"), audience("tenant", "acme")}
    assert audiences(None, None) == frozenset()
    assert "ada" not in audience("user", "ada")


def test_two_ways_to_ask_one_thing_do_not_fill_the_prompt() -> None:
    asked = ["where is my parcel today", "where is my parcel now", "my refund for the parcel", "gift cards"]
    shown = [Exemplar(id=f"e{place}", input=text, output=text) for place, text in enumerate(asked)]
    text = "where is my parcel and my refund"
    everything = [item.output for item in nearest_by_words(shown, text, 9)]  # the nearest last
    assert set(everything[-2:]) == {asked[0], asked[1]}
    assert {item.output for item in nearest_by_words(shown, text, 2)} == {asked[1], asked[2]}


@pytest.mark.parametrize("held", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_engine_assigns_as_the_sdk_does(held: float, share: float) -> None:
    stable, candidate, before = (version(TEMPLATES[number], exemplars=0, rules=0) for number in (1, 2, 3))
    rollout = Rollout(
        feature="answer",
        stable_version_id=stable.id,
        updated_at=NOW,
        id=SALT,
        candidate_version_id=candidate.id,
        share=share,
        holdback_version_id=before.id if held else None,
        holdback_share=held,
    )
    sdk = as_the_sdk_has_it(rollout, stable, candidate, before)
    arms: dict[str, int] = {}
    for unit in [None, "", *(f"u-{number}" for number in range(3000))]:
        resolved = sdk.to(unit)
        assert resolved.version is not None
        assert served_to(rollout, unit) == (resolved.version.id, resolved.arm)
        arms[str(resolved.arm)] = arms.get(str(resolved.arm), 0) + 1
    assert abs(arms.get("holdback", 0) / 3000 - held) < 0.02
    assert abs(arms.get("candidate", 0) / 3000 - share * (1 - held)) < 0.03


def test_who_is_held_back_is_the_same_for_ever() -> None:
    known = {"u-3": 0.3866088, "u-17": 0.4202966, "Zoë": 0.255902}
    for unit in known:
        place = bucket.bucket("holdback:answer", unit)
        assert place == assignment.bucket("holdback:answer", unit)
        for share in (0.0, 0.05, 0.2, place, place + 1e-9):
            assert bucket.in_holdback("answer", unit, share) == assignment.in_holdback("answer", unit, share)
    assert not bucket.in_holdback("answer", "u-17", 0.0)
    assert {unit: round(bucket.bucket("holdback:answer", unit), 7) for unit in known} == known
