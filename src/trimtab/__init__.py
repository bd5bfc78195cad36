"""Trimtab closes the loop between what people do with an AI feature and how that feature behaves next.

`import trimtab` gives an application the SDK's names. They are loaded on first use, so that the import alone costs next
to nothing; the engine (`pip install 'trimtab[server]'`) is never loaded by them.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # the name type checkers look for, without the price of importing typing
if TYPE_CHECKING:
    from trimtab.client import Client, edit, inference_of, verify_webhook

    __version__: str

__all__ = ["Client", "__version__", "edit", "inference_of", "verify_webhook"]

_CLIENT = ("Client", "edit", "inference_of", "verify_webhook")


def __getattr__(name: str) -> object:
    if name == "__version__":
        metadata = importlib.import_module("importlib.metadata")
        try:
            return metadata.version("trimtab")
        except metadata.PackageNotFoundError:
            return "0+source"  # run from a source tree that nobody installed
    if name in _CLIENT:
        return getattr(importlib.import_module("trimtab.client"), name)
    raise AttributeError(f"module 'trimtab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
