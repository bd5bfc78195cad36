"""The entry point of the `trimtab` command and of `python -m trimtab`."""

from __future__ import annotations

import importlib
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, or say how to install it: the SDK alone comes without it.

    Exits with status 2 when a package of the server extra is missing.
    """
    try:
        cli = importlib.import_module("trimtab.cli")
    except ModuleNotFoundError as missing:
        # A module of our own that is missing is a bug, and no installation would cure it.
        if missing.name is None or missing.name.partition(".")[0] == "trimtab":
            raise
        sys.stderr.write(
            f"The trimtab command needs the package {missing.name!r}, which is not installed. "
            "It comes with the server extra:\n\n    pip install 'trimtab[server]'\n"
        )
        sys.exit(2)
    cli.app()


if __name__ == "__main__":
    main()
