"""One day of an AI product's traffic, and app servers that post it as it happens, each event at its time of day.

A day is played at a constant rate, so many times faster than it was: conversations begin, people ask, rephrase what was
answered badly, vote now and then, correct, comment, copy, edit. Who talks has a heavy tail. From noon on one version
answers one feature badly. Questions are CLINC150's, or written for these benches where there is no data set.
"""

from __future__ import annotations

import heapq
import http.client
import json
import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from benches.bench_redaction import data_folder
from benches.redaction_samples import prose
from trimtab.ids import new_id

__all__ = ["DAY_S", "Ledger", "Plan", "play"]

DAY_S = 86_400.0
LINGER_S = 0.1  # how long the SDK waits for company, and how many events it puts into one request
BATCH_EVENTS = 500
PEOPLE = 60_000
TURNS = 2.44  # questions in a conversation, on average
BAD = 0.08
WORSE = ("travel", "v_1", 0.30)  # from noon on
SIGNALS = (
    ("thumb", 0.020),
    ("correction", 0.003),
    ("comment", 0.004),
    ("rating", 0.002),
    ("copy", 0.030),
    ("edit", 0.005),
    ("regenerate", 0.004),
    ("click", 0.010),
)
"""Which share of answers gets each; about 2.5% get a vote (a thumb, a rating or a correction)."""
EARLY = 0.1
"""Of the answers that something is said of, this share goes out after it."""
LOST_TARGET, BROKEN, SENT_TWICE = 0.003, 0.001, 0.01
"""Shares of words about an answer that never comes, of words that are malformed, of batches that are sent again."""
PII = 0.04
SECRETS = (
    "write to anna.lindqvist{n}@example.com",
    "my number is +49 151 {n:08d}",
    "card 4111 1111 1111 1111",
    "ask Maria Gonzalez, maria{n}@example.org",
    "from 10.{a}.{b}.7",
)
WHYS = ("that is not what I asked", "the amount is wrong", "too long", "this was the old address", "perfect, thanks")
SENTENCES = (
    "I looked this up for you and here is what the records of your account say about it.",
    "You can change it yourself at any time in the settings, under the second heading from the top.",
    "It usually takes two to three working days until it shows, and nothing is charged before that.",
    "If this does not help, tell me which of the two you mean and I will go through it with you.",
    "The last one was booked on the ninth, the one before it a week earlier, both are confirmed.",
    "Please keep the reference at hand, since the other side will ask for it before anything else.",
    "There is a limit for each day and another for the month, and you have not reached either.",
    "I have made a note of it, so that whoever looks at this next knows what was agreed.",
)


class Plan(NamedTuple):
    """What is to be played: how many inferences in how many seconds, by how many processes and app servers in each."""

    inferences: int
    seconds: float
    seed: int = 1
    processes: int = 2
    apps: int = 2

    @property
    def speed(self) -> float:
        """Seconds of the day in one second."""
        return DAY_S / self.seconds


class Ledger(msgspec.Struct):
    """What app servers know of what they sent: by their own count and by what they were answered."""

    made: dict[str, int] = {}
    accepted: int = 0
    duplicates: int = 0
    rejected: dict[str, int] = {}
    sent_twice: int = 0
    broken: int = 0
    aimless: int = 0
    posts: int = 0
    retries: int = 0
    unanswered: int = 0
    bytes: int = 0
    cpu_s: float = 0.0
    behind_s: float = 0.0
    millis: list[float] = []

    def add(self, other: Ledger) -> None:
        """Take in what another one counted."""
        self.made = dict(Counter(self.made) + Counter(other.made))
        self.rejected = dict(Counter(self.rejected) + Counter(other.rejected))
        self.behind_s = max(self.behind_s, other.behind_s)
        self.millis = self.millis + other.millis
        names = ("accepted", "duplicates", "sent_twice", "broken", "aimless", "posts", "retries", "unanswered", "bytes")
        for name in (*names, "cpu_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@cache
def questions() -> dict[str, list[list[str]]]:
    """Return questions by feature and intent: those of CLINC150 by its domains, else prose under the same names."""
    folder = data_folder() / "clinc150"
    if not folder.is_dir():
        made = prose(4000, 7)
        names = ("travel", "banking", "work", "home", "small_talk")
        return {name: [[text[:120] for text in made[place + each :: 100]] for each in range(20)]
                for place, name in enumerate(names)}  # fmt: skip
    said: dict[str, list[str]] = {}
    for text, intent in json.loads((folder / "data_full.json").read_text("utf-8"))["train"]:
        said.setdefault(intent, []).append(text)
    domains = json.loads((folder / "domains.json").read_text("utf-8"))
    return {name: [said[each] for each in intents if each in said] for name, intents in domains.items()}


class Talk:
    """A conversation: whose, about what, and what was asked last."""

    def __init__(self, dice: random.Random, number: str, names: Sequence[str], intents: dict[str, Any]) -> None:
        self.session = f"session-{number}"
        self.person = int(PEOPLE * dice.random() ** 2.5)
        self.feature = names[min(int(dice.expovariate(0.35)), len(names) - 1)]
        self.intent: list[str] = dice.choice(intents[self.feature])
        self.left = 1 + min(int(dice.expovariate(1 / 1.9)), 11)
        self.asked = ""
        self.was_bad = False


class App:
    """One app server's part of the day, in the order in which it happens."""

    def __init__(self, plan: Plan, number: int, since: datetime) -> None:
        share = plan.processes * plan.apps
        self._dice = random.Random(plan.seed * 1000 + number)
        self.number = number
        self._since = since
        self._left = plan.inferences // share + (number < plan.inferences % share)
        self._every = DAY_S * TURNS * share / plan.inferences
        self._intents = questions()
        self._names = sorted(self._intents, key=lambda name: (name != "travel", name))
        self._queue: list[tuple[float, int, Any]] = []
        self._pushed = 0
        self._talks = 0
        self.ledger = Ledger()
        self._push(0.0, None)

    def until(self, at: float, most: int) -> Iterator[dict[str, Any]]:
        """Yield what has happened by that second of the day and was not yielded yet, at most so many events."""
        while most and self._queue and self._queue[0][0] <= at:
            when, _, what = heapq.heappop(self._queue)
            if isinstance(what, dict):
                most -= 1
                yield what
                continue
            if what is None and self._left > 0:
                self._push(when + self._dice.expovariate(1 / self._every), None)
                self._talks += 1
                what = Talk(self._dice, f"{self.number}-{self._talks}", self._names, self._intents)
            if what is not None and self._left > 0:
                most -= 1
                yield from self._turn(when, what)

    @property
    def done(self) -> bool:
        """Whether all of the day has happened."""
        return not self._queue

    @property
    def next_at(self) -> float:
        """The second of the day at which something happens next."""
        return self._queue[0][0] if self._queue else DAY_S * 2

    def _push(self, when: float, what: Any) -> None:
        self._pushed += 1
        heapq.heappush(self._queue, (when, self._pushed, what))

    def _time(self, when: float) -> datetime:
        return self._since + timedelta(seconds=when)

    def _count(self, kind: str) -> None:
        self.ledger.made[kind] = self.ledger.made.get(kind, 0) + 1

    def _turn(self, when: float, talk: Talk) -> Iterator[dict[str, Any]]:
        """Ask once; the answer goes out now or, where what is said of it overtakes it, later."""
        dice = self._dice
        self._left -= 1
        version = "v_2" if when > DAY_S / 2 and talk.person % 3 == 0 else "v_1"
        worse = when > DAY_S / 2 and (talk.feature, version) == WORSE[:2]
        bad = dice.random() < (WORSE[2] if worse else BAD)
        talk.asked = self._question(talk)
        talk.was_bad = bad
        event = self._answer(when, talk, version)
        self._count("inference")
        said = list(self._said(when, talk, event, bad=bad))
        if said and dice.random() < EARLY:
            self._push(when + 240.0, event)
        else:
            yield event
        for delay, word in said:
            self._push(when + delay, word)
        talk.left -= 1
        if talk.left > 0:
            self._push(when + 15.0 + dice.expovariate(1 / 75.0), talk)

    def _question(self, talk: Talk) -> str:
        dice = self._dice
        if talk.was_bad and dice.random() < 0.4:
            words = talk.asked.split()
            return f"no, {talk.asked}" if dice.random() < 0.3 else " ".join(words[1:] + words[:1])
        text = dice.choice(talk.intent)
        if dice.random() < PII:
            number = dice.randrange(10**8)
            told = dice.choice(SECRETS).format(n=number, a=number % 250, b=number // 250 % 250)
            return f"{text}, {told}"
        return text

    def _answer(self, when: float, talk: Talk, version: str) -> dict[str, Any]:
        dice, at = self._dice, self._time(when)
        said = dice.sample(SENTENCES, 3)
        event: dict[str, Any] = {
            "type": "inference",
            "id": new_id(at),
            "feature": talk.feature,
            "created_at": at.isoformat(),
            "input": talk.asked,
            "output": f"About {talk.asked}: {' '.join(said)}",
            "version_id": version,
            "model": "small-1" if talk.person % 5 else "large-1",
            "user_id": f"user-{talk.person}",
            "session_id": talk.session,
            "tags": {"channel": "web" if talk.person % 4 else "phone"},
            "latency_ms": round(300 + dice.expovariate(1 / 500), 1),
            "input_tokens": 40 + len(talk.asked) // 4,
            "output_tokens": 70,
            "cost_usd": 0.0004,
            "profile": {
                "plan": ("free", "pro", "team")[talk.person % 3],
                "locale": ("en", "de", "fr")[talk.person % 3],
            },
        }
        if dice.random() < 0.1:
            event["external_id"] = f"request-{self.number}-{self._pushed}"
        if dice.random() < 0.3:
            event["context"] = [{"id": f"doc-{dice.randrange(5000)}"} for _ in range(3)]
        if dice.random() < 0.002:
            event["error"] = "timeout"
        return event

    def _said(self, when: float, talk: Talk, event: dict[str, Any], *, bad: bool) -> Iterator[tuple[float, Any]]:
        dice = self._dice
        for kind, share in SIGNALS:
            if dice.random() < share * (2.0 if bad else 0.92):
                delay = 5.0 + dice.expovariate(1 / 40.0)
                yield delay, self._word(when + delay, kind, talk, event, bad=bad)

    def _word(self, when: float, kind: str, talk: Talk, event: dict[str, Any], *, bad: bool) -> dict[str, Any]:
        dice, at = self._dice, self._time(when)
        word: dict[str, Any] = {
            "type": "feedback",
            "id": new_id(at),
            "kind": kind,
            "created_at": at.isoformat(),
            "user_id": event["user_id"],
        }
        if "external_id" in event:
            word["external_id"] = event["external_id"]
        elif dice.random() < 0.05 and kind == "thumb":
            word["session_id"] = talk.session
        else:
            word["inference_id"] = event["id"]
        honest = bad if dice.random() < 0.9 else not bad
        match kind:
            case "thumb":
                word["value"] = int(not honest)
            case "rating":
                word |= {"value": 2 if honest else 5, "best": 5}
            case "correction":
                word["text"] = f"It should say: {dice.choice(SENTENCES)}"
            case "comment":
                word["text"] = f"{dice.choice(WHYS)}, about {talk.asked}"
            case "edit":
                word["value"] = round(dice.random(), 2)
        if dice.random() < LOST_TARGET and "inference_id" in word:
            word["inference_id"] = new_id(at)
            self.ledger.aimless += 1
        if dice.random() < BROKEN:
            word["kind"] = "shrug"
            self.ledger.broken += 1
        self._count("feedback")
        return word


def play(url: str, key: str, plan: Plan, since: datetime) -> Iterator[Ledger | None]:
    """Play the day from processes of their own; yield None while it lasts and each process's ledger at its end."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for number in range(plan.processes):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=_process, args=(theirs, url, key, plan, number, since)))
        pipes.append(ours)
    for process in processes:
        process.start()
    for pipe in pipes:
        assert pipe.recv() == "ready"
    for pipe in pipes:
        pipe.send("go")
    waiting = list(pipes)
    while waiting:
        for pipe in list(waiting):
            if pipe.poll(0.05):
                waiting.remove(pipe)
                yield msgspec.msgpack.decode(pipe.recv_bytes(), type=Ledger)
        yield None
    for process in processes:
        process.join()


def _process(pipe: Any, url: str, key: str, plan: Plan, number: int, since: datetime) -> None:
    apps = [App(plan, number * plan.apps + each, since) for each in range(plan.apps)]
    pipe.send("ready")
    pipe.recv()
    used = time.process_time()
    threads = [threading.Thread(target=_serve, args=(app, url, key, plan)) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = Ledger()
    for app in apps:
        total.add(app.ledger)
    total.cpu_s = time.process_time() - used
    pipe.send_bytes(msgspec.msgpack.encode(total))


def _serve(app: App, url: str, key: str, plan: Plan) -> None:
    """Send what has happened every tenth of a second, at most 500 events a request, as the SDK does."""
    parts = urlsplit(url)
    wire = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    dice, began = random.Random(plan.seed * 7919 + app.number), time.monotonic()
    while not app.done:
        elapsed = time.monotonic() - began
        app.ledger.behind_s = max(app.ledger.behind_s, elapsed - app.next_at / plan.speed)
        batch = list(app.until(elapsed * plan.speed, BATCH_EVENTS))
        if batch:
            body = msgspec.json.encode(batch)
            twice = dice.random() < SENT_TWICE  # as after an answer that got lost
            for _ in range(1 + twice):
                wire = _posted(wire, parts, body, headers, app.ledger, len(batch))
            app.ledger.sent_twice += twice * len(batch)
        if len(batch) < BATCH_EVENTS:
            time.sleep(LINGER_S)


def _posted(wire: Any, parts: Any, body: bytes, headers: dict[str, str], ledger: Ledger, count: int) -> Any:
    """Post one batch until it is answered."""
    for attempt in range(60):
        at = time.monotonic()
        try:
            wire.request("POST", "/v1/events", body, headers)
            answer = wire.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            wire.close()
            wire = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        else:
            if answer.status == 200:
                ledger.posts += 1
                ledger.bytes += len(body)
                ledger.millis.append((time.monotonic() - at) * 1000)
                told = msgspec.json.decode(text)
                ledger.accepted += told["accepted"]
                ledger.duplicates += told["duplicates"]
                for each in told["rejected"]:
                    ledger.rejected[each["code"]] = ledger.rejected.get(each["code"], 0) + 1
                return wire
        ledger.retries += 1
        time.sleep(min(0.2 * 2**attempt, 5.0))
    ledger.unanswered += count
    return wire
