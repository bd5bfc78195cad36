"""The search for topics in a process of its own, so that it takes neither Python's lock nor memory from ingest.

`run_here` is the same search in this process, for tests and studies. The task goes to the child on its standard input
and the answer comes back on its standard output, as MessagePack; no text stands on a command line or in a file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trimtab.detect.topics.find import OUTLIER, Said, TopicRules, adjusted, find_topics
from trimtab.detect.topics.gather import Word
from trimtab.detect.topics.identity import Known
from trimtab.errors import Unavailable
from trimtab.records import Topic

__all__ = ["Found", "Job", "KnownPlace", "Scope", "Task", "packed", "run_here", "serve"]

Vectors = NDArray[np.float32]

_BOOT = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from trimtab.detect.topics.job import serve; serve()"
_NICENESS = 10
_GRACE_S = 30
_END_S = 10.0


class KnownPlace(Struct, frozen=True, array_like=True):
    """A topic of the run before; `centroid` is packed float32."""

    id: str
    space: str
    centroid: bytes
    members: list[str]


class Scope(Struct, frozen=True, array_like=True):
    """One feature, or (None) all texts, with its topics of the run before and the texts that one looked at."""

    feature: str | None
    known: list[KnownPlace]
    seen: list[str]


class Task(Struct, frozen=True):
    """What to look into. `vectors` are packed float32, one row a word; None: a space is fitted on the texts."""

    now: datetime
    words: list[Word]
    scopes: list[Scope]
    rules: TopicRules
    vectors: bytes | None
    space: str | None
    timeout_s: float


class Found(Struct, frozen=True):
    """What one scope came to: topics, their packed centroids, and for each text its topic's place, -1 for none.

    `words` are the places of the scope's texts among those of the task.
    """

    feature: str | None
    space: str
    topics: list[Topic]
    centroids: list[bytes]
    words: list[int]
    members: list[int]


class _Answer(Struct, frozen=True):
    found: list[Found] = []
    error: str = ""


class Job:
    """One search in a child process; `wait` returns what it found, `cancel` ends it from any thread."""

    def __init__(self, task: Task) -> None:
        self._timeout_s = task.timeout_s
        self._task = msgspec.msgpack.encode(task)
        self._cancelled = threading.Event()
        self._child = subprocess.Popen(
            [sys.executable, "-c", _BOOT, json.dumps([path for path in sys.path if path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def wait(self) -> list[Found]:
        """Wait for the end and return what was found, by scope. Raises Unavailable where nothing came of it."""
        try:
            told, complaint = self._child.communicate(self._task, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"the search took longer than {self._timeout_s:g} s; lower topics.max_texts") from None
        finally:
            self._end()
        if self._cancelled.is_set():
            raise Unavailable("the search was cancelled")
        answer = msgspec.msgpack.decode(told, type=_Answer) if told else None
        if answer is None or answer.error:
            last = complaint.decode(errors="replace").strip().splitlines()[-1:]
            why = answer.error if answer else (last[0] if last else f"it ended with {self._child.returncode}")
            raise Unavailable(f"the search failed: {why}")
        return answer.found

    def cancel(self) -> None:
        """End the search; `wait` then raises Unavailable."""
        self._cancelled.set()
        if self._child.poll() is None:
            self._child.kill()

    def _end(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait(_END_S)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                pipe.close()


def serve() -> None:
    """Be the child: run the task on standard input, answer on standard output."""
    os.nice(_NICENESS)  # whatever answers people goes first
    task = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Task)
    # A parent that was killed cannot end its child: the system does.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(task.timeout_s) + _GRACE_S)
    from threadpoolctl import threadpool_limits  # noqa: PLC0415  only the child looks for threads to limit

    try:
        with threadpool_limits(limits=1):
            answer = _Answer(found=run_here(task))
    except Exception as error:  # noqa: BLE001  the parent tells whoever asked; of the error its kind, it may hold words
        answer = _Answer(error=type(error).__name__)
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


def run_here(task: Task) -> list[Found]:
    """Return what each scope of the task comes to, p-values adjusted for all of them."""
    vectors, space = _embedded(task)
    found = []
    for scope in task.scopes:
        places = [
            place for place, word in enumerate(task.words) if scope.feature is None or word.feature == scope.feature
        ]
        found.append(_found(task, scope, places, vectors[places], space))
    told = adjusted([each.topics for each in found], task.rules.false_alarm_rate)
    return [msgspec.structs.replace(each, topics=topics) for each, topics in zip(found, told, strict=True)]


def packed(rows: Vectors) -> bytes:
    """Return vectors as little-endian float32, one after the other."""
    return rows.astype("<f4").tobytes()


def _found(task: Task, scope: Scope, places: Sequence[int], vectors: Vectors, space: str) -> Found:
    words = [task.words[place] for place in places]
    survey = find_topics(
        [Said(word.id, word.text, word.person, word.created_at) for word in words],
        vectors,
        feature=scope.feature,
        space=space,
        now=task.now,
        known=[
            Known(each.id, each.space, np.frombuffer(each.centroid, dtype="<f4"), frozenset(each.members))
            for each in scope.known
        ],
        seen=scope.seen,
        rules=task.rules,
    )
    return Found(
        feature=scope.feature,
        space=space,
        topics=survey.topics,
        centroids=[packed(row) for row in survey.centroids],
        words=list(places),
        members=survey.members.tolist() if len(places) else [OUTLIER] * 0,
    )


def _embedded(task: Task) -> tuple[Vectors, str]:
    """Return the vectors that came with the texts, else those of a space fitted on them now."""
    if task.vectors is not None and task.space is not None:
        rows = np.frombuffer(task.vectors, dtype="<f4").astype(np.float32)
        return rows.reshape(len(task.words), -1) if task.words else rows.reshape(0, 1), task.space
    from trimtab.embed.lsa import fit_lsa  # noqa: PLC0415  a second of importing

    texts = [word.text for word in task.words]
    if len(set(texts)) < 2 * task.rules.min_size:
        return np.zeros((len(texts), 1), dtype=np.float32), "none"
    fitted = fit_lsa(texts)
    return fitted.embed(texts), fitted.space
