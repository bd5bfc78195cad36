"""A process that rebuilds the table `docs` from v1 to v2: `rebuild_worker URL MOST`.

It kills itself after MOST texts were embedded (0: never), and else prints the report.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import psycopg

from tests.unit.client.adapters.words import coarse, fine
from trimtab.client.adapters.pgvector import PgvectorShelf
from trimtab.client.rebuild import Generation, Rebuild


def main(url: str, most: int) -> None:
    left = [most]

    def embed(texts: Sequence[str]) -> list[list[float]]:
        if list(texts) != ["size"]:
            left[0] -= len(texts)
            if most and left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return fine(texts)

    shelf = PgvectorShelf(lambda: psycopg.connect(url), "docs")
    report = Rebuild(shelf, Generation("v1", coarse), Generation("v2", embed), lot=8).run()
    sys.stdout.write(f"{report.state} {report.embedded}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
