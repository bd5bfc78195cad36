"""Responses that come piece by piece: passed on as they come, put together, reported when they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trimtab.client.context import active

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import Self

    from trimtab.client.inference import Capture, Handle

__all__ = ["AsyncStream", "AsyncTap", "Stream", "Tap"]


class _Collector:
    """What has come so far of one response."""

    def __init__(self, capture: Capture, handle: Handle) -> None:
        self.handle = handle
        self._capture = capture
        self._items: list[Any] = []

    def note(self, item: Any) -> Any:
        self._items.append(item)
        return item

    def end(self, error: BaseException | None = None) -> None:
        if self.handle.output is None and self._items:
            self.handle.output = self._capture.joined(self._items)
        self.handle.finish(error)


class Tap:
    """A generator (or any iterator) with its items noted. `yield from` it, and it behaves as the one inside.

    The inference is the current one only while the code inside runs, never in the consumer between two items.
    """

    def __init__(self, capture: Capture, handle: Handle, inner: Any) -> None:
        self._collector, self._inner = _Collector(capture, handle), inner

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._step(self._inner.__next__)

    def send(self, value: Any) -> Any:
        """Resume the generator with `value`."""
        return self._step(self._inner.send, value)

    def throw(self, error: BaseException) -> Any:
        """Raise `error` where the generator waits."""
        return self._step(self._inner.throw, error)

    def close(self) -> None:
        """End early; what has come is the output."""
        try:
            if hasattr(self._inner, "close"):
                self._inner.close()
        finally:
            self._collector.end()

    def _step(self, resume: Callable[..., Any], *args: Any) -> Any:
        try:
            with active(self._collector.handle):
                item = resume(*args)
        except (StopIteration, GeneratorExit):
            self._collector.end()
            raise
        except BaseException as error:
            self._collector.end(error)
            raise
        return self._collector.note(item)


class AsyncTap:
    """The same for an async generator or any async iterator."""

    def __init__(self, capture: Capture, handle: Handle, inner: Any) -> None:
        self._collector, self._inner = _Collector(capture, handle), inner

    async def anext(self) -> Any:
        """Return the next item."""
        return await self._step(self._inner.__anext__())

    async def asend(self, value: Any) -> Any:
        """Resume the generator with `value`."""
        return await self._step(self._inner.asend(value))

    async def athrow(self, error: BaseException) -> Any:
        """Raise `error` where the generator waits."""
        return await self._step(self._inner.athrow(error))

    async def aclose(self) -> None:
        """End early; what has come is the output."""
        try:
            close = getattr(self._inner, "aclose", None) or getattr(self._inner, "close", None)
            if close is not None:
                closing = close()
                if hasattr(closing, "__await__"):
                    await closing
        finally:
            self._collector.end()

    async def _step(self, resumed: Awaitable[Any]) -> Any:
        try:
            with active(self._collector.handle):
                item = await resumed
        except (StopAsyncIteration, GeneratorExit):
            self._collector.end()
            raise
        except BaseException as error:
            self._collector.end(error)
            raise
        return self._collector.note(item)


class Stream:
    """A stream that a decorated function returned: iterates and closes as the original, whose attributes it shows."""

    def __init__(self, tap: Tap, original: Any) -> None:
        self._tap, self._original = tap, original

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._tap)

    def __enter__(self) -> Self:
        if hasattr(self._original, "__enter__"):
            self._original.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        try:
            return self._original.__exit__(*error) if hasattr(self._original, "__exit__") else None
        finally:
            self._tap.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def send(self, value: Any) -> Any:
        """Resume a generator with `value`."""
        return self._tap.send(value)

    def throw(self, error: BaseException) -> Any:
        """Raise `error` where a generator waits."""
        return self._tap.throw(error)

    def close(self) -> None:
        """End early."""
        self._tap.close()


class AsyncStream:
    """The same for an async stream."""

    def __init__(self, tap: AsyncTap, original: Any) -> None:
        self._tap, self._original = tap, original

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Any:
        return await self._tap.anext()

    async def __aenter__(self) -> Self:
        if hasattr(self._original, "__aenter__"):
            await self._original.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> Any:
        try:
            return await self._original.__aexit__(*error) if hasattr(self._original, "__aexit__") else None
        finally:
            await self._tap.aclose()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    async def aclose(self) -> None:
        """End early."""
        await self._tap.aclose()

    async def close(self) -> None:
        """End early."""
        await self._tap.aclose()
