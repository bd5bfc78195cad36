"""One SDK in a process of its own: record inferences and thumbs at a steady pace, time each call, print the times.

Run: `python subject.py NAME URL DIRECTORY INFERENCES FEEDBACK RATE`. Prints one JSON object.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import random
import sqlite3
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_WARM_UP = 300
_LONGEST_S = 12.0
"""A phase ends here even if a blocking SDK has not made all its calls."""


class Subject(NamedTuple):
    """How one SDK is used: the shortest documented way to tell it of a response that is over, and of a thumb."""

    infer: Callable[[str, str], Any]
    """Record input and output; return what feedback is given on."""
    thumb: Callable[[Any, bool], object] | None
    close: Callable[[], object]
    """Deliver what is left and stop."""
    distributions: tuple[str, ...] = ()
    """What was installed for it."""
    stored: Callable[[], tuple[int, int]] | None = None
    """Inferences and feedback stored, if not by the sink."""


def nothing(_url: str, _directory: Path) -> Subject:
    """Record nothing: what the measuring itself costs."""
    return Subject(lambda _input, _output: None, lambda _target, _up: None, lambda: None)


def floor(_url: str, directory: Path) -> Subject:
    """Use what one would write by hand in ten lines: a UUID, the time, a dict, an append to a bare deque.

    A thread takes what is there into SQLite ten times a second. It has no bound, no context, no retry and no server.
    """

    def infer(queue: deque[Any], given: str, made: str) -> str:
        event = {
            "id": str(uuid.uuid4()),  # noqa: TID251 the plain way is the point
            "created_at": time.time(),  # noqa: TID251
            "feature": "answer",
            "user": "u-1",
            "input": given,
            "output": made,
        }
        queue.append(event)
        return event["id"]  # type: ignore[return-value]

    def thumb(queue: deque[Any], target: str, up: Any) -> None:
        event = {
            "id": str(uuid.uuid4()),  # noqa: TID251
            "created_at": time.time(),  # noqa: TID251
            "target": target,
            "kind": "thumb",
            "value": 1 if up else 0,
        }
        queue.append(event)

    return _queued(directory, infer, thumb)


def append(_url: str, directory: Path) -> Subject:
    """Use less than any layer can do: sixteen random bytes for an id, a tuple, an append; the same thread behind."""

    def infer(queue: deque[Any], given: str, made: str) -> str:
        inference_id = os.urandom(16).hex()
        queue.append((inference_id, time.time_ns(), "answer", "u-1", given, made))
        return inference_id

    def thumb(queue: deque[Any], target: str, up: Any) -> None:
        queue.append((os.urandom(16).hex(), time.time_ns(), target, "thumb", 1 if up else 0))

    return _queued(directory, infer, thumb)


def _queued(
    directory: Path, infer: Callable[[deque[Any], str, str], str], thumb: Callable[[deque[Any], str, bool], None]
) -> Subject:
    """Put a deque and a thread that empties it into SQLite behind the two calls."""
    database, queue = directory / "floor.db", deque[Any]()
    ended = threading.Event()

    def write() -> None:
        connection = sqlite3.connect(database)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE inference (id, at, feature, user, input, output)")
        connection.execute("CREATE TABLE feedback (id, at, target, kind, value)")
        last = False
        while not last:
            last = ended.wait(0.1)
            events = [queue.popleft() for _ in range(len(queue))]
            rows = [tuple(event.values()) if isinstance(event, dict) else event for event in events]
            for table, width in (("inference", 6), ("feedback", 5)):
                marks = ", ".join("?" * width)
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", [r for r in rows if len(r) == width])
            connection.commit()
        connection.close()

    def close() -> None:
        ended.set()
        thread.join()

    def stored() -> tuple[int, int]:
        connection = sqlite3.connect(database)
        counts = [connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("inference", "feedback")]
        connection.close()
        return counts[0], counts[1]

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return Subject(lambda *told: infer(queue, *told), lambda *told: thumb(queue, *told), close, stored=stored)


def trimtab(url: str, directory: Path, *, durable: bool = False) -> Subject:
    """Use `record` and `thumb`, the call for a response that is over."""
    from trimtab.client import Client  # noqa: PLC0415 each process loads one SDK

    client = Client(url, "tt_ingest_bench", feature="answer", spool_dir=directory, durable=durable)
    return Subject(
        lambda given, made: client.record(input=given, output=made, user="u-1"),
        lambda target, up: client.thumb(target, up=up),
        lambda: client.close(20.0),
    )


def trimtab_with(url: str, directory: Path) -> Subject:
    """Use the `with` block, as around a call to a model."""
    from trimtab.client import Client  # noqa: PLC0415

    client = Client(url, "tt_ingest_bench", feature="answer", spool_dir=directory)

    def infer(given: str, made: str) -> str:
        with client.inference(input=given, user="u-1") as handle:
            handle.output = made
        return handle.id

    return Subject(infer, lambda target, up: client.thumb(target, up=up), lambda: client.close(20.0))


def trimtab_durable(url: str, directory: Path) -> Subject:
    """Use `durable=True`: on disk before the call returns."""
    return trimtab(url, directory, durable=True)


def opentelemetry(url: str, _directory: Path) -> Subject:
    """Use a span with the attributes of the GenAI conventions, through the batch processor to OTLP over HTTP."""
    sdk = importlib.import_module("opentelemetry.sdk.trace")
    processor = importlib.import_module("opentelemetry.sdk.trace.export")
    exporter = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    provider = sdk.TracerProvider()
    provider.add_span_processor(processor.BatchSpanProcessor(exporter.OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
    tracer = provider.get_tracer("bench")

    def infer(given: str, made: str) -> str:
        with tracer.start_as_current_span("chat m-1") as span:
            span.set_attribute("gen_ai.operation.name", "chat")
            span.set_attribute("user.id", "u-1")
            span.set_attribute("gen_ai.input.messages", given)
            span.set_attribute("gen_ai.output.messages", made)
        return format(span.get_span_context().span_id, "016x")

    names = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")
    return Subject(infer, None, provider.shutdown, names)


def langfuse(url: str, _directory: Path) -> Subject:
    """Use a generation and a score on it."""
    module = importlib.import_module("langfuse")
    client = module.Langfuse(public_key="pk-bench", secret_key="sk-bench", base_url=url)  # noqa: S106 nobody's secret

    def infer(given: str, made: str) -> Any:
        seen = client.start_observation(name="answer", as_type="generation", model="m-1", input=given, output=made)
        seen.end()
        return seen

    def thumb(target: Any, up: Any) -> None:
        client.create_score(
            trace_id=target.trace_id, observation_id=target.id, name="thumb", value=int(up), data_type="BOOLEAN"
        )

    return Subject(infer, thumb, client.shutdown, ("langfuse",))


def phoenix(url: str, _directory: Path) -> Subject:
    """Use a span of phoenix.otel in batches, and the client's annotation, which waits for its answer."""
    provider = importlib.import_module("phoenix.otel").register(
        endpoint=f"{url}/v1/traces", project_name="bench", batch=True, verbose=False, set_global_tracer_provider=False
    )
    client = importlib.import_module("phoenix.client").Client(base_url=url)
    tracer = provider.get_tracer("bench")

    def infer(given: str, made: str) -> str:
        with tracer.start_as_current_span("answer", openinference_span_kind="llm") as span:
            span.set_input(given)
            span.set_output(made)
        return format(span.get_span_context().span_id, "016x")

    def thumb(target: str, up: Any) -> None:
        client.spans.add_span_annotation(
            span_id=target, annotation_name="thumb", annotator_kind="HUMAN", label="up" if up else "down", score=int(up)
        )

    return Subject(infer, thumb, provider.shutdown, ("arize-phoenix-otel", "arize-phoenix-client"))


def mlflow(url: str, _directory: Path) -> Subject:
    """Use a span, and log_feedback, against a tracking server over HTTP."""
    module = importlib.import_module("mlflow")
    module.set_tracking_uri(url)
    module.set_experiment(experiment_id="1")
    person = importlib.import_module("mlflow.entities").AssessmentSource(source_type="HUMAN", source_id="u-1")

    def infer(given: str, made: str) -> str:
        with module.start_span("answer", span_type="LLM") as span:
            span.set_inputs(given)
            span.set_outputs(made)
        return str(span.trace_id)

    def thumb(target: str, up: Any) -> None:
        module.log_feedback(trace_id=target, name="thumb", value=up, source=person)

    return Subject(infer, thumb, lambda: module.flush_trace_async_logging(terminate=True), ("mlflow",))


def opik(url: str, _directory: Path) -> Subject:
    """Use a trace that is over, and a feedback score on it."""
    client = importlib.import_module("opik").Opik(
        project_name="bench", host=f"{url}/api", workspace="default", _show_misconfiguration_message=False
    )
    clock = importlib.import_module("opik.datetime_helpers")

    def infer(given: str, made: str) -> str:
        made_at = clock.local_timestamp()
        trace = client.trace(
            name="answer", input={"text": given}, output={"text": made}, start_time=made_at, end_time=made_at
        )
        return str(trace.id)

    def thumb(target: str, up: Any) -> None:
        client.log_traces_feedback_scores([{"id": target, "name": "thumb", "value": float(up)}])

    return Subject(infer, thumb, lambda: client.end(timeout=60), ("opik",))


SUBJECTS: dict[str, Callable[[str, Path], Subject]] = {
    "nothing": nothing,
    "append": append,
    "floor": floor,
    "trimtab": trimtab,
    "trimtab with": trimtab_with,
    "trimtab durable": trimtab_durable,
    "opentelemetry": opentelemetry,
    "langfuse": langfuse,
    "phoenix": phoenix,
    "mlflow": mlflow,
    "opik": opik,
}


def texts(count: int) -> list[tuple[str, str]]:
    """Return inputs of 400 and outputs of 600 characters; each input begins with a mark of its own."""
    dice = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(dice.choices(letters, k=dice.randint(2, 9))) for _ in range(3_000)]
    made = []
    for number in range(count):
        given = f"#q{number:06}# " + " ".join(dice.choices(words, k=100))
        made.append((given[:400], " ".join(dice.choices(words, k=150))[:600]))
    return made


def paced(calls: list[Callable[[], Any]], rate: int) -> tuple[dict[str, Any], list[Any]]:
    """Make the calls `rate` times a second; return what was measured, and what the calls returned.

    `ns`: how long each took. `late_ns`: how long after its time each began that had to wait for it; beside the
    scheduler's own part that is what other threads of the process take of the app's time between two calls.
    """
    times, late, answers = [], [], []
    clock, sleep = time.perf_counter_ns, time.sleep
    step = 1_000_000_000 // rate
    used = time.process_time()
    began = due = clock()
    for call in calls:
        wait = due - clock()
        if wait > 0:
            sleep(wait / 1e9)
            late.append(clock() - due)
        due += step
        before = clock()
        answer = call()
        after = clock()
        times.append(after - before)
        answers.append(answer)
        if after - began > _LONGEST_S * 1e9:
            break
    took = (clock() - began) / 1e9
    cpu_us = (time.process_time() - used) / len(times) * 1e6
    return {"ns": times, "late_ns": late, "per_s": len(times) / took, "cpu_us": cpu_us}, answers


def main() -> None:
    name, url, directory = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    inferences, feedback, rate = map(int, sys.argv[4:7])
    subject = SUBJECTS[name](url, directory)
    pairs = texts(inferences + _WARM_UP)

    def infer(given: str, made: str) -> Callable[[], Any]:
        return lambda: subject.infer(given, made)

    def thumb(target: Any, up: Any) -> Callable[[], Any]:
        assert subject.thumb is not None
        vote = subject.thumb
        return lambda: vote(target, up)

    _, warm = paced([infer(*pair) for pair in pairs[:_WARM_UP]], rate)
    measured, targets = paced([infer(*pair) for pair in pairs[_WARM_UP:]], rate)
    report: dict[str, Any] = {"inference": measured, "inferences": len(targets) + len(warm), "thumbs": 0}
    if subject.thumb is not None:
        _, early = paced([thumb(target, up=True) for target in warm], rate)
        votes = [thumb(target, up=at % 3 > 0) for at, target in enumerate(targets[:feedback])]
        report["feedback"], late = paced(votes, rate)
        report["thumbs"] = len(late) + len(early)
    subject.close()
    report["versions"] = {each: importlib.metadata.version(each) for each in subject.distributions}
    if subject.stored is not None:
        report["stored"] = subject.stored()
    sys.stdout.write("\n" + json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
