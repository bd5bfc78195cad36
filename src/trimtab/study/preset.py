"""What a study runs, fixed in a file before it is run: the worlds, and in each world its cells."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from trimtab.errors import InputError, UnreadableFile
from trimtab.study.arms import ArmName, Labour
from trimtab.study.queue import QueueKind
from trimtab.study.world import Dials

__all__ = ["Cell", "Preset", "names", "read_preset"]

CellName = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,40}$(?!\n)")]


class Cell(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way of working in one kind of world: an arm, its queue, and the dials that differ from the preset's.

    `asks`: whether reviewers look at old examples of answers that seem out of date.
    """

    name: CellName
    arm: ArmName
    queue: QueueKind = "desk"
    asks: bool = True
    dials: dict[str, Any] = {}


class Preset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole study. The world of a seed is the same for all cells but for their own dials.

    The `product` learns from examples of labelled texts, or answers from documents of its own.
    """

    worlds: Annotated[int, Meta(ge=1, le=1000)]
    cells: Annotated[list[Cell], Meta(min_length=1)]
    first_seed: Annotated[int, Meta(ge=0)] = 0
    dials: Dials = msgspec.field(default_factory=Dials)
    labour: Labour = msgspec.field(default_factory=Labour)
    product: Literal["examples", "documents"] = "examples"

    @property
    def seeds(self) -> range:
        """The seeds of the worlds."""
        return range(self.first_seed, self.first_seed + self.worlds)

    def dials_of(self, cell: Cell, seed: int) -> Dials:
        """Return all dials of a cell's world. Raises InputError for one that there is not."""
        told = {**msgspec.structs.asdict(self.dials), **cell.dials, "seed": seed}
        try:
            return msgspec.convert(told, _StrictDials)
        except msgspec.ValidationError as error:
            raise InputError(f"expected dials of a study in cell {cell.name!r}, but {error}", param="preset") from error


class _StrictDials(Dials, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dials that refuse a name they do not have."""


def names() -> list[str]:
    """Return the presets that are part of the package."""
    return sorted(file.name.removesuffix(".toml") for file in (files(__package__) / "presets").iterdir())


def read_preset(told: str) -> Preset:
    """Return the preset of that name, or of that file. Raises UnreadableFile for one that cannot be read."""
    if told in names():
        text = (files(__package__) / "presets" / f"{told}.toml").read_text(encoding="utf-8")
    else:
        try:
            text = Path(told).read_text(encoding="utf-8")
        except OSError as error:
            raise UnreadableFile(
                f"expected one of {', '.join(names())} or a file, got {told!r}: {error.strerror}", param="preset"
            ) from error
    try:
        preset = msgspec.convert(tomllib.loads(text), Preset)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UnreadableFile(f"expected a preset in {told!r}, but {error}", param="preset") from error
    for cell in preset.cells:
        preset.dials_of(cell, preset.first_seed)
    if len({cell.name for cell in preset.cells}) < len(preset.cells):
        raise UnreadableFile(f"expected a name of its own for each cell in {told!r}", param="preset")
    return preset
