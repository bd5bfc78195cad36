"""`trimtab review` in a real terminal, against a real server."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import hot_store_sample as a
from tests.intake import body, inference
from tests.live import NOW, Live, live
from tests.review_world import FEATURE, answered, events
from trimtab.clock import SetClock
from trimtab.ids import new_id
from trimtab.records import Exemplar, ReviewItem, Version
from trimtab.store.ports import Query, Writes

ROOT = Path(__file__).parents[3]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Live]:
    with live(tmp_path, clock=SetClock(NOW)) as running, running.client() as client:
        answers = [inference(name, input=f"Where is {name}?", output="[red]In Paris[/red]") for name in ("A", "B", "C")]
        client.post("/v1/events", content=body(*answers)).raise_for_status()
        items = [
            a.review_item(inference_id=answer["id"], feature=answer["feature"], priority=float(-place), opened_at=NOW)
            for place, answer in enumerate(answers)
        ]
        running.engine.store.commit({"default": Writes(reviews=items)})
        yield running


class Terminal:
    """`trimtab review` under a pseudo-terminal."""

    def __init__(self, server: Live) -> None:
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        told = {"TRIMTAB_URL": server.url, "TRIMTAB_KEY": server.keys["admin"], "PYTHONPATH": path, "TERM": "dumb"}
        self.shown = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            command = [sys.executable, "-m", "trimtab", "review", "--reviewer", "r-1"]
            os.execve(sys.executable, command, {**os.environ, **told, "COLUMNS": "100"})  # noqa: S606  no shell is wanted

    def until(self, words: str) -> None:
        """Read until `words` are shown after what was read before."""
        found = ""
        while words not in found:
            ready, _, _ = select.select([self._fd], [], [], 60)
            assert ready, f"expected {words!r}, got {found!r}"
            try:
                found += os.read(self._fd, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"expected {words!r}, got {found!r}") from None
        self.shown += found

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def ended(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def told(*arguments: str) -> tuple[int, str]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "trimtab", "review", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def items_of(server: Live) -> list[ReviewItem]:
    return [row.record for row in server.engine.store.reviews("default", Query(newest=False)).rows]


def test_whoever_is_shown_an_example_is_told_that_it_is_one(server: Live) -> None:
    engine = server.engine
    example = Exemplar(id="x_1", input="May I pay by card?", output="By card only.")
    version = Version(feature="support", created_at=NOW, exemplars=[example])
    engine.decisions.serve("default", version, NOW)
    look = a.review_item(
        feature="support", source="example", exemplar_id="x_1", doubt_id=new_id(NOW), priority=9.0, opened_at=NOW
    )
    engine.store.commit({"default": Writes(reviews=[look])})
    terminal = Terminal(server)
    try:
        terminal.until("quit")
        assert "old example" in terminal.shown
        assert "May I pay by card?" in terminal.shown
        terminal.press("g")
        terminal.until("Where is A?")
        terminal.press("q")
        assert terminal.ended() == 0
    finally:
        terminal.kill()
    judged = engine.store.review("default", look.id)
    assert judged is not None
    assert (judged.verdict, judged.confirms) == ("good", False)


def test_keys_judge_correct_and_skip_and_the_time_is_measured(server: Live) -> None:
    terminal = Terminal(server)
    try:
        terminal.until("quit")
        assert "Where is A?" in terminal.shown
        assert "[red]In Paris[/red]" in terminal.shown
        terminal.press("\x1b[B")  # an arrow means nothing
        terminal.until("quit")
        terminal.press("c")
        terminal.until("right?")
        terminal.press("In Rome.\n")
        terminal.until("quit")
        assert "Where is B?" in terminal.shown
        terminal.press("g")
        terminal.until("quit")
        terminal.press("q")
        terminal.until("2 judged")
        assert terminal.ended() == 0
    finally:
        terminal.kill()
    first, second, third = items_of(server)
    assert [first.verdict, second.verdict, third.verdict] == ["bad", "good", None]
    assert first.minutes is not None
    assert third.state == "reserved"
    heard = [row.record for row in server.engine.store.list_feedback("default", Query()).rows]
    assert sorted((each.kind, each.text) for each in heard) == [
        ("correction", "In Rome."),
        ("thumb", None),
        ("thumb", None),
    ]


def test_list_shows_what_waits_the_most_urgent_first(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_URL", server.url)
    monkeypatch.setenv("TRIMTAB_KEY", server.keys["read"])
    status, shown = told("--list", "--json")
    assert status == 0, shown
    assert [item["id"] for item in json.loads(shown)] == [item.id for item in items_of(server)]
    assert "open" in told("--list")[1]
    assert "Nothing waits" in told("--list", "--feature", "none")[1]


@pytest.mark.parametrize(
    ("key", "url", "arguments", "words"),
    [
        ("", None, ["--list"], "TRIMTAB_KEY"),
        ("tt_admin_wrong", None, ["--list"], "unauthorized"),
        ("x", "http://127.0.0.1:9", ["--list"], "no server answers"),
        ("x", None, [], "terminal"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    server: Live, monkeypatch: pytest.MonkeyPatch, key: str, url: str | None, arguments: list[str], words: str
) -> None:
    monkeypatch.setenv("TRIMTAB_URL", url or server.url)
    monkeypatch.setenv("TRIMTAB_KEY", key)
    status, shown = told(*arguments)
    assert status == 2
    assert words in shown
    assert len(shown.strip().splitlines()) == 1


def test_a_batch_its_themes_and_what_was_found_are_shown(tmp_path: Path) -> None:
    with live(tmp_path, clock=SetClock(NOW)) as running, running.client() as client:
        client.post("/v1/events", content=answered(events(NOW, votes=0.0))).raise_for_status()
        asked = ("--url", running.url, "--key", running.keys["admin"])
        code, shown = told(*asked, "--batch")
        assert (code, "expected --feature with --batch" in shown) == (2, True)
        code, shown = told(*asked, "--batch", "--feature", FEATURE)
        assert (code, "36 themes and 4 drawn at random, of 300 answers" in " ".join(shown.split())) == (0, True)
        code, shown = told(*asked, "--themes", "--json")
        cards = json.loads(shown)["themes"]
        assert (code, len(cards)) == (0, 36)
        shown = told(*asked, "--themes")[1]
        assert all(card["items"][0]["id"] in shown for card in cards)
        item = cards[0]["items"][0]["id"]
        code, shown = told(*asked, "--link", item, "--reviewer", "Prof. Curie")
        assert (code, "tt_guest_" in shown, "for Prof. Curie" in shown) == (0, True, True)
        for asked_about in client.post("/v1/review/next", json={"reviewer": "ada", "count": 5}).json()["items"]:
            verdict = {"reviewer": "ada", "verdict": "good", "seconds": 30}
            client.post(f"/v1/review/{asked_about['item']['id']}", json=verdict).raise_for_status()
        code, shown = told(*asked, "--summary")
        words = " ".join(shown.split())
        assert (code, "36 open, 0 reserved" in words, "2.5 over 5 measured verdicts" in words) == (0, True, True)


def test_what_was_judged_is_learned_on_order_and_once(tmp_path: Path) -> None:
    with live(tmp_path, clock=SetClock(NOW)) as server, server.client() as client:
        client.post("/v1/events", content=answered(events(NOW))).raise_for_status()
        while client.post("/v1/tick").raise_for_status().json()["rows"]:
            pass
        asked = ("--url", server.url, "--key", server.keys["admin"])
        code, shown = told(*asked, "--learn")
        assert (code, "expected --feature with --learn" in shown) == (2, True)
        shown = told(*asked, "--learn", "--feature", FEATURE)[1]
        assert "Nothing to learn: 0 answers corrected" in " ".join(shown.split())
        assert told(*asked, "--batch", "--feature", FEATURE)[0] == 0
        taken = client.post("/v1/review/next", json={"reviewer": "ada", "count": 10}).json()["items"]
        waiting = next(each for each in taken if each["item"]["source"] == "queue")
        ruling = {"reviewer": "ada", "verdict": "bad", "correction": "Five days."}
        client.post(f"/v1/review/{waiting['item']['id']}", json=ruling).raise_for_status()
        while client.post("/v1/tick").raise_for_status().json()["rows"]:
            pass
        code, shown = told(*asked, "--learn", "--feature", FEATURE)
        assert (code, "Learning: 1 answers corrected" in " ".join(shown.split())) == (0, True)
        run_id = shown.split("Run ")[1].split()[0]
        assert client.get(f"/v1/runs/{run_id}").json()["state"] == "done"
        shown = told(*asked, "--learn", "--feature", FEATURE)[1]
        assert "Nothing to learn" in shown
