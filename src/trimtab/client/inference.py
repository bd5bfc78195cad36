"""One AI response as the app makes it: a `with` block or a decorated function that reports itself when it ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from trimtab.client.context import CURRENT, SCOPE, Scope
from trimtab.client.version import Resolved, Version

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from types import TracebackType

    from trimtab.client.client import Client
    from trimtab.client.version import Arm

__all__ = ["TELLABLE", "Capture", "Handle"]

F = TypeVar("F", bound="Callable[..., Any]")
_ERROR_CHARS = 10_000
TELLABLE = frozenset({
    "context", "cost_usd", "error", "external_id", "input", "input_tokens", "latency_ms", "model", "output",
    "output_tokens", "session", "span_id", "tags", "trace_id", "user",
})  # fmt: skip


class Handle:
    """An inference in the making. Set what is known; it is reported once, when the block or the call ends.

    Every attribute may be set at any time before that: `output` (text, list or object), `model`, `input_tokens`,
    `output_tokens`, `cost_usd`, `external_id`, `trace_id`, `span_id`, `error`; `tags` and `context` are filled in place
    (`chunk` adds a retrieved document). The latency is measured. `id` is the inference id to give feedback on.
    """

    id: str
    feature: str
    input: Any = None
    output: Any = None
    user: str | None = None
    session: str | None = None
    model: str | None = None
    external_id: str | None = None
    trace_id: str | int | None = None
    span_id: str | int | None = None
    latency_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    error: str | None = None
    version_id: str | None = None
    lent: Any = None
    """The output that a wrapped call gave; another such call may replace it, what the app sets stays."""
    _arm: Arm | None = None
    _resolved: Resolved | None = None
    _reported = False

    def __init__(
        self,
        client: Client,
        feature: str,
        *,
        id: str,  # noqa: A002 the word of the record
        started_at: int,
        measure: bool,
        **known: Any,
    ) -> None:
        self._client, self.started_at = client, started_at
        self._clock = time.perf_counter() if measure else None
        self.id = id
        self.feature = feature
        if not known.keys() <= TELLABLE:
            raise TypeError(f"unknown keywords {sorted(known.keys() - TELLABLE)}; known are {sorted(TELLABLE)}")
        tags, context = known.pop("tags", None), known.pop("context", None)
        self.__dict__.update(known)
        self.tags: dict[str, Any] = dict(tags) if tags else {}
        self.context: list[Any] = list(context) if context else []

    @property
    def version(self) -> Version | None:
        """The Version this user is served; asked for on first use, None when none is known."""
        return self.resolve().version

    @property
    def arm(self) -> Arm | None:
        """The arm this user is in: stable, candidate or holdback; None when nothing is known."""
        return self._arm or self.resolve().arm

    @property
    def pinned_arm(self) -> Arm | None:
        """The arm to report: None when nobody asked which version to serve."""
        return self._arm

    def resolve(self) -> Resolved:
        """Return what this user is served; the same answer for the whole inference, even if a rollout moves on."""
        if self._resolved is None or self._resolved.version is None:
            self.pin(self._client.resolve(self.feature, user=self.user, session=self.session))
        return self._resolved or Resolved()

    def pin(self, served: Resolved | Version | str | None, arm: Arm | None = None) -> None:
        """Say which Version made this response; without it, the one that `resolve` or `prompt` gave is reported."""
        if isinstance(served, Resolved):
            self._resolved = served
            self.version_id, self._arm = (served.version.id if served.version else None), served.arm
        elif served is not None:
            self.version_id, self._arm = (served.id if isinstance(served, Version) else str(served)), arm

    def serves(self, feature: str, unit: str | None) -> Resolved | None:
        """Return what was pinned, if this inference is about `feature` and `unit`."""
        if self.feature != feature or unit != (self.user or self.session):
            return None
        return self._resolved if self._resolved and self._resolved.version else None

    def belongs(self, client: Client) -> bool:
        """Say whether this is an inference of `client` that is still open."""
        return self._client is client and not self._reported

    def chunk(self, id: str, *, text: str | None = None, score: float | None = None) -> None:  # noqa: A002
        """Add a retrieved document, or part of one, that the model was shown."""
        self.context.append({"id": id, "text": text, "score": score})

    def finish(self, error: BaseException | None = None) -> None:
        """Report this inference now; done once, by itself at the end of the block. Never raises outside strict mode."""
        if self._reported:
            return
        self._reported = True
        if self.latency_ms is None and self._clock is not None:
            self.latency_ms = (time.perf_counter() - self._clock) * 1e3
        if error is not None and self.error is None:
            self.error = _words_of(error)
        self._client._report(self)  # noqa: SLF001 the two halves of one recording


class Capture:
    """What `client.inference(...)` returns: enter it with `with` or `async with`, or put it over a function."""

    def __init__(
        self, client: Client, feature: str | None, join: Callable[[list[Any]], Any] | None, known: Any
    ) -> None:
        self._client, self._feature, self._join, self._known = client, feature, join, known
        self._open: list[tuple[Handle, Token[Any], Token[Any]]] = []

    def begin(self, call_input: Any = None) -> Handle:
        """Start one inference; `call_input` is what a decorated function was called with."""
        known = self._known if self._known.get("input") is not None else {**self._known, "input": call_input}
        return self._client._begin(self._feature, known)  # noqa: SLF001 the two halves of one recording

    def joined(self, items: list[Any]) -> Any:
        """Return the output that the `items` of a stream make: texts joined, others as a list, or what `join` says."""
        if self._join is not None:
            return self._join(items)
        return "".join(items) if all(isinstance(item, str) for item in items) else items

    def __enter__(self) -> Handle:
        handle = self.begin()
        scope = Scope(handle.session, handle.user, handle.feature or None)
        self._open.append((handle, CURRENT.set(handle), SCOPE.set(scope)))
        return handle

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        handle, current, scope = self._open.pop()
        try:
            SCOPE.reset(scope)
            CURRENT.reset(current)
        except ValueError:
            pass  # left in another context than it was entered; nothing is to be undone there
        handle.finish(error)
        return False

    async def __aenter__(self) -> Handle:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        return self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """Return `function` recording each of its calls: plain, async, generators of both kinds, returned streams."""
        from trimtab.client.wrapping import wrap  # noqa: PLC0415 it needs inspect, which is large

        return wrap(self, function)


def _words_of(error: BaseException) -> str:
    try:
        return f"{type(error).__qualname__}: {error}"[:_ERROR_CHARS]
    except Exception:  # noqa: BLE001 an exception whose text cannot be made is still an exception
        return type(error).__qualname__
