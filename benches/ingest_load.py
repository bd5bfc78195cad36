"""Events of about a kilobyte of real text, and senders that post them over raw sockets from processes of their own."""

from __future__ import annotations

import json
import multiprocessing
import random
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from benches.bench_redaction import chats, data_folder
from benches.redaction_samples import prose
from trimtab.ids import new_id

__all__ = ["EVENT_BYTES", "Sent", "TextKind", "events", "send", "texts"]

TextKind = Literal["mixed", "chats", "prose"]
EVENT_BYTES = 1024
_SPACES = re.compile(r"\s+")
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Sent(NamedTuple):
    """What a round of sending came to: events, seconds from first byte to last answer, senders' CPU, milliseconds."""

    events: int
    seconds: float
    client_cpu_s: float
    millis: list[float]


@cache
def texts(kind: TextKind) -> tuple[list[str], list[str]]:
    """Return questions and answers to draw from.

    `mixed`: questions that people wrote for a support bot (CLINC150), answers of a model (RealHumanEval). `chats`: both
    from RealHumanEval, programmers' talk full of code and numbers. `prose`: written for these benches, nothing in it to
    redact, which needs no data set.
    """
    if kind == "prose":
        made = prose(4000, 7)
        return [text[:160] for text in made], made
    folder = data_folder()
    if not folder.is_dir():
        raise SystemExit(f"expected the data sets in {str(folder)!r}: set TRIMTAB_DATA, or measure with --texts prose")
    said = [text for text in chats(folder) if len(text) > 200]
    if kind == "chats":
        return [text[:160] for text in said], said
    asked = json.loads((folder / "clinc150" / "data_full.json").read_text("utf-8"))
    return [text for text, _ in asked["train"]], said


def events(kind: TextKind, count: int, seed: int, since: datetime) -> Iterator[dict[str, Any]]:
    """Yield inferences of `EVENT_BYTES` as JSON, a tenth of a millisecond apart, with everything apps usually send."""
    dice = random.Random(seed)
    questions, answers = texts(kind)
    for number in range(count):
        now = since + timedelta(microseconds=100 * number)
        event = {
            "type": "inference",
            "id": new_id(now),
            "feature": dice.choice(("answer", "summary", "search")),
            "created_at": now.isoformat(),
            "input": dice.choice(questions),
            "output": "",
            "version_id": "v_0123456789abcdef01234567",
            "arm": "stable",
            "model": "small-1",
            "user_id": f"user-{dice.randrange(5_000)}",
            "session_id": f"session-{dice.randrange(20_000)}",
            "tags": {"language": "en"},
            "latency_ms": round(dice.random() * 900, 1),
            "input_tokens": 80,
            "output_tokens": 90,
        }
        event["output"] = _filling(dice, answers, EVENT_BYTES - len(msgspec.json.encode(event)))
        yield event


def _filling(dice: random.Random, answers: Sequence[str], size: int) -> str:
    """Return answers, or the part of one, that take `size` bytes in JSON, but for a few that escapes add."""
    text = ""
    while len(text) < size:
        answer = dice.choice(answers)
        start = dice.randrange(max(1, len(answer) - size))
        text += answer[start : start + size - len(text)]
    while (over := len(msgspec.json.encode(text)) - 2 - size) > 0:
        text = text[: -max(1, over // 2)]
    return text


def send(
    url: str, key: str, kind: TextKind, *, count: int, batch: int, senders: int, connections: int, seed: int,
    since: datetime,
) -> Sent:  # fmt: skip
    """Post `count` events from `senders` processes over `connections` in all, `batch` in a body; 1 posts them alone.

    Bodies are made before the first is sent. Raises AssertionError when an event was not taken.
    """
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(senders)
    pipes, processes = [], []
    for number in range(senders):
        ours, theirs = context.Pipe()
        told = (url, key, kind, count // senders, batch, connections // senders, seed * 1000 + number, since)
        processes.append(context.Process(target=_sender, args=(theirs, together, told)))
        pipes.append(ours)
    for process in processes:
        process.start()
    answers = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    began, ended = min(one[0] for one in answers), max(one[1] for one in answers)
    millis = [each for one in answers for each in one[3]]
    return Sent(count // senders * senders, ended - began, sum(one[2] for one in answers), millis)


def _sender(answer: Any, together: Any, told: tuple[Any, ...]) -> None:
    url, key, kind, count, batch, connections, seed, since = told
    path = "/v1/events" if batch > 1 else "/v1/inferences"
    made = list(events(kind, count, seed, since))
    lots = [made[start : start + batch] for start in range(0, count, batch)]
    bodies = iter([_request(url, key, path, lot if batch > 1 else lot[0]) for lot in lots])
    taken = threading.Lock()
    millis: list[float] = []
    faults: list[str] = []
    doors = [_connected(url) for _ in range(connections)]

    def post(door: socket.socket) -> None:
        while True:
            with taken:
                body = next(bodies, None)
            if body is None or faults:
                return
            began = time.monotonic()
            door.sendall(body)
            said = _answer(door)
            if b'"duplicates":0,"rejected":[]' not in said:
                faults.append(said.decode("utf-8", "replace")[:300])
            millis.append((time.monotonic() - began) * 1000)

    threads = [threading.Thread(target=post, args=(door,)) for door in doors]
    together.wait()
    began, used = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults[0]
    answer.send((began, time.monotonic(), time.process_time() - used, millis))


def _request(url: str, key: str, path: str, body: object) -> bytes:
    raw = msgspec.json.encode(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    door = socket.create_connection((parts.hostname, parts.port), timeout=120)
    door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return door


def _answer(door: socket.socket) -> bytes:
    """Read one answer: a status of 200 and a body of the length it names."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += _more(door)
    head, _, body = read.partition(b"\r\n\r\n")
    found = _LENGTH.search(head)
    assert head.startswith(b"HTTP/1.1 200"), read
    assert found is not None, read
    while len(body) < int(found[1]):
        body += _more(door)
    return body


def _more(door: socket.socket) -> bytes:
    part = door.recv(1 << 16)
    assert part, "the server closed the connection"
    return part
