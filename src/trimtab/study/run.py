"""A whole study: world after world in processes of their own, each cell's result in a file of its own.

A study that was stopped goes on where it was: cells whose file is there are not lived through again.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import queue
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from threadpoolctl import threadpool_limits

from trimtab.errors import Conflict, UnreadableFile
from trimtab.study.cell import CellResult, live_through
from trimtab.study.data import Table
from trimtab.study.grounds import Ground, data_of, ground_of
from trimtab.study.preset import Cell, Preset
from trimtab.study.stream import Calm
from trimtab.study.world import Dials

__all__ = ["PLAN", "Plan", "Progress", "Study", "load", "run"]

PLAN = "plan.json"
# What a stream does not show, and what begins with the first week only.
_UNSEEN = frozenset({"shuffled", "silent", "poisoned_weeks", "poisoned_words", "reviewer_error"})
_LATER = _UNSEEN | {"drift", "policy_changes", "mix_step"}
Progress = Callable[[int, str, int], None]


class Plan(Struct, frozen=True, kw_only=True):
    """What a directory of results is of."""

    preset: Preset
    data: dict[str, Any]


class Study(Struct, frozen=True, kw_only=True):
    """What was run and what came out: for each cell the results by world, in the order of `seeds`."""

    plan: Plan
    seeds: list[int]
    cells: dict[str, list[CellResult]]


def run(
    table: Table | None, preset: Preset, folder: Path, *, jobs: int | None = None, progress: Progress | None = None
) -> None:
    """Live through every cell that has no result in `folder` yet; `progress(seed, cell, weeks)` is called as they go.

    One process per world, at most `jobs` (default: the machine's cores) at a time; 0 runs all in this process. Raises
    Conflict where `folder` holds the results of another plan, InputError when the data does not carry a study.
    """
    plan = Plan(
        preset=preset, data=data_of(table, preset, msgspec.structs.replace(preset.dials, seed=preset.first_seed))
    )
    _claim(folder, plan)
    left = [seed for seed in preset.seeds if any(not _file(folder, seed, cell).exists() for cell in preset.cells)]
    tell = progress or (lambda _seed, _cell, _week: None)
    if jobs == 0:
        for seed in left:
            _world(table, preset, seed, folder, tell)
    elif left:
        _in_processes(table, preset, left, folder, jobs or os.cpu_count() or 1, tell)


def load(folder: Path) -> Study:
    """Return what a directory holds: the worlds in which every cell is done. Raises UnreadableFile where none is."""
    try:
        plan = msgspec.json.decode((folder / PLAN).read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError) as error:
        raise UnreadableFile(f"expected a study in {str(folder)!r}, but {error}", param="out") from error
    cells = plan.preset.cells
    seeds = [seed for seed in plan.preset.seeds if all(_file(folder, seed, cell).exists() for cell in cells)]
    if not seeds:
        raise UnreadableFile(f"expected at least one finished world in {str(folder)!r}, got none yet", param="out")
    found = {
        cell.name: [msgspec.json.decode(_file(folder, seed, cell).read_bytes(), type=CellResult) for seed in seeds]
        for cell in cells
    }
    return Study(plan=plan, seeds=seeds, cells=found)


def _claim(folder: Path, plan: Plan) -> None:
    """Write down what the directory is of, or see that it is of this."""
    file = folder / PLAN
    if file.exists():
        if msgspec.json.decode(file.read_bytes(), type=Plan) != plan:
            raise Conflict(f"{str(folder)!r} holds the results of another study; name another directory", param="out")
        return
    folder.mkdir(parents=True, exist_ok=True)
    _write(file, plan)


def _world(table: Table | None, preset: Preset, seed: int, folder: Path, tell: Progress) -> None:
    """Live through the cells of a world that have no result yet; those with the same calm time share it."""
    todo = [cell for cell in preset.cells if not _file(folder, seed, cell).exists()]
    groups: dict[bytes, list[Cell]] = {}
    for cell in todo:
        groups.setdefault(_without(preset.dials_of(cell, seed), _LATER), []).append(cell)
    for cells in groups.values():
        # one thread: worlds fill the cores, and matrices this small make threads wait for each other
        with threadpool_limits(1), _nothing_collected(), tempfile.TemporaryDirectory(prefix="trimtab-study-") as place:
            _group(table, preset, seed, cells, Path(place), folder, tell)


def _group(
    table: Table | None, preset: Preset, seed: int, cells: Sequence[Cell], place: Path, folder: Path, tell: Progress
) -> None:
    """Live through the calm time once, then through each cell from there."""
    grounds: dict[bytes, Ground] = {}
    calm: Calm | None = None
    first: Ground | None = None
    for cell in cells:
        dials = preset.dials_of(cell, seed)
        stream = _without(dials, _UNSEEN)
        if stream not in grounds:
            grounds[stream] = ground_of(table, preset, dials, like=first)
        ground = grounds[stream]
        if calm is None:
            tell(seed, "calm weeks", 0)
            calm, first = ground.calm(place / "calm"), ground
            gc.collect()
            gc.freeze()  # the world stays: looked through after each cell, it would cost half a second each time
        at = place / cell.name
        session, arm = ground.begin(ground.world._replace(dials=dials), calm, cell, preset.labour, at)
        with session:
            result = live_through(session, arm, partial(tell, seed, cell.name))
        gc.collect()
        shutil.rmtree(at, ignore_errors=True)
        _write(_file(folder, seed, cell), result)


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Let no cycles be looked for: a world holds a million objects that stay, and each look goes over all of them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()


def _without(dials: Dials, names: Collection[str]) -> bytes:
    """Return the dials without those, to tell which cells share a stream (`_UNSEEN`) or the calm time (`_LATER`)."""
    told = {name: value for name, value in msgspec.structs.asdict(dials).items() if name not in names}
    return msgspec.json.encode(told, order="deterministic")


def _file(folder: Path, seed: int, cell: Cell) -> Path:
    return folder / f"world-{seed:05d}" / f"{cell.name}.json"


def _write(file: Path, what: Any) -> None:
    """Write whole or not at all: a kill leaves no half a result."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}.new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(what), indent=1) + b"\n")
    fresh.replace(file)


# ---------------------------------------------------------------- processes


_told: Any = None


def _open_child(told: Any) -> None:
    global _told  # noqa: PLW0603 a pool hands its queue to a child only through a global
    _told = told


def _child(table: Table | None, preset: Preset, seed: int, folder: Path) -> None:
    _world(table, preset, seed, folder, lambda *told: _told.put(told))


def _in_processes(
    table: Table | None, preset: Preset, seeds: Sequence[int], folder: Path, jobs: int, tell: Progress
) -> None:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    pool = ProcessPoolExecutor(
        max_workers=max(1, min(jobs, len(seeds))),
        mp_context=context,
        initializer=_open_child,
        initargs=(told,),
        max_tasks_per_child=1,
    )
    try:
        work: set[Future[None]] = {pool.submit(_child, table, preset, seed, folder) for seed in seeds}
        while wait(work, timeout=0.2, return_when=FIRST_EXCEPTION).not_done:
            _drain(told, tell)
            if any(future.done() and future.exception() for future in work):
                break
        _drain(told, tell)
        for future in work:
            if future.done():
                future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        told.close()


def _drain(told: Any, tell: Progress) -> None:
    while True:
        try:
            seed, cell, week = told.get_nowait()
        except queue.Empty:
            return
        tell(seed, cell, week)
