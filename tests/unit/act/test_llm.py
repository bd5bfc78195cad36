"""The runner that asks a model, against a scripted endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.llm_endpoint import LlmEndpoint
from trimtab.act.llm import LlmRunner
from trimtab.config import Runner
from trimtab.errors import ConfigError, Unavailable
from trimtab.records import Exemplar, Message, Rule, Version

VERSION = Version(
    feature="support",
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
    messages=[Message(role="system", content="You answer for Brisk.")],
    rules=[Rule(id="r1", text="Name the number of days.")],
    exemplars=[
        Exemplar(id="x1", input="How long does a refund take?", output="Five days."),
        Exemplar(id="x2", input="Where do I find my invoice?", output="Under Wallet."),
    ],
).identified()


@pytest.fixture
def endpoint() -> Iterator[LlmEndpoint]:
    with LlmEndpoint() as scripted:
        yield scripted


def runner(endpoint: LlmEndpoint, **more: str) -> LlmRunner:
    settings = Runner(kind="llm", base_url=f"{endpoint.url}/v1", model=more.get("model", "scripted"))
    return LlmRunner(settings, pause=lambda _: None)


def test_answers_come_in_the_order_asked(endpoint: LlmEndpoint) -> None:
    asking = runner(endpoint)
    assert asking.answer(VERSION, ["a", "b", "c"]) == ["Two days."] * 3
    asking.close()
    assert sorted(body["messages"][-1]["content"] for body in endpoint.bodies) == ["a", "b", "c"]


def test_model_is_shown_rules_the_nearest_exemplar_and_the_input_last(endpoint: LlmEndpoint) -> None:
    asking = runner(endpoint)
    asking.answer(VERSION, ["When does my refund take place, how long?"])
    asking.close()
    messages = endpoint.bodies[0]["messages"]
    assert messages[0]["role"] == "system"
    assert "Name the number of days." in messages[0]["content"]
    assert [message["content"] for message in messages[-3:-1]] == ["How long does a refund take?", "Five days."]
    assert messages[-1] == {"role": "user", "content": "When does my refund take place, how long?"}


def test_refusal_is_told_without_the_words_that_were_sent(endpoint: LlmEndpoint) -> None:
    asking = runner(endpoint)
    with pytest.raises(Unavailable, match="answered 400") as caught:
        asking.answer(VERSION, ["fail with my secret words"])
    asking.close()
    assert "secret words" not in str(caught.value)


def test_endpoint_that_is_away_is_unavailable() -> None:
    asking = LlmRunner(Runner(kind="llm", base_url="http://127.0.0.1:9", model="scripted"), pause=lambda _: None)
    with pytest.raises(Unavailable, match="cannot be reached"):
        asking.answer(VERSION, ["a"])
    asking.close()


def test_runner_without_address_or_model_says_what_to_set(endpoint: LlmEndpoint) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        LlmRunner(Runner(kind="llm"))
    asking = runner(endpoint, model="")
    with pytest.raises(ConfigError, match=r"runner\.model"):
        asking.answer(VERSION, ["a"])
    asking.close()
