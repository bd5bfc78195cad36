"""Where a command works: which settings file, which data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from trimtab.config import Loaded, Storage, load

__all__ = ["ConfigOption", "DataOption", "loaded"]

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file; ./trimtab.toml where there is one.", show_default=False)
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Directory of everything durable (storage.path).", show_default=False)
]


def loaded(config: Path | None, data: Path | None) -> Loaded:
    """Load the settings; `data`, where given, wins over what they say. Raises ConfigError."""
    found = load(config)
    if data is None:
        return found
    settings = msgspec.structs.replace(found.settings, storage=Storage(path=str(data)))
    return Loaded(settings, {**found.sources, "storage.path": "--data"})
