"""`trimtab topics` over a store with topics, with none, and without a store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.topic_world import NOW, P, TopicWorld, sentences, space_of
from trimtab.cli import app
from trimtab.cli.topics import sparkline

RUN = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("topics")
    world = TopicWorld(folder)
    said = [*world.say(sentences("card", 40, 1)), *world.say(sentences("login", 30, 1), days=5)]
    world.embed(said, space_of(9))
    world.run(world.stage())
    world.close()
    (folder / "hot.db").rename(folder / "trimtab.db")
    return folder


def told(folder: Path, *options: str) -> tuple[int, str]:
    answer = RUN.invoke(app, ["topics", "--data", str(folder), *options], env={"COLUMNS": "160"})
    return answer.exit_code, answer.output


def test_the_table_shows_size_people_trend_and_news(folder: Path) -> None:
    code, shown = told(folder, "--project", P)
    assert code == 0
    (card,) = [line for line in shown.splitlines() if "card charged" in line]
    (login,) = [line for line in shown.splitlines() if "password login" in line]
    assert "40" in card
    assert "emerging" not in card
    assert "30" in login
    assert "emerging" in login
    assert "█" in login
    assert f"Found {NOW:%Y-%m-%d %H:%M} UTC in 70 of 70 texts; 0 of them (0%) belong to no topic." in shown
    assert told(folder, "--project", P, "--feature", "shop", "--limit", "1")[1].count("more with --limit") == 1


def test_json_is_the_topics_as_the_api_serves_them(folder: Path) -> None:
    code, shown = told(folder, "--project", P, "--json")
    assert code == 0
    assert [(topic["size"], topic.get("emerging", False)) for topic in json.loads(shown)] == [(40, False), (30, True)]
    assert json.loads(told(folder, "--project", P, "--json", "--state", "gone")[1]) == []


def test_where_nobody_looked_yet_it_says_who_does(folder: Path) -> None:
    code, shown = told(folder, "--project", P, "--feature", "elsewhere")
    assert code == 0
    assert "once a day, or on POST /v1/topics/runs" in shown


def test_what_is_not_there_is_said_plainly(folder: Path, tmp_path: Path) -> None:
    assert told(folder, "--project", "nobody")[0] == 2
    assert told(tmp_path)[0] == 2
    assert told(folder, "--project", P, "--state", "new")[0] == 2


def test_a_bar_is_as_high_as_its_share_of_the_highest() -> None:
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "  "
    assert sparkline([1, 1000]) == "▁█"
