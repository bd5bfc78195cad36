"""`trimtab study`: half a year of drift through the real engine, one cell per way of working."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trimtab.cli.failure import told_plainly
from trimtab.errors import InputError, MissingExtra, UnreadableFile
from trimtab.study.arms import ARMS, ArmName
from trimtab.study.data import Table, read
from trimtab.study.markdown import as_markdown
from trimtab.study.preset import Cell, Preset, names, read_preset
from trimtab.study.report import render, write_json
from trimtab.study.run import PLAN, Study, load, run

__all__ = ["study"]

_USUAL = ("static", "human-weekly", "closed")


def study(
    data: Annotated[
        Path | None, typer.Option(help="Labelled texts: CSV, TSV, JSON, JSON lines, or CLINC150's own file.")
    ] = None,
    preset: Annotated[str, typer.Option(help=f"What to run: {', '.join(names())}, or a TOML file of your own.")] = "",
    out: Annotated[Path | None, typer.Option(help="Directory of results; a stopped study goes on there.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Run nothing; report what --out holds so far.")] = False,  # noqa: FBT002
    jobs: Annotated[int | None, typer.Option(min=1, help="Worlds at a time; default: one per core.")] = None,
    worlds: Annotated[int | None, typer.Option(min=1, help="How many worlds, instead of the preset's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the first world, instead of the preset's.")] = None,
    arms: Annotated[str, typer.Option(help=f"Without a preset: which of {', '.join(ARMS)}.")] = ",".join(_USUAL),
    dial: Annotated[list[str] | None, typer.Option(help="A dial, e.g. drift=0.5; may be given several times.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of the text, if its name does not tell.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the right answer.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of the time; the stream then keeps its own order.")] = None,
) -> None:
    """Run a drifting stream of labelled texts through the engine, one cell per way of working, and compare them."""
    console = Console()
    with told_plainly():
        if report:
            if out is None:
                raise InputError("expected --out with the results to report, got none", param="out")
            _tell(load(out), out, console)
            return
        plan = _plan(preset, arms, dial or [], worlds, seed)
        table = _table(data, plan, {"text": text, "label": label, "time": time})
        folder = out or Path(f"study-{preset or 'own'}")
        _run(table, plan, folder, jobs, console)
        _tell(load(folder), folder, console)


def _plan(preset: str, arms: str, dial: Sequence[str], worlds: int | None, seed: int | None) -> Preset:
    """Return the preset, or one of the named arms; with the dials and worlds that were given by hand."""
    plan = read_preset(preset) if preset else Preset(worlds=1, cells=[Cell(name=arm, arm=arm) for arm in _arms(arms)])
    told: dict[str, Any] = {}
    for each in dial:
        name, equals, value = each.partition("=")
        if not equals:
            raise InputError(f"expected NAME=VALUE, got {each!r}; for example --dial drift=0.5", param="dial")
        try:
            told[name.strip()] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise InputError(f"expected a number or true or false for {name!r}, got {value!r}", param="dial") from None
    if told:
        dials = plan.dials_of(Cell(name="own", arm="static", dials=told), plan.first_seed)
        own = {**msgspec.structs.asdict(plan.dials), **{name: getattr(dials, name) for name in told}}
        plan = msgspec.structs.replace(plan, dials=msgspec.convert(own, type(plan.dials)))
    if worlds is not None:
        plan = msgspec.structs.replace(plan, worlds=worlds)
    return plan if seed is None else msgspec.structs.replace(plan, first_seed=seed)


def _table(data: Path | None, plan: Preset, columns: dict[str, str | None]) -> Table | None:
    """Return the labelled texts; None where the product brings questions and documents of its own."""
    if plan.product == "documents":
        if data is not None:
            raise InputError(
                f"expected no --data where the product answers from its own documents, got {str(data)!r}", param="data"
            )
        return None
    if data is None:
        raise InputError("expected --data with labelled texts, got none", param="data")
    return read(data, **columns)


def _arms(told: str) -> list[ArmName]:
    asked = list(dict.fromkeys(name.strip() for name in told.split(",") if name.strip()))
    try:
        chosen = msgspec.convert(asked, list[ArmName])
    except msgspec.ValidationError:
        chosen = []
    if not chosen:
        raise InputError(f"expected arms from {', '.join(ARMS)}, got {told!r}", param="arms")
    return chosen


def _run(table: Table | None, plan: Preset, folder: Path, jobs: int | None, console: Console) -> None:
    """Run what is left, showing how many weeks of all cells are lived through."""
    weeks = plan.dials.weeks
    done: dict[tuple[int, str], int] = {}
    for seed in plan.seeds:
        for cell in plan.cells:
            if (folder / f"world-{seed:05d}" / f"{cell.name}.json").exists():
                done[seed, cell.name] = weeks
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} weeks"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        before = sum(done.values())
        task = bar.add_task("study", total=plan.worlds * len(plan.cells) * weeks - before)

        def tell(seed: int, name: str, week: int) -> None:
            done[seed, name] = week
            lived = sum(week for (_, cell), week in done.items() if cell != "calm weeks")
            bar.update(task, completed=lived - before, description=f"world {seed}, {name}")
            if week == weeks and not console.is_terminal:  # a log has no bar; each cell that is done gets a line
                cells = sum(week == weeks for week in done.values())
                console.print(f"world {seed}, {name}: done, {cells} of {plan.worlds * len(plan.cells)} cells")

        run(table, plan, folder, jobs=jobs, progress=tell)


def _tell(found: Study, folder: Path, console: Console) -> None:
    """Print the tables and write the report, the figures and all numbers beside the results."""
    console.print(render(found))
    figures = True
    try:
        from trimtab.study.figures import draw  # noqa: PLC0415  numpy and more, not for every command

        draw(found, folder)
    except MissingExtra as error:
        figures = False
        console.print(f"No figures: {error.message}")
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}."
    page = as_markdown(found, command=f"trimtab study --out {folder.name}", machine=machine, figures=figures)
    try:
        (folder / "report.md").write_text(page, encoding="utf-8")
        write_json(found, folder / "report.json")
    except OSError as error:
        raise UnreadableFile(f"cannot write the report into {str(folder)!r}: {error.strerror}", param="out") from error
    console.print(f"Written to {folder / 'report.md'}, {folder / 'report.json'} (results beside {PLAN})")
