"""Decorated functions: each call is an inference, whatever kind of function it is."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from trimtab.client.context import active
from trimtab.client.stream import AsyncStream, AsyncTap, Stream, Tap

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from trimtab.client.inference import Capture, Handle

__all__ = ["wrap"]

F = TypeVar("F", bound="Callable[..., Any]")


def wrap(capture: Capture, function: F) -> F:
    """Return `function` with its calls recorded: the arguments as input, what it returns or yields as output.

    One argument (besides self and cls) is the input itself; several make an object by parameter name. A generator
    stays a generator (send, throw and close work), a returned stream stays a stream; both are recorded when they end,
    also when they are closed early. Exceptions are recorded as error and go on.
    """
    if inspect.isasyncgenfunction(function):
        made = _async_generator(capture, function)
    elif inspect.iscoroutinefunction(function):
        made = _coroutine(capture, function)
    elif inspect.isgeneratorfunction(function):
        made = _generator(capture, function)
    else:
        made = _plain(capture, function)
    return functools.wraps(function)(made)  # type: ignore[return-value]


def _plain(capture: Capture, function: Callable[..., Any]) -> Callable[..., Any]:
    asked = _Arguments(function)

    def call(*args: Any, **options: Any) -> Any:
        handle = capture.begin(asked(args, options))
        try:
            with active(handle):
                result = function(*args, **options)
        except BaseException as error:
            handle.finish(error)
            raise
        if inspect.iscoroutine(result) or inspect.isawaitable(result):
            return _awaited(capture, handle, result)
        return _ended(capture, handle, result)

    return call


def _coroutine(capture: Capture, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    asked = _Arguments(function)

    async def call(*args: Any, **options: Any) -> Any:
        return await _awaited(capture, capture.begin(asked(args, options)), function(*args, **options))

    return call


def _generator(capture: Capture, function: Callable[..., Any]) -> Callable[..., Any]:
    asked = _Arguments(function)

    def call(*args: Any, **options: Any) -> Generator[Any, Any, Any]:
        return (yield from Tap(capture, capture.begin(asked(args, options)), function(*args, **options)))

    return call


def _async_generator(capture: Capture, function: Callable[..., Any]) -> Callable[..., Any]:
    asked = _Arguments(function)

    async def call(*args: Any, **options: Any) -> AsyncGenerator[Any, Any]:
        tap = AsyncTap(capture, capture.begin(asked(args, options)), function(*args, **options))
        step = tap.asend(None)
        while True:
            try:
                item = await step
            except StopAsyncIteration:
                return
            try:
                sent = yield item
            except GeneratorExit:
                await tap.aclose()
                raise
            except BaseException as error:  # noqa: BLE001 it belongs to the generator inside
                step = tap.athrow(error)
            else:
                step = tap.asend(sent)

    return call


async def _awaited(capture: Capture, handle: Handle, awaitable: Awaitable[Any]) -> Any:
    try:
        with active(handle):
            result = await awaitable
    except BaseException as error:
        handle.finish(error)
        raise
    return _ended(capture, handle, result)


def _ended(capture: Capture, handle: Handle, result: Any) -> Any:
    """Report the inference with `result` as its output, or once the stream that it is has ended."""
    if hasattr(result, "__anext__"):
        return AsyncStream(AsyncTap(capture, handle, result), result)
    if hasattr(result, "__next__"):
        return Stream(Tap(capture, handle, result), result)
    if handle.output is None:
        handle.output = result
    handle.finish()
    return result


class _Arguments:
    """Turns a call's arguments into the input of the inference."""

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):  # some built-in functions tell nothing
            self._signature = None

    def __call__(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        told: dict[str, Any]
        if self._signature is None:
            told = {**{str(at): value for at, value in enumerate(args)}, **options}
        else:
            try:
                told = dict(self._signature.bind(*args, **options).arguments)
            except TypeError:  # the call itself will say so
                told = dict(options)
        told.pop("self", None)
        told.pop("cls", None)
        return next(iter(told.values())) if len(told) == 1 else told
