"""The contract of what answers for a feature, over every kind of it; servers and worker processes are real."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.answering_app import SECRET, AnsweringApp
from tests.webhook_receiver import Receiver
from trimtab.act.answering.choice import FeatureRunners, open_one
from trimtab.act.answering.python import PythonRunner
from trimtab.act.answering.webhook import WebhookRunner
from trimtab.act.llm import LlmRunner
from trimtab.act.memory import FittedMemory
from trimtab.act.runner import Runner, check_of, fingerprint, runner_of
from trimtab.config import FeatureOverride, Gate, Settings
from trimtab.config import Runner as RunnerSettings
from trimtab.errors import ConfigError, Unavailable
from trimtab.records import Exemplar, Version

KNOWN = {
    "How long does a refund take?": "Five days.",
    "Where do I find my invoice?": "Under Wallet.",
    "Which batteries fit the drill?": "The flat ones.",
}
ENVIRON = {"APP_SECRET": SECRET}
APP = '''
import os, sys, time, subprocess

def answer(question):
    """Answer as the app on loopback does."""
    print("what the app prints breaks nothing")
    messages = question["messages"]
    asked = messages[-1]["content"]
    turns = zip(messages, messages[1:-1])
    return next((reply["content"] for turn, reply in turns if turn["content"] == asked), None)

async def awaited(question):
    return answer(question)

def who(question):
    return str(os.getpid())

def structured(question):
    return {"feature": question["feature"], "input": question["input"], "version": question["version"]["id"]}

def hang(question):
    if question["input"] == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with open("pids", "w") as out:
            out.write(f"{os.getpid()} {child.pid}")
        time.sleep(600)
    return "fine"

def crash(question):
    if not os.path.exists("crashed"):
        open("crashed", "w").close()
        os._exit(3)
    return "back"

def stumble(question):
    raise KeyError("a secret word")

def long(question):
    return "x" * 5000
'''


def version(known: dict[str, str] = KNOWN) -> Version:
    shown = [Exemplar(id=f"x{place}", input=ask, output=known[ask]) for place, ask in enumerate(known)]
    return Version(feature="support", created_at=datetime(2026, 3, 1, tzinfo=UTC), exemplars=shown).identified()


@dataclass
class Made:
    """A runner, and the app behind it where there is one."""

    runner: Runner
    close: Callable[[], object]
    app: AnsweringApp | None = None


def by_webhook(app: AnsweringApp, **more: Any) -> WebhookRunner:
    settings = RunnerSettings(
        **{"kind": "webhook", "url": f"{app.url}/hook", "secret_env": "APP_SECRET", "allow_private": True, **more}
    )
    return WebhookRunner(settings, environ=ENVIRON, pause=lambda _: None)


def by_llm(app: AnsweringApp, **more: Any) -> LlmRunner:
    return LlmRunner(RunnerSettings(kind="llm", base_url=f"{app.url}/v1", model="m", **more), pause=lambda _: None)


def by_python(folder: Path, entry: str = "answer", **more: Any) -> PythonRunner:
    folder.joinpath("shop_app.py").write_text(APP, "utf-8")
    settings = RunnerSettings(kind="python", entry=f"shop_app:{entry}", **{"timeout_s": 60, "parallel": 2, **more})
    return PythonRunner(settings, folder=str(folder), pause=lambda _: None)


@pytest.fixture
def app() -> Iterator[AnsweringApp]:
    with AnsweringApp() as running:
        yield running


@pytest.fixture(params=["memory", "webhook", "llm", "python"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    if request.param == "memory":
        yield Made(FittedMemory(), lambda: None)
    elif request.param == "python":
        runner = by_python(tmp_path)
        yield Made(runner, runner.close)
        runner.close()
    else:
        with AnsweringApp() as running:
            asking = by_webhook(running) if request.param == "webhook" else by_llm(running)
            yield Made(asking, asking.close, running)
            asking.close()


def test_answers_come_in_the_order_asked(made: Made) -> None:
    asked = [*KNOWN, *reversed(KNOWN)]
    assert made.runner.answer(version(), asked) == [KNOWN[ask] for ask in asked]
    assert made.runner.answer(version(), []) == []


def test_another_version_answers_otherwise(made: Made) -> None:
    other = {ask: f"Not {answer}" for ask, answer in KNOWN.items()}
    assert made.runner.answer(version(other), list(KNOWN)) == list(other.values())


def test_a_version_without_an_answer_says_nothing(made: Made) -> None:
    empty = Version(feature="support", created_at=datetime(2026, 3, 1, tzinfo=UTC)).identified()
    assert made.runner.answer(empty, ["How long does a refund take?"]) == [""]


def test_the_last_turn_of_a_conversation_is_what_is_answered(made: Made) -> None:
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello! How can I help?"},
        {"role": "user", "content": "Where do I find my invoice?"},
    ]
    assert made.runner.answer(version(), [turns]) == ["Under Wallet."]


def test_many_threads_may_ask_at_once(made: Made) -> None:
    found: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: found.append(made.runner.answer(version(), list(KNOWN)))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [list(KNOWN.values())] * 6


def test_closing_leaves_no_thread_and_no_process(made: Made) -> None:
    mine = threading.active_count()
    others = _children()
    made.runner.answer(version(), list(KNOWN))
    children = _children() - others
    made.close()
    deadline = time.monotonic() + 30
    while (threading.active_count() > mine or _children() & children) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert not _children() & children
    assert [
        each.name
        for each in threading.enumerate()
        if each.name.startswith(("trimtab-llm", "trimtab-web", "trimtab-py"))
    ] == []


# ---------------------------------------------------------------- over HTTP, whoever is there


@pytest.mark.parametrize("make", [by_webhook, by_llm])
def test_trouble_for_now_is_tried_again_and_a_repeated_question_is_the_same(
    make: Callable[..., Any], app: AnsweringApp
) -> None:
    app.troubles = [503, 429]
    runner = make(app)
    assert runner.answer(version(), ["Where do I find my invoice?"]) == ["Under Wallet."]
    runner.close()
    assert app.troubles == []


@pytest.mark.parametrize("make", [by_webhook, by_llm])
def test_trouble_that_lasts_is_never_an_answer(make: Callable[..., Any], app: AnsweringApp) -> None:
    app.troubles = [503] * 50
    runner = make(app, retries=1)
    with pytest.raises(Unavailable, match="503"):
        runner.answer(version(), list(KNOWN))
    runner.close()


@pytest.mark.parametrize("make", [by_webhook, by_llm])
def test_no_more_than_parallel_are_asked_at_once_by_all_together(make: Callable[..., Any], app: AnsweringApp) -> None:
    app.hold.clear()
    runner = make(app, parallel=3)
    threads = [threading.Thread(target=runner.answer, args=(version(), list(KNOWN))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        assert app.reached.acquire(timeout=30)
    assert not app.reached.acquire(timeout=0.3)  # the fourth waits for one of the three
    app.hold.set()
    for thread in threads:
        thread.join(60)
    runner.close()
    assert (app.most, app.minded) == (3, 12)


# ---------------------------------------------------------------- the webhook


def test_a_webhook_is_signed_and_names_its_question_the_same_at_every_attempt(app: AnsweringApp) -> None:
    app.mind = lambda _: {"days": 5}
    runner = by_webhook(app)
    assert runner.answer(version(), ["a", "b"]) == ['{"days":5}'] * 2
    runner.close()
    keys = [headers["Trimtab-Delivery"] for headers in app.headers]
    assert keys == [headers["Idempotency-Key"] for headers in app.headers]
    assert len(set(keys)) == 2
    assert {question["id"] for question in app.asked} == set(keys)
    assert app.headers[0]["Trimtab-Event"] == "answer"


def test_an_attempt_that_was_answered_unheard_is_not_answered_twice() -> None:
    with AnsweringApp() as app:
        lost = threading.Event()
        mind = app.mind

        def slow_at_first(messages: list[dict[str, str]]) -> Any:
            if not lost.is_set():
                lost.set()
                threading.Event().wait(2.5)  # longer than the engine waits: the answer is given, and not heard
            return mind(messages)

        app.mind = slow_at_first
        runner = by_webhook(app, timeout_s=1, retries=5)
        assert runner.answer(version(), ["Where do I find my invoice?"]) == ["Under Wallet."]
        runner.close()
        assert len({headers["Trimtab-Delivery"] for headers in app.headers}) == 1


def test_a_wrong_secret_is_refused_by_the_app_and_told_at_once(app: AnsweringApp) -> None:
    settings = RunnerSettings(kind="webhook", url=f"{app.url}/hook", secret_env="APP_SECRET", allow_private=True)
    runner = WebhookRunner(settings, environ={"APP_SECRET": "another"})
    with pytest.raises(ConfigError, match="answered 401"):
        runner.answer(version(), ["a"])
    runner.close()
    assert app.minded == 0


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b"Two days.", "sent no answer"),
        (200, b'{"answer": "Two days."}', "sent no answer"),
        (200, b'{"output": "' + b"x" * 3000 + b'"}', "more than 2048 bytes"),
        (302, b"", "answered 302"),
        (404, b"", "answered 404"),
    ],
)
def test_what_is_no_answer_is_told_with_what_to_change(status: int, body: bytes, told: str) -> None:
    with Receiver(status, answer=body, location="http://127.0.0.1:9/") as receiver:
        settings = RunnerSettings(
            kind="webhook", url=receiver.url, secret_env="APP_SECRET", allow_private=True, answer_bytes=2048
        )
        runner = WebhookRunner(settings, environ=ENVIRON, place="runners.app")
        with pytest.raises(ConfigError, match=told) as caught:
            runner.answer(version(), ["a"])
        runner.close()
    assert "runners.app" in str(caught.value)
    assert len(receiver.requests) == 1


def test_an_app_that_hangs_or_is_away_is_unavailable() -> None:
    with Receiver(0) as receiver:
        settings = RunnerSettings(
            kind="webhook", url=receiver.url, secret_env="APP_SECRET", allow_private=True, timeout_s=0.3, retries=0
        )
        runner = WebhookRunner(settings, environ=ENVIRON)
        with pytest.raises(Unavailable, match="no answer within"):
            runner.answer(version(), ["a"])
        runner.close()
        gone = RunnerSettings(
            kind="webhook", url="http://127.0.0.1:9/", secret_env="APP_SECRET", allow_private=True, retries=0
        )
    runner = WebhookRunner(gone, environ=ENVIRON)
    with pytest.raises(Unavailable, match="cannot be reached"):
        runner.answer(version(), ["a"])
    runner.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254"])
def test_a_webhook_reaches_no_private_address_unless_allowed(address: str) -> None:
    settings = RunnerSettings(kind="webhook", url="https://app.example/hook", secret_env="APP_SECRET")
    runner = WebhookRunner(settings, environ=ENVIRON, resolve=lambda _host, _port: [address])
    with pytest.raises(ConfigError, match="private network"):
        runner.answer(version(), ["a"])
    runner.close()


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({}, "runner.url"),
        ({"url": "https://a.example", "url_env": "X", "secret_env": "APP_SECRET"}, "runner.url"),
        ({"url": "http://a.example", "secret_env": "APP_SECRET"}, "runner.url"),
        ({"url_env": "NOT_SET", "secret_env": "APP_SECRET"}, "runner.url_env"),
        ({"url": "https://a.example"}, "runner.secret_env"),
        ({"url": "https://a.example", "secret_env": "NOT_SET"}, "runner.secret_env"),
    ],
)
def test_a_webhook_without_address_or_secret_is_refused_at_the_start(more: dict[str, str], param: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WebhookRunner(RunnerSettings(kind="webhook", **more), environ=ENVIRON)  # type: ignore[arg-type]
    assert caught.value.param == param


# ---------------------------------------------------------------- the function of the app


def test_a_function_runs_in_processes_of_its_own_that_are_used_again(tmp_path: Path) -> None:
    runner = by_python(tmp_path, "who")
    pids = {int(pid) for _ in range(5) for pid in runner.answer(version(), ["a", "b", "c"])}
    runner.close()
    assert os.getpid() not in pids
    assert len(pids) <= 2


@pytest.mark.parametrize("entry", ["awaited", "answer"])
def test_a_function_may_be_awaited(tmp_path: Path, entry: str) -> None:
    runner = by_python(tmp_path, entry)
    assert runner.answer(version(), ["Where do I find my invoice?"]) == ["Under Wallet."]
    runner.close()


def test_a_function_is_told_what_a_webhook_is(tmp_path: Path) -> None:
    runner = by_python(tmp_path, "structured")
    [told] = runner.answer(version(), [{"question": "x", "order": 7}])
    runner.close()
    assert told == f'{{"feature":"support","input":{{"question":"x","order":7}},"version":"{version().id}"}}'


def test_a_function_that_hangs_is_killed_with_what_it_started_and_the_next_question_is_answered(tmp_path: Path) -> None:
    runner = by_python(tmp_path, "hang", timeout_s=3, retries=0, parallel=1)
    assert runner.answer(version(), ["warm"]) == ["fine"]
    with pytest.raises(Unavailable, match="longer than 3 s"):
        runner.answer(version(), ["hang"])
    pids = [int(pid) for pid in tmp_path.joinpath("pids").read_text().split()]
    deadline = time.monotonic() + 30
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "what the function started outlived it"
        time.sleep(0.01)  # who was killed is no child of ours, so its end cannot be awaited
    assert runner.answer(version(), ["again"]) == ["fine"]
    runner.close()


def test_a_function_that_ends_its_process_is_asked_again_in_a_new_one(tmp_path: Path) -> None:
    runner = by_python(tmp_path, "crash")
    assert runner.answer(version(), ["a"]) == ["back"]
    runner.close()


def test_an_error_of_the_function_is_told_by_its_kind_alone(tmp_path: Path) -> None:
    runner = by_python(tmp_path, "stumble", retries=0)
    with pytest.raises(Unavailable, match="raised KeyError") as caught:
        runner.answer(version(), ["a"])
    runner.close()
    assert "secret word" not in str(caught.value)


def test_an_answer_that_is_too_long_and_a_function_that_is_not_there_say_what_to_change(tmp_path: Path) -> None:
    runner = by_python(tmp_path, "long", answer_bytes=1024)
    with pytest.raises(ConfigError, match=r"runner\.answer_bytes"):
        runner.answer(version(), ["a"])
    runner.close()
    runner = by_python(tmp_path, "nowhere")
    with pytest.raises(ConfigError, match="cannot be imported"):
        runner.answer(version(), ["a"])
    runner.close()
    with pytest.raises(ConfigError, match="module:function"):
        PythonRunner(RunnerSettings(kind="python", entry="import os; os.system"))


# ---------------------------------------------------------------- which one


def test_each_feature_has_the_runner_that_the_settings_name() -> None:
    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def answer(self, version: Version, inputs: Any) -> list[str]:
            return [self.name for _ in inputs]

    settings = Settings(
        features={"support": FeatureOverride(runner="app"), "search": FeatureOverride()},
        runners={"app": RunnerSettings(kind="webhook"), "rest": RunnerSettings()},
    )
    runners = FeatureRunners(settings, lambda _, place: Named(place))
    assert runners.answer(version(), ["a"]) == ["runners.app"]
    other = Version(feature="search", created_at=version().created_at)
    assert runners.answer(other, ["a"]) == ["runner"]
    assert runner_of(settings, "support").kind == "webhook"
    assert check_of(settings, "support") == "similar"
    assert check_of(settings, "search") == "exact"
    assert check_of(Settings(gate=Gate(check="judge")), "search") == "judge"


def test_a_runner_that_is_not_there_is_refused_at_the_start() -> None:
    settings = Settings(features={"support": FeatureOverride(runner="ap")}, runners={"app": RunnerSettings()})
    with pytest.raises(ConfigError, match=r"features\.support\.runner.*app.*'ap'"):
        FeatureRunners(settings, lambda told, place: open_one(told, place)[0])


def test_answers_are_kept_under_who_was_asked_not_how_patiently() -> None:
    one = RunnerSettings(kind="llm", base_url="http://a", model="m")
    assert fingerprint(RunnerSettings()) == ""
    assert fingerprint(one) == fingerprint(
        RunnerSettings(kind="llm", base_url="http://a", model="m", timeout_s=1, retries=9)
    )
    assert fingerprint(one) != fingerprint(RunnerSettings(kind="llm", base_url="http://a", model="n"))


def _children() -> set[int]:
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return {int(pid) for pid in listed.read_text().split()} if listed.exists() else set()


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_closing_ends_the_waiting_for_an_app_that_is_away(app: AnsweringApp) -> None:
    app.troubles = [503] * 1000
    settings = RunnerSettings(
        kind="webhook", url=f"{app.url}/hook", secret_env="APP_SECRET", allow_private=True, retries=1000
    )
    runner = WebhookRunner(settings, environ=ENVIRON)  # with the pauses of real life
    ended: list[str] = []

    def ask() -> None:
        try:
            runner.answer(version(), ["a"])
        except Unavailable as error:
            ended.append(error.message)

    asking = threading.Thread(target=ask)
    asking.start()
    assert app.reached.acquire(timeout=30)
    runner.close()
    asking.join(30)
    assert ended
    assert "503" in ended[0]
