"""Reading settings: defaults, then the file, then the environment; each knows where it came from."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from trimtab.config.sections import Settings
from trimtab.config.values import Section
from trimtab.errors import ConfigError

__all__ = [
    "FILE_NAME",
    "NAMED",
    "Loaded",
    "allowed_values",
    "load",
    "settings_paths",
    "without_password",
]

FILE_NAME = "trimtab.toml"
_PREFIX = "TRIMTAB_"
NAMED = ("features", "monitors", "notify", "runners")
"""The sections that hold tables with names of their own."""
_NOT_SETTINGS = {"TRIMTAB_URL", "TRIMTAB_KEY", "TRIMTAB_DATA", "TRIMTAB_CONFIG"}


class Loaded(NamedTuple):
    """Settings, and for each path that is not a default, where its value came from."""

    settings: Settings
    sources: dict[str, str]


def load(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read settings from `path` (or ./trimtab.toml when it exists) and the environment.

    Raises ConfigError naming key, source and what is allowed there.
    """
    environ = os.environ if environ is None else environ
    named = path or (Path(environ["TRIMTAB_CONFIG"]) if environ.get("TRIMTAB_CONFIG") else None)
    file = named or Path(FILE_NAME)
    tree: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if named is not None or file.exists():
        tree = _read(file)
        sources.update({key: str(file) for key in _leaves(tree)})
        _check(tree, str(file))
    for variable, text in environ.items():
        if variable.startswith(_PREFIX) and variable not in _NOT_SETTINGS:
            parts = variable.removeprefix(_PREFIX).split("__")
            if parts[0].lower() in NAMED:  # a feature's name keeps its case
                parts = [parts[0].lower(), *parts[1:-1], parts[-1].lower()]
            else:
                parts = [part.lower() for part in parts]
            _place(tree, parts, text, variable)
            sources[".".join(parts)] = variable
    try:
        return Loaded(msgspec.convert(tree, Settings, strict=False), sources)
    except msgspec.ValidationError as error:
        raise _explain(error, tree, sources) from error


def settings_paths(section: type[Struct] = Settings, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted path, type, default) of every setting; what has a name of its own as `features.NAME.KEY`."""
    hints = get_type_hints(section, include_extras=True)
    for info in msgspec.structs.fields(section):
        kind = hints[info.name]
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from settings_paths(kind, f"{prefix}{info.name}.")
        elif get_origin(kind) is dict:
            yield from settings_paths(get_args(kind)[1], f"{prefix}{info.name}.NAME.")
        else:
            yield f"{prefix}{info.name}", kind, info.default


def without_password(url: str) -> str:
    """Return a database's URL as it may be shown.

    >>> without_password("postgresql://trimtab:s3cret@db:5432/trimtab")
    'postgresql://trimtab:***@db:5432/trimtab'
    """
    return re.sub(
        r"(://[^:/@]*):[^/]*@|(password=)[^&]*", lambda found: f"{found[1]}:***@" if found[1] else f"{found[2]}***", url
    )


def allowed_values(kind: Any) -> str:
    """Return in words what a setting of this type may be."""
    if get_origin(kind) is Literal:
        return ", ".join(map(repr, get_args(kind)))
    if get_origin(kind) is Annotated:
        inner, *metas = get_args(kind)
        bounds = [
            f"{sign} {getattr(meta, name)}"
            for meta in metas
            if isinstance(meta, Meta)
            for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
            if getattr(meta, name) is not None
        ]
        return f"{inner.__name__} {' and '.join(bounds)}"
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        number = "" if others == [...] else f" {1 + len(others)}"
        return f"a list of{number}: {allowed_values(first)}"
    parts = [allowed_values(part) for part in get_args(kind) if part is not type(None)]
    return " or ".join(parts) if parts else getattr(kind, "__name__", str(kind))


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"expected a settings file at {str(file)!r}, found none; `trimtab init` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {str(file)!r}: {error}", param=str(file)) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{str(file)!r} is not valid TOML: {error}", param=str(file)) from error


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _known(dotted: str) -> str | None:
    """Return the declared path that `dotted` is, with the feature's own name put back to NAME."""
    parts = dotted.split(".")
    if parts[0] in NAMED and len(parts) > 3:  # the name has dots of its own
        parts = [parts[0], ".".join(parts[1:-1]), parts[-1]]
    if parts[0] in NAMED and len(parts) == 3:
        parts[1] = "NAME"
    name = ".".join(parts)
    return name if name in {path for path, _, _ in settings_paths()} else None


def _check(tree: Mapping[str, Any], source: str) -> None:
    for dotted in _leaves(tree):
        if _known(dotted) is None:
            raise _unknown(dotted, source)


def _unknown(dotted: str, source: str) -> ConfigError:
    paths = [path for path, _, _ in settings_paths()]
    near = difflib.get_close_matches(dotted, paths, n=1, cutoff=0.5)
    hint = (
        f"did you mean {near[0]!r}?" if near else f"sections are {', '.join(sorted({p.split('.')[0] for p in paths}))}"
    )
    return ConfigError(f"unknown setting {dotted!r} in {source}; {hint}", param=dotted)


def _place(tree: dict[str, Any], parts: list[str], text: str, variable: str) -> None:
    dotted = ".".join(parts)
    if _known(dotted) is None:
        raise _unknown(dotted, f"the environment ({variable})")
    for section in parts[:-1]:
        tree = tree.setdefault(section, {})
    tree[parts[-1]] = [part.strip() for part in text.split(",") if part.strip()] if _is_list(dotted) else text


def _is_list(dotted: str) -> bool:
    kind = {path: kind for path, kind, _ in settings_paths()}[str(_known(dotted))]
    return any(get_origin(part) is tuple for part in (kind, *get_args(kind)))


def _explain(error: msgspec.ValidationError, tree: Mapping[str, Any], sources: Mapping[str, str]) -> ConfigError:
    message, _, path = str(error).partition(" - at `$.")
    dotted = path.rstrip("`").replace("[...]", ".NAME").split("[")[0]
    declared = {name: kind for name, kind, _ in settings_paths()}
    value: Any = tree
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    known = _known(dotted)
    allowed = allowed_values(declared[known]) if known else ""
    source = sources.get(dotted, FILE_NAME)
    if ".NAME." in dotted:  # the message does not say which feature it was
        return ConfigError(f"{dotted} in {source}: {message[0].lower()}{message[1:]}; allowed: {allowed}", param=dotted)
    hint = f"; allowed: {allowed}" if allowed else ""
    return ConfigError(f"{dotted} = {value!r} in {source}: {message[0].lower()}{message[1:]}{hint}", param=dotted)
