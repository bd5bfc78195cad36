"""Bytes into events. A batch is decoded whole; only when that fails is each event looked at, to name the bad ones."""

from __future__ import annotations

import json
from collections.abc import Generator, Hashable, Iterator, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar, cast

import msgspec
from msgspec import Struct

from trimtab.errors import BodyTooLarge, InputError, InvalidField, MalformedBody, TrimtabError
from trimtab.ingest.explain import explained
from trimtab.records import Event, Feedback, Inference

__all__ = [
    "NDJSON",
    "STEP_BYTES",
    "Decoded",
    "LineReader",
    "Rejection",
    "counted",
    "decode_array",
    "decode_many",
    "decode_one",
    "decode_record",
    "is_lines",
    "refusal",
]

T = TypeVar("T")

NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
_JSON = frozenset({"", "application/json", "text/plain", "text/json"})
_MAX_DEPTH = 64
STEP_BYTES = 128 << 10
"""How much of a body is read, cleaned and packed before other requests have their turn: some milliseconds of work."""

_batch = msgspec.json.Decoder(list[Event])
_lines: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_broken = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Rejection(Struct, frozen=True, kw_only=True):
    """Why one event of a batch was not taken: its place in the batch (from 0), a stable code, and what to do."""

    index: int
    code: str
    message: str
    param: str | None = None


class Decoded(NamedTuple):
    """The events that could be read, each with its place in the batch, and the others with their reasons."""

    events: list[tuple[int, Event]]
    rejected: list[Rejection]

    @property
    def total(self) -> int:
        """How many events there were."""
        return len(self.events) + len(self.rejected)


def is_lines(content_type: str) -> bool:
    """Say whether a body of this content type has one event a line. Raises MalformedBody for neither that nor JSON."""
    mime = content_type.partition(";")[0].strip().lower()
    if mime not in _JSON and mime not in NDJSON:
        raise MalformedBody(
            f"expected content-type 'application/json' or 'application/x-ndjson', got {mime[:60]!r}",
            param="content-type",
        )
    return mime in NDJSON


def decode_many(body: bytes | bytearray, *, content_type: str, event_bytes: int, batch_events: int) -> Decoded:
    """Read a JSON array, or NDJSON when `content_type` says so, of events.

    Raises MalformedBody when the body cannot be taken apart at all, BodyTooLarge for more than `batch_events`.
    """
    if is_lines(content_type):
        reader = LineReader(event_bytes=event_bytes, batch_events=batch_events)
        reader.feed(body)
        return reader.end()
    steps = decode_array(body, event_bytes=event_bytes, batch_events=batch_events)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("Decoded", end.value)


def decode_array(body: bytes | bytearray, *, event_bytes: int, batch_events: int) -> Generator[None, None, Decoded]:
    """Read a JSON array in steps of some milliseconds, between which others may have their turn.

    The generator's value is a `Decoded`. Raises what `decode_many` raises.
    """
    decoded = Decoded([], [])
    if len(body) <= min(event_bytes, STEP_BYTES) and _decode_lot(decoded, body, batch_events):
        return decoded
    items = _taken_apart(body)
    counted(items, batch_events)
    for lot in _lots(items, min(event_bytes, STEP_BYTES)):
        yield
        if len(lot) == 1 or not _decode_lot(decoded, b"[" + b",".join(lot) + b"]", batch_events):
            for item in lot:
                _add(decoded, bytes(item), event_bytes)
    return decoded


def _decode_lot(decoded: Decoded, body: bytes | bytearray, batch_events: int) -> bool:
    """Read a JSON array of events of which none can be too large; False, and nothing read, when one is at fault."""
    try:
        events = _batch.decode(body)
    except _broken:
        return False
    counted(events, batch_events)
    if not all(map(_is_shallow, events)):
        return False
    decoded.events.extend(enumerate(events, decoded.total))
    return True


def _lots(items: Sequence[bytes | msgspec.Raw], most: int) -> Iterator[Sequence[bytes | msgspec.Raw]]:
    """Yield the items in lots of at most so many bytes, one that is larger alone."""
    start = size = 0
    for place, item in enumerate(items):
        length = len(item) + 1
        if place > start and size + length > most:
            yield items[start:place]
            start, size = place, 0
        size += length
    if start < len(items):
        yield items[start:]


class LineReader:
    """Reads NDJSON as it arrives: whole lines at once, so that of the body itself only an unfinished line is held.

    Raises BodyTooLarge for more than `batch_events`; a line over `event_bytes` is rejected alone.
    """

    def __init__(self, *, event_bytes: int, batch_events: int) -> None:
        self._event_bytes = event_bytes
        self._batch_events = batch_events
        self._decoded = Decoded([], [])
        self._rest = bytearray()
        self._skipped = 0

    def feed(self, piece: bytes | bytearray) -> None:
        """Read the next piece of the body."""
        end = piece.rfind(b"\n") + 1
        if end:
            head = piece.find(b"\n") + 1
            if self._rest or self._skipped:
                self._hold(piece[:head])
                self._finish()
            else:
                head = 0
            self._block(piece[head:end] if head or end < len(piece) else piece)
        self._hold(piece[end:])

    def end(self) -> Decoded:
        """Read the last line, which needs no line break, and return all there was."""
        self._finish()
        return self._decoded

    def _hold(self, part: bytes | bytearray) -> None:
        self._rest += part
        if self._skipped or len(self._rest) > self._event_bytes + 2:  # a line's own break is not the event's
            self._skipped += len(self._rest)
            self._rest = bytearray()

    def _finish(self) -> None:
        if self._skipped:
            index = self._decoded.total
            self._decoded.rejected.append(refusal(index, _too_large(self._skipped, self._event_bytes)))
            self._require_few()
        elif self._rest:
            self._block(self._rest)
        self._rest, self._skipped = bytearray(), 0

    def _block(self, block: bytes | bytearray) -> None:
        first = self._decoded.total
        try:
            events = _lines.decode_lines(block) if len(block) <= self._event_bytes else None
        except _broken:
            events = None
        if events is not None and all(map(_is_shallow, events)):
            self._decoded.events.extend(enumerate(events, first))
            self._require_few()
            return
        for line in block.splitlines():
            if line.strip():
                _add(self._decoded, bytes(line), self._event_bytes)
                self._require_few()

    def _require_few(self) -> None:
        if self._decoded.total > self._batch_events:
            raise _too_many(f"more than {self._batch_events}", self._batch_events)


def decode_one(body: bytes | bytearray, kind: Literal["inference", "feedback"], *, event_bytes: int) -> Event:
    """Read one event of a kind; its `type` field may be left out. Raises the InputError that says what is wrong."""
    if len(body) > event_bytes:
        raise _too_large(len(body), event_bytes)
    expected: type[Event] = Inference if kind == "inference" else Feedback
    event = decode_record(body, expected)
    _shallow(event)
    return event


def decode_record(body: bytes | bytearray, kind: type[T]) -> T:
    """Read one JSON object as a `kind`. Raises MalformedBody or InvalidField."""
    try:
        record: T = _decoder(cast("Hashable", kind)).decode(body)
        return record
    except _broken as error:
        raise _reason(error, body, kind) from None


def refusal(index: int, error: TrimtabError) -> Rejection:
    """Return an error as the rejection of one event of a batch."""
    return Rejection(index=index, code=error.code, message=error.message, param=error.param)


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _event(item: bytes, event_bytes: int) -> Event:
    if len(item) > event_bytes:
        raise _too_large(len(item), event_bytes)
    event: Event = decode_record(item, Event)  # type: ignore[arg-type]
    _shallow(event)
    return event


def _add(decoded: Decoded, item: bytes, event_bytes: int) -> None:
    """Read one event of a batch, the next one."""
    index = decoded.total
    try:
        decoded.events.append((index, _event(item, event_bytes)))
    except InputError as error:
        decoded.rejected.append(refusal(index, error))


def _taken_apart(body: bytes | bytearray) -> Sequence[bytes | msgspec.Raw]:
    """Return the elements of a JSON array as they stand in the body."""
    try:
        return _raws.decode(body)
    except msgspec.ValidationError:
        raise MalformedBody(
            "expected a JSON array of events, got another JSON value; send [...], or NDJSON with its content-type"
        ) from None
    except _broken as error:
        first = error
    # Half a surrogate pair or a NaN is the fault of one event; this parser takes both, so that the rest can be kept.
    try:
        items = json.loads(body)
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list):
        raise _reason(first, body, list)
    return [json.dumps(item).encode() for item in items]


def _reason(error: Exception, body: bytes | bytearray, kind: Any) -> InputError:
    if isinstance(error, RecursionError):
        return MalformedBody(f"expected JSON nested at most {_MAX_DEPTH} deep, got deeper; flatten it")
    if isinstance(error, msgspec.ValidationError):
        try:
            value = msgspec.json.decode(body)
        except _broken:  # the value is cut short by a second fault behind the first
            value = None
        return explained(error, value, kind)
    if isinstance(error, UnicodeDecodeError):
        return MalformedBody("expected JSON in UTF-8, got other bytes; encode the body as UTF-8")
    said = str(error).removeprefix("JSON is malformed: ")
    return MalformedBody(f"expected valid JSON, got {len(body)} bytes that are not ({said}); check its encoder")


def counted(items: Sequence[object], most: int) -> None:
    """Raise BodyTooLarge for more than `most` events."""
    if len(items) > most:
        raise _too_many(str(len(items)), most)


def _too_many(got: str, most: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"expected at most {most} events in a batch, got {got}; send smaller batches, or raise ingest.batch_events"
    )


def _too_large(size: int, limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"expected an event of at most {limit} bytes, got {size}; shorten its texts, or raise ingest.event_bytes"
    )


def _shallow(event: Event) -> None:
    if not _is_shallow(event):
        raise InvalidField(f"expected input and output nested at most {_MAX_DEPTH} deep, got deeper; flatten them")


def _is_shallow(event: Event) -> bool:
    if isinstance(event, Feedback):
        return True
    return all(isinstance(part, str | None) or _depth_within(part) for part in (event.input, event.output))


def _depth_within(value: Any) -> bool:
    """Say whether a payload nests at most _MAX_DEPTH deep: what walks it later is recursive."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for part in level
            for child in (part.values() if isinstance(part, dict) else part)
            if isinstance(child, dict | list)
        ]
        if not level:
            return True
    return False
