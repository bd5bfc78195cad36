"""Putting recording functions over the methods of one object, and taking them off again."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from trimtab.client.wrap.recording import Reading, begin, given, guarded
from trimtab.client.wrap.stream import watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trimtab.client.client import Client
    from trimtab.client.wrap.recording import Asked, Recording

__all__ = ["cover", "found", "recorded", "uncover"]

_RAW = "x-stainless-raw-response"
_VIEWS = ("with_raw_response", "with_streaming_response")


def found(owner: Any, path: str) -> Any:
    """Return what `path` ("chat.completions") leads to, None when this version of the library has no such thing."""
    for name in path.split(".") if path else ():
        owner = getattr(owner, name, None)
    return owner


def cover(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put `make(original)` in the place of a method of this one object, if it has it; what we put there before goes."""
    uncover(owner, (name,))
    original = getattr(owner, name, None)
    if original is None:
        return
    made: Any = functools.wraps(original)(make(original))
    made.trimtab_covers = vars(owner).get(name)
    setattr(owner, name, made)


def uncover(owner: Any, names: Iterable[str]) -> None:
    """Take off what `cover` put on, and let views that were made of the methods be made anew."""
    for name in _VIEWS:
        vars(owner).pop(name, None)
    for name in names:
        made = vars(owner).get(name)
        if not hasattr(made, "trimtab_covers"):
            continue
        if made.trimtab_covers is None:
            delattr(owner, name)
        else:
            setattr(owner, name, made.trimtab_covers)


def recorded(
    client: Client,
    feature: str | None,
    *,
    asks: Callable[[dict[str, Any]], Asked],
    tells: Callable[[Any], Reading],
    joins: Callable[[list[Any]], Reading],
) -> Callable[[Any], Any]:
    """Return what makes a recording function of an API method, sync or async, streaming or not.

    `asks` reads the keywords of the call, `tells` its answer, `joins` the events of a stream.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            how = _raw(options)
            if how == "stream":  # the app reads the body itself, piece by piece
                return original(*args, **options)
            options = guarded(client, lambda: _kept(options)) or options
            recording = begin(client, feature, guarded(client, lambda: asks(options))) if not args else None
            if recording is None:
                return original(*args, **options)
            answered = _Answered(client, recording, tells, joins)
            try:
                result = original(*args, **options)
            except BaseException as error:
                answered.failed(error)
                raise
            if hasattr(result, "__await__"):
                return answered.awaited(result, raw=bool(how))
            return answered.raw(result) if how else answered.plain(result)

        return call

    return make


class _Answered:
    """What is done with the outcome of a call; the app gets what the library gave."""

    def __init__(
        self,
        client: Client,
        recording: Recording,
        tells: Callable[[Any], Reading],
        joins: Callable[[list[Any]], Reading],
    ) -> None:
        self._client, self._recording, self._tells, self._joins = client, recording, tells, joins

    def failed(self, error: BaseException) -> None:
        guarded(self._client, lambda: self._recording.done(Reading(), error))

    async def awaited(self, awaitable: Any, *, raw: bool) -> Any:
        try:
            result = await awaitable
        except BaseException as error:
            self.failed(error)
            raise
        if not raw:
            return self.plain(result)
        return await self._raw_async(result)

    def plain(self, result: Any) -> Any:
        if hasattr(result, "__next__") or hasattr(result, "__anext__"):
            return guarded(self._client, lambda: watched(self._recording, result, self._joins)) or result
        guarded(self._client, lambda: self._note(result))
        return result

    def raw(self, result: Any) -> Any:
        """Record a response whose headers the app wants to see; it parses the body once, for the app and for us."""
        parsed = guarded(self._client, result.parse)
        if parsed is not None:
            kept = self.plain(parsed)
            if kept is not parsed:
                guarded(self._client, lambda: setattr(result, "parse", lambda **_: kept))
        return result

    async def _raw_async(self, result: Any) -> Any:
        parsed: Any = None
        try:
            parsed = result.parse()
            if not hasattr(parsed, "__await__"):
                return self.raw(result)
            parsed = await parsed
            kept = self.plain(parsed)
        except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
            self._client._broke(error)  # noqa: SLF001 the two halves of one recording
            return result

        async def again(**_: Any) -> Any:
            return kept

        if kept is not parsed:
            guarded(self._client, lambda: setattr(result, "parse", again))
        return result

    def _note(self, result: Any) -> None:
        self._recording.mark(result)
        self._recording.done(self._tells(result))


def _raw(options: dict[str, Any]) -> str | None:
    """Return how the app asked for the response itself instead of its content: "true", "raw" or "stream"."""
    headers = given(options.get("extra_headers"))
    if not isinstance(headers, dict):
        return None
    return next((str(value) for name, value in headers.items() if str(name).lower() == _RAW), None)


def _kept(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with messages that could be read only once made a list, for the library and for us."""
    for name in ("messages", "input"):
        if hasattr(options.get(name), "__next__"):
            options = {**options, name: list(options[name])}
    return options
