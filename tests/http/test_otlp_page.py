"""What the page about traces sends, by each tool it shows, is what the server then holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.page import ROOT, parse, run
from tests.live import live
from trimtab.clock import SystemClock
from trimtab.enrich.stage import EnrichStage
from trimtab.records import Inference

ANSWER = "On its way."


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Inference]:
    """Run the page and return what it left on the server, by the question."""
    folder = tmp_path_factory.mktemp("page")
    with live(folder, clock=SystemClock()) as server:
        answer = run(
            parse(ROOT / "docs/otlp.md"), Path(folder), {"TRIMTAB_URL": server.url, "TRIMTAB_KEY": server.keys["admin"]}
        )
        assert answer.returncode == 0, answer.stderr
        EnrichStage(server.engine.store).tick(server.engine.clock.now())
        rows = [row.record for row in server.engine.store.inferences_after(0, 100)]
        opinions = server.engine.store.opinions("default", [row.id for row in rows])
    found = {}
    for row in rows:
        assert row.output == ANSWER
        assert isinstance(row.input, list)
        assert row.input[-1]["content"] not in found
        found[row.input[-1]["content"]] = row
    assert [len(opinions.get(found["Where is it?"].id, []))] == [1]
    return found


@pytest.mark.parametrize(
    ("question", "feature", "model"),
    [
        ("Where is it?", "delivery", "gpt-4o-mini"),
        ("Where is my order?", "shop", "gpt-4o-mini-2024-07-18"),
        ("Where is my refund?", "shop", "gpt-4o-mini-2024-07-18"),
        ("Where is my parcel?", "courier", "test"),
        ("Where is my invoice?", "shop", "gpt-4o-mini-2024-07-18"),
        ("How do I return it?", "returns", "gpt-4o-mini-2024-07-18"),
    ],
)
def test_each_tool_of_the_page_sends_its_call_once(
    sent: dict[str, Inference], question: str, feature: str, model: str
) -> None:
    made = sent[question]
    assert (made.feature, made.model, made.error) == (feature, model, None)


def test_the_page_sends_nothing_else(sent: dict[str, Inference]) -> None:
    assert len(sent) == 6


def test_user_session_and_version_come_with_the_call(sent: dict[str, Inference]) -> None:
    made = sent["Where is my order?"]
    assert (made.user_id, made.session_id, made.version_id) == ("user-17", "s-1", "v3")
