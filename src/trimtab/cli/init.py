"""`trimtab init`: a settings file to start from, with every setting in it, commented."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import typer

from trimtab.cli.failure import told_plainly
from trimtab.config import FILE_NAME, Settings, allowed_values, settings_paths
from trimtab.errors import Conflict

__all__ = ["init", "starter"]

_HEAD = """\
# Settings of Trimtab. Every line below shows a default: take away its "# " to change it.
# An environment variable wins over this file: TRIMTAB_SERVER__PORT=9000 sets server.port.
# What each one does: docs/configuration.md"""


def starter() -> str:
    """Return the text of a settings file that names every setting with its default and what it may be."""
    sections = get_type_hints(Settings)
    lines = [_HEAD]
    section = ""
    for path, kind, default in settings_paths():
        name, _, key = path.rpartition(".")
        if name != section:
            section = name
            lines += ["", f"## {_told(sections[name.split('.')[0]])}", f"# [{name}]"]
        shown = _example(kind) if default is None else _toml(default)
        lines.append(f"# {key} = {shown}  # {allowed_values(kind)}")
    return "\n".join(lines) + "\n"


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(),
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite one that is there.")] = False,
) -> None:
    """Write a commented trimtab.toml to start from."""
    with told_plainly():
        file = folder / FILE_NAME
        try:
            with file.open("w" if force else "x", encoding="utf-8") as out:
                out.write(starter())
        except FileExistsError:
            raise Conflict(f"{str(file)!r} is there already; --force overwrites it", param=str(file)) from None
        except OSError as error:
            raise Conflict(f"cannot write {str(file)!r}: {error.strerror}", param=str(file)) from error
    typer.echo(f"Wrote {file}. Next: trimtab doctor, then trimtab serve.")


def _told(section: Any) -> str:
    if isinstance(section, type) and issubclass(section, msgspec.Struct):
        return (inspect.getdoc(section) or "").partition("\n")[0]
    return f"{(inspect.getdoc(get_args(section)[1]) or '').partition(chr(10))[0]} Its name stands in place of NAME."


def _toml(default: Any) -> str:
    """Return a default as TOML; strings, numbers, booleans and lists are written as in JSON."""
    return msgspec.json.encode(default).decode()


def _example(kind: Any) -> str:
    """Return a value that a setting without a default could have."""
    for part in get_args(kind):
        if get_origin(part) is Literal:
            return _toml(get_args(part)[-1])
        if get_origin(part) is tuple:
            return _toml([0.2, 0.1])
        if part is str:
            return _toml("NAME")
        if (get_args(part) or (part,))[0] is int:
            return "1"
    return "0.1"
