"""`trimtab study`: months in minutes on your own labelled texts, through the real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trimtab.cli.failure import told_plainly
from trimtab.errors import InputError
from trimtab.study.arms import ARMS, ArmName, Labour
from trimtab.study.data import read
from trimtab.study.report import render, write_json
from trimtab.study.run import run
from trimtab.study.world import Dials

__all__ = ["study"]

_USUAL = Labour()


def study(  # noqa: PLR0917  one parameter per option, all given by name on the command line
    data: Annotated[Path, typer.Option(help="Labelled texts: CSV, TSV, JSON, JSON lines, or CLINC150's own file.")],
    arms: Annotated[str, typer.Option(help="Which arms to run, separated by commas.")] = ",".join(ARMS),
    weeks: Annotated[int, typer.Option(min=1, max=520, help="Weeks after launch.")] = 26,
    per_week: Annotated[int, typer.Option(min=10, help="Questions a week.")] = 1500,
    seed: Annotated[int, typer.Option(help="Seed of the world; the same seed gives the same world to all arms.")] = 0,
    drift: Annotated[float, typer.Option(min=0, max=4, help="How much the world drifts; 0 is not at all.")] = 1.0,
    json: Annotated[Path | None, typer.Option(help="Write everything to this JSON file.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of the text, if its name does not tell.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the right answer.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of the time; the stream then keeps its own order.")] = None,
    votes_if_bad: Annotated[float, typer.Option(min=0, max=1, help="Share of bad answers that get a vote.")] = 0.05,
    votes_if_good: Annotated[float, typer.Option(min=0, max=1, help="Share of good answers that get a vote.")] = 0.02,
    corrects: Annotated[float, typer.Option(min=0, max=1, help="Share of negative votes with a correction.")] = 0.15,
    correction_wrong: Annotated[float, typer.Option(min=0, max=1, help="Share of wrong corrections.")] = 0.10,
    human_labels: Annotated[
        int, typer.Option(min=0, help="Labels a month in the human arm.")
    ] = _USUAL.human_labels_a_month,
    reviews: Annotated[
        int, typer.Option(min=0, help="Reviews a week, closed arm, while an incident is open.")
    ] = _USUAL.closed_labels_a_week,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes at a time; default: one per core.")] = None,
    shuffled: Annotated[bool, typer.Option("--shuffled", help="Negative control: feedback at random.")] = False,  # noqa: FBT002
) -> None:
    """Run a drifting stream of labelled texts through the engine, one arm per way of working, and compare them."""
    console = Console()
    with told_plainly():
        chosen = _arms(arms)
        if json is not None and not json.absolute().parent.is_dir():
            raise InputError(f"cannot write {str(json)!r}: no such folder; make it first", param="json")
        table = read(data, text=text, label=label, time=time)
        dials = Dials(
            weeks=weeks,
            per_week=per_week,
            seed=seed,
            drift=drift,
            votes_if_bad=votes_if_bad,
            votes_if_good=votes_if_good,
            corrects=corrects,
            correction_wrong=correction_wrong,
            shuffled=shuffled,
        )
        labour = Labour(human_labels_a_month=human_labels, closed_labels_a_week=reviews)
        with _bar(console) as bar:
            tasks: dict[ArmName, TaskID] = {name: bar.add_task(name, total=weeks) for name in chosen}
            result = run(
                table,
                dials,
                arms=chosen,
                labour=labour,
                processes=processes,
                progress=lambda name, week: bar.update(tasks[name], completed=week),
            )
        if json is not None:
            write_json(result, json)
    console.print(render(result))
    if json is not None:
        console.print(f"Written to {json}")


def _arms(told: str) -> list[ArmName]:
    names = list(dict.fromkeys(name.strip() for name in told.split(",") if name.strip()))
    try:
        chosen = msgspec.convert(names, list[ArmName])
    except msgspec.ValidationError:
        chosen = []
    if not chosen:
        raise InputError(f"expected arms from {', '.join(ARMS)}, got {told!r}", param="arms")
    return chosen


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:>8}"),
        BarColumn(),
        TextColumn("week {task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
