"""An application of the outage bench: it records events at a steady pace through the SDK and says what that cost it.

Run: `python outage_app.py URL KEY SPOOL IDS EVENTS RATE`. Of five events four are inferences (input 400, output 600
characters) and one is a thumb on the last of them. The ids go to the file IDS as soon as they are known; the report is
printed as one JSON object.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from pathlib import Path
from typing import TextIO

from trimtab.client import Client

_FLUSH_S = 120.0
_SAMPLE_S = 1.0


def resident_mb() -> float:
    """Return what of this process is in memory."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def peak_mb() -> float:
    """Return the most of this process that ever was in memory; getrusage would count the process that started it."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def drive(client: Client, told: TextIO, events: int, rate: int) -> dict[str, list[float]]:
    """Record `events`; return for each when it began, how late, and how long the call took; and the memory."""
    given, made = ("why is my parcel late " * 20)[:400], ("it waits at the border " * 30)[:600]
    at, late_us, call_us, memory = [], [], [], [resident_mb()]
    clock, target = time.perf_counter, ""
    began = clock()
    sampled = began
    for number in range(events):
        due = began + number / rate
        wait = due - clock()
        if wait > 0:
            time.sleep(wait)
        before = clock()
        if number % 5 == 4:
            name = client.thumb(target, up=number % 3 > 0)
        else:
            name = target = client.record(input=given, output=made, user=f"u-{number % 500}")
        after = clock()
        told.write(f"{name}\n")
        at.append(before - began)
        late_us.append((before - due) * 1e6)
        call_us.append((after - before) * 1e6)
        if after - sampled > _SAMPLE_S:
            memory.append(resident_mb())
            sampled = after
    return {"at_s": at, "late_us": late_us, "call_us": call_us, "memory_mb": memory}


def main() -> None:
    url, key, spool, ids = sys.argv[1:5]
    events, rate = map(int, sys.argv[5:7])
    client = Client(url, key, feature="answer", spool_dir=spool)
    client.record(input="warm", output="up")
    client.flush(1.0)
    gc.collect()
    with Path(ids).open("w", encoding="ascii") as told:
        report: dict[str, object] = {**drive(client, told, events, rate)}
    began = time.perf_counter()
    report["flushed"] = client.flush(_FLUSH_S)
    report["flush_s"] = time.perf_counter() - began
    report["stats"] = client.stats()._asdict()
    client.close(10.0)
    report["peak_mb"] = peak_mb()
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
