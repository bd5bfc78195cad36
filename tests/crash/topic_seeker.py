"""Looks for topics again and again over a folder until it is killed; prints the id of each run that is done.

Run as `python topic_seeker.py FOLDER FIRST`: each run is a day later and some texts on; searches go to a child process.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from itertools import count
from pathlib import Path

import structlog

from tests.topic_world import NOW, SUBJECTS, P, TopicWorld, sentences
from trimtab.detect.topics.stage import ask


def run(folder: Path, first: int) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is what was acknowledged
    world = TopicWorld(folder, seed=first)
    stage = world.stage(vectors=False, inline=False)
    for number in count(first):
        now = NOW + timedelta(days=number)
        for subject in SUBJECTS:
            world.say(sentences(subject, 20, number), now=now, days=3)
        asked = ask(world.store, P, None, now)
        sys.stdout.write(f"asked {asked.id}\n")
        sys.stdout.flush()
        while not stage.tick(now):
            time.sleep(0.01)  # as an engine ticks
        sys.stdout.write(f"done {asked.id}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
