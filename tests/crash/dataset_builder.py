"""Builds one dataset to its end and a second one until it has begun to write; then says so and waits to be killed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.unit.act.datasets.world import world
from trimtab.act.datasets import build


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    def pausing(*_: object, **__: object) -> None:
        say("writing")
        threading.Event().wait()

    with world(Path(sys.argv[1])) as made:
        made.corrected("a question of somebody")
        made.settle()
        say(made.order("sft", validation_share=0.0, test_share=0.0).id)
        vars(build)["shaped"] = pausing
        made.order("dpo")


if __name__ == "__main__":
    main()
