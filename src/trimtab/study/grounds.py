"""What the cells of a world share: its stream, what its product learns from, and how an arm begins to live in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from trimtab.study.arms import Arm, Labour, make
from trimtab.study.data import Table
from trimtab.study.knowledge.arms import make_desk_arm
from trimtab.study.knowledge.pages import becomes, table
from trimtab.study.knowledge.session import DeskSession, desk_settings
from trimtab.study.preset import Cell, Preset
from trimtab.study.session import Session, study_settings
from trimtab.study.spaces import Spaces
from trimtab.study.stream import Calm, Stream
from trimtab.study.world import Dials, World, build

__all__ = ["Ground", "data_of", "ground_of"]


class Ground(Protocol):
    """A world with its product. `lived` is the world as a cell's own dials have it."""

    @property
    def world(self) -> World:
        """The world."""
        ...

    def calm(self, folder: Path) -> Calm:
        """Live through the calm time in an engine in `folder`."""
        ...

    def begin(self, lived: World, calm: Calm, cell: Cell, labour: Labour, folder: Path) -> tuple[Stream, Arm[Any]]:
        """Open an engine in `folder` where the calm time ends, and return it with the cell's arm."""
        ...


class _Examples(NamedTuple):
    world: World
    spaces: Spaces

    def calm(self, folder: Path) -> Calm:
        return Session(self.world, self.spaces, study_settings(folder, self.world.dials)).serve_calm()

    def begin(self, lived: World, calm: Calm, cell: Cell, labour: Labour, folder: Path) -> tuple[Stream, Arm[Any]]:
        arm = make(cell.arm, labour, lived.dials.seed, cell.queue, asks=cell.asks)
        settings = study_settings(folder, lived.dials, themes=cell.queue != "desk-ranked")
        by_desk = cell.queue in ("desk", "desk-ranked")
        return Session(lived, self.spaces, settings, calm=calm, says_how_sure=by_desk), arm


class _Documents(NamedTuple):
    world: World

    def calm(self, folder: Path) -> Calm:
        return DeskSession(self.world, desk_settings(folder, self.world.dials, automatic=False)).serve_calm()

    def begin(self, lived: World, calm: Calm, cell: Cell, labour: Labour, folder: Path) -> tuple[Stream, Arm[Any]]:
        arm = make_desk_arm(cell.arm, labour)
        return DeskSession(lived, desk_settings(folder, lived.dials, automatic=arm.automatic), calm=calm), arm


def ground_of(told: Table | None, preset: Preset, dials: Dials, *, like: Ground | None = None) -> Ground:
    """Return the ground of a world; `like` is one that has the same calm time."""
    if preset.product == "documents":
        return _Documents(build(table(), dials, becomes=becomes()))
    world = build(cast("Table", told), dials)
    return _Examples(world, Spaces(world, like=like.spaces if isinstance(like, _Examples) else None))


def data_of(told: Table | None, preset: Preset, dials: Dials) -> dict[str, Any]:
    """Return what a report says of the data."""
    if preset.product == "documents":
        rows, world = table(), build(table(), dials, becomes=becomes())
    else:
        rows = cast("Table", told)
        world = build(rows, dials)
    return {
        "texts": len(rows.rows),
        "left_out": rows.left_out,
        "columns": rows.columns,
        "labels": len(world.labels),
        "launch_texts": len(world.launch),
        "golden_cases": len(world.golden),
        "drift": "injected" if world.injected else "the file's own order",
        "appearing": sum(drift.kind == "appears" for drift in world.drifts),
        "policies": sum(drift.kind == "policy" for drift in world.drifts),
    }
