"""Streams of wrapped calls: what they were to the app, read along, recorded when they end."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from trimtab.client.stream import AsyncStream, Stream
from trimtab.client.wrap.recording import Reading, guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trimtab.client.wrap.recording import Recording

__all__ = ["AsyncManaged", "Managed", "watched"]

_OPENED: ContextVar[list[_Reader] | None] = ContextVar("trimtab_opened", default=None)


class _Reader:
    """What has come so far of one stream."""

    def __init__(self, recording: Recording, read: Callable[[list[Any]], Reading]) -> None:
        self._recording, self._read = recording, read
        self._items: list[Any] = []

    def note(self, item: Any) -> Any:
        self._items.append(item)
        self.made(item)
        return item

    def made(self, stream: Any) -> None:
        guarded(self._recording.client, lambda: self._recording.mark(stream))

    def end(self, error: BaseException | None = None) -> None:
        client, items = self._recording.client, self._items
        reading = guarded(client, lambda: self._read(items)) or Reading()
        guarded(client, lambda: self._recording.done(reading, error))


class _Tap:
    """A stream with its items noted."""

    def __init__(self, reader: _Reader, inner: Any) -> None:
        self._reader, self._inner = reader, inner

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            item = next(self._inner)
        except StopIteration:
            self._reader.end()
            raise
        except BaseException as error:
            self._reader.end(error)
            raise
        return self._reader.note(item)

    def close(self) -> None:
        """End early; what has come is the output."""
        try:
            self._inner.close()
        finally:
            self._reader.end()


class _AsyncTap:
    """The same for an async stream."""

    def __init__(self, reader: _Reader, inner: Any) -> None:
        self._reader, self._inner = reader, inner

    async def anext(self) -> Any:
        """Return the next item."""
        try:
            item = await anext(self._inner)
        except StopAsyncIteration:
            self._reader.end()
            raise
        except BaseException as error:
            self._reader.end(error)
            raise
        return self._reader.note(item)

    async def aclose(self) -> None:
        """End early; what has come is the output."""
        try:
            await self._inner.close()
        finally:
            self._reader.end()


class _Posing:
    """Passes for the stream inside, also in isinstance; one that is dropped half-read is recorded then."""

    _original: Any
    _reader: _Reader

    @property
    def __class__(self) -> type:
        return type(self._original)

    @__class__.setter
    def __class__(self, other: type) -> None:
        raise TypeError(f"expected the class to stay, got {other!r}")

    def __del__(self) -> None:
        self._reader.end()


class _Watched(_Posing, Stream):
    def __init__(self, reader: _Reader, original: Any) -> None:
        Stream.__init__(self, _Tap(reader, original), original)  # type: ignore[arg-type]
        self._reader = reader


class _AsyncWatched(_Posing, AsyncStream):
    def __init__(self, reader: _Reader, original: Any) -> None:
        AsyncStream.__init__(self, _AsyncTap(reader, original), original)  # type: ignore[arg-type]
        self._reader = reader


def watched(recording: Recording, stream: Any, read: Callable[[list[Any]], Reading]) -> Any:
    """Return `stream` with its items noted; `read` says what they tell together when it ends."""
    reader = _Reader(recording, read)
    made = _AsyncWatched(reader, stream) if hasattr(stream, "__anext__") else _Watched(reader, stream)
    recording.mark(made)
    opened = _OPENED.get()
    if opened is not None:
        opened.append(reader)
    return made


class Managed:
    """A `.stream(...)` helper of a library: the streams it opens end with its block at the latest."""

    def __init__(self, original: Any) -> None:
        self._original = original
        self._readers: list[_Reader] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __enter__(self) -> Any:
        token = _OPENED.set(self._readers)
        try:
            stream = self._original.__enter__()
        finally:
            _OPENED.reset(token)
        self._know(stream)
        return stream

    def __exit__(self, *error: object) -> Any:
        try:
            return self._original.__exit__(*error)
        finally:
            self._end()

    def _know(self, stream: Any) -> None:
        for reader in self._readers:
            reader.made(stream)

    def _end(self) -> None:
        for reader in self._readers:
            reader.end()


class AsyncManaged(Managed):
    """The same for `async with`."""

    async def __aenter__(self) -> Any:
        token = _OPENED.set(self._readers)
        try:
            stream = await self._original.__aenter__()
        finally:
            _OPENED.reset(token)
        self._know(stream)
        return stream

    async def __aexit__(self, *error: object) -> Any:
        try:
            return await self._original.__aexit__(*error)
        finally:
            self._end()
