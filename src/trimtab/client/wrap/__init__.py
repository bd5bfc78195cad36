"""Recording what other libraries do, without a change in the app: OpenAI, Anthropic, LangChain, LlamaIndex.

Each module speaks to one library and imports it, if at all, when it is used; the SDK itself needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from trimtab.client.wrap.origin import inference_of

if TYPE_CHECKING:
    from types import ModuleType

    from trimtab.client.client import Client

__all__ = ["Wrapping", "inference_of"]

T = TypeVar("T")


class Wrapping:
    """The part of the client that wraps the clients of model providers."""

    def wrap(self: Client, target: T, *, feature: str | None = None) -> T:  # type: ignore[misc]
        """Record every call of an OpenAI or Anthropic client, sync or async; return that same client.

        `feature` is the one meant when neither `session` nor the call's metadata names one. Calls, streams and
        exceptions are what they were. Wrapping again replaces the first wrapping; `unwrap` ends it. Anything else is
        returned as it is, and counted as an invalid call.
        """
        try:
            module = _module_for(target)
            if module is None:
                self._refuse(f"expected an OpenAI or Anthropic client, got {type(target).__qualname__}")
            else:
                module.wrap(target, self, feature)
        except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
            self._broke(error)
        return target

    def unwrap(self: Client, target: T) -> T:  # type: ignore[misc]
        """Record the calls of `target` no longer; return it."""
        try:
            module = _module_for(target)
            if module is not None:
                module.unwrap(target)
        except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
            self._broke(error)
        return target


def _module_for(target: object) -> ModuleType | None:
    """Return what wraps `target`, told by where its class comes from, so that no library need be imported."""
    from importlib import import_module  # noqa: PLC0415

    for base in type(target).__mro__:
        library = base.__module__.partition(".")[0]
        if library in {"anthropic", "openai"}:
            return import_module(f"trimtab.client.wrap.{library}")
    return None
