"""Reading OTLP: our decoder beside the official protobuf library, and what the whole way of a span costs.

Bodies are those of four real clients (TRIMTAB_DATA, see tests/contract/test_otlp.py), their trace ids made new so that
each span is stored. Needs `opentelemetry-proto` for the comparison.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src"
sys.path[:0] = [str(SOURCE), str(HERE.parent)]

from tests.intake import PROJECT, desk  # noqa: E402
from trimtab.clock import EPOCH  # noqa: E402
from trimtab.ingest.otlp.mapping import inferences  # noqa: E402
from trimtab.ingest.otlp.protobuf import decode_protobuf  # noqa: E402

DATA = Path(os.environ.get("TRIMTAB_DATA", HERE.parents[1] / "shared" / "data")) / "otlp"
COPIES, RUNS = 40, 9
IMPORTS = {"own": "trimtab.ingest.otlp.protobuf", "library": "opentelemetry.proto.collector.trace.v1.trace_service_pb2"}
PACKAGES = ("protobuf", "opentelemetry-proto")


def plain(value: Any) -> Any:
    """Return an AnyValue of the library as a plain value."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: plain(item.value) for item in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def by_library(body: bytes) -> list[Any]:
    """Return what our decoder returns, read by the library."""
    read = ExportTraceServiceRequest.FromString(body)
    return [
        (
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.name,
            {item.key: plain(item.value) for item in span.attributes},
            [(event.name, {item.key: plain(item.value) for item in event.attributes}) for event in span.events],
        )
        for group in read.resource_spans
        for inner in group.scope_spans
        for span in inner.spans
    ]


def bodies() -> bytes:
    """Return one request of all four captured bodies, COPIES times with new trace ids."""
    made = []
    for file in sorted(DATA.glob("*.pb")):
        read = ExportTraceServiceRequest.FromString(file.read_bytes())
        for copy in range(COPIES):
            for group in read.resource_spans:
                for inner in group.scope_spans:
                    for span in inner.spans:
                        span.trace_id = copy.to_bytes(8, "big") + span.trace_id[8:]
            made.append(read.SerializeToString())
    return b"".join(made)


def best(call: Callable[[], Any]) -> float:
    """Return the fastest of RUNS runs in microseconds: what the code costs when the machine lets it."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times) * 1e6


def stored(body: bytes) -> float:
    """Return the microseconds of taking the request in: decode, map, admit, clean, append to disk."""
    times = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder, desk(Path(folder)) as front:
            front.clock.set(EPOCH.replace(year=2026, month=12))
            started = time.perf_counter()
            asyncio.run(front.intake.accept_traces(PROJECT, body))
            times.append(time.perf_counter() - started)
    return min(times) * 1e6


def import_ms(module: str) -> float:
    """Return the median milliseconds that importing `module` adds to a fresh interpreter with the engine's errors."""
    program = (
        f"import time, trimtab.errors, base64; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    )
    environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
    runs = [
        float(subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, check=True).stdout)
        for _ in range(RUNS)
    ]
    return statistics.median(runs) * 1000


def installed_kib() -> float:
    """Return the size of the library's files on disk."""
    files = [file for name in PACKAGES for file in importlib.metadata.files(name) or []]
    return sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).is_file()) / 1024


def main() -> None:
    """Print the table and write it down."""
    body = bodies()
    spans = decode_protobuf(body)
    count = len(spans)
    calls = len(inferences(PROJECT, spans, event_bytes=1 << 20).events)
    rows = {
        "decode, own (us/span)": best(lambda: decode_protobuf(body)) / count,
        "decode, library (us/span)": best(lambda: by_library(body)) / count,
        "map to inferences (us/call)": best(lambda: inferences(PROJECT, spans, event_bytes=1 << 20)) / calls,
        "whole way to disk (us/call)": stored(body) / calls,
        "import, own (ms)": import_ms(IMPORTS["own"]),
        "import, library (ms)": import_ms(IMPORTS["library"]),
        "installed, library (KiB)": installed_kib(),
    }
    print(f"{len(body)} bytes, {count} spans, {calls} calls; Python {platform.python_version()}")
    for name, number in rows.items():
        print(f"{name:<30}{number:>10.1f}")
    report = {
        "python": platform.python_version(),
        "bytes": len(body),
        "spans": count,
        "calls": calls,
        "rows": {name: round(number, 1) for name, number in rows.items()},
    }
    (HERE / "results" / "otlp_decode.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
