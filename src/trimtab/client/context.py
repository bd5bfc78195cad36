"""Session, user and feature of the request at hand; each thread and task has its own."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from trimtab.client.inference import Handle

__all__ = ["CURRENT", "SCOPE", "Scope", "Within", "active"]


class Scope(NamedTuple):
    """What is known of the request at hand."""

    session: str | None = None
    user: str | None = None
    feature: str | None = None


SCOPE: ContextVar[Scope] = ContextVar("trimtab_scope", default=Scope())  # noqa: B039 a tuple never changes
CURRENT: ContextVar[Handle | None] = ContextVar("trimtab_inference", default=None)


class Within:
    """Sets context variables for the time of a `with` block."""

    __slots__ = ("_set", "_tokens")

    def __init__(self, *pairs: tuple[ContextVar[Any], Any]) -> None:
        self._set = pairs
        self._tokens: list[tuple[ContextVar[Any], Token[Any]]] = []

    def __enter__(self) -> None:
        self._tokens = [(variable, variable.set(value)) for variable, value in self._set]

    def __exit__(self, *_: object) -> None:
        for variable, token in self._tokens:
            try:
                variable.reset(token)
            except ValueError:
                # Some frameworks leave a block in another context than they entered it; nothing is to be undone there.
                continue


def active(handle: Handle) -> Within:
    """Make `handle` the inference at hand, and its session, user and feature those of the request."""
    return Within((CURRENT, handle), (SCOPE, Scope(handle.session, handle.user, handle.feature or None)))
