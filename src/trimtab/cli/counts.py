"""The part of `trimtab report` that says whether every count agrees, end to end."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from trimtab.config import Settings
from trimtab.errors import InvalidField
from trimtab.measure.reconcile import Pair, Reconciliation, Sent
from trimtab.measure.report.parts import Grid, Section
from trimtab.runtime.parts import (
    open_lake_lazily,
    open_vectors,
    reconciler_of,
)
from trimtab.store.ports import HotStore

__all__ = ["SentOption", "counted", "counts_section"]

_PARTS = 3

SentOption = Annotated[
    str | None,
    typer.Option(
        "--sent",
        metavar="ACCEPTED[,DUPLICATES[,REFUSED]]",
        help="What a sender counted, as `Client.stats()` says it, to be compared too.",
        show_default=False,
    ),
]


def counted(settings: Settings, store: HotStore, sent: str | None) -> Reconciliation:
    """Compare all counts of the engine whose hot store this is. Raises InvalidField for `sent` that is no numbers."""
    told = _sent(sent)
    with ExitStack() as opened:
        vectors = open_vectors(settings)
        opened.callback(vectors.close)
        lake = open_lake_lazily(settings, opened)
        return reconciler_of(settings, store, vectors, lake).reconcile(sent=told)


def _sent(text: str | None) -> Sent | None:
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts) or len(parts) > _PARTS:
        raise InvalidField(f"expected --sent ACCEPTED[,DUPLICATES[,REFUSED]] in whole numbers, got {text!r}")
    return Sent(**dict(zip(("accepted", "duplicates", "rejected"), map(int, parts), strict=False)))


def counts_section(found: Reconciliation) -> Section:
    """Return every comparison, what came in, and the verdict."""
    waiting = [f"{name} {rows:,}" for name, rows in found.behind.items() if rows]
    verdict = "Nothing is lost: every difference is accounted for."
    if not found.whole:
        verdict = f"Counts do not agree: {found.lost:,} lost, {found.extra:,} too many."
    return Section(
        key="counts",
        title="Every count, end to end (all projects)",
        data=found,
        lead=[
            verdict,
            "Came in: " + ", ".join(f"{count:,} {name}" for name, count in found.received.items()) + ".",
            "Not read yet: " + (", ".join(waiting) or "nothing") + ".",
        ],
        grids=[
            Grid(
                columns=["what", "count", "what became of it", "difference"],
                rows=[[pair.name, f"{pair.count:,}", _became(pair), _difference(pair)] for pair in found.pairs],
            )
        ],
    )


def _became(pair: Pair) -> str:
    return "\n".join(f"{count:,} {name}" for name, count in pair.found.items() if count or len(pair.found) == 1)


def _difference(pair: Pair) -> str:
    if pair.explained:
        return f"{pair.difference:,}\n{pair.note}" if pair.difference else "0"
    named = ", ".join(pair.ids[:3])
    return f"{pair.difference:,} unaccounted for\n{pair.note or named}"
