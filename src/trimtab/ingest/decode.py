"""Bytes into events. A batch is decoded whole; only when that fails is each event looked at, to name the bad ones."""

from __future__ import annotations

import json
import zlib
from collections.abc import Hashable, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar, cast

import msgspec
from msgspec import Struct

from trimtab.errors import BodyTooLarge, InputError, InvalidField, MalformedBody, TrimtabError
from trimtab.ingest.explain import explained
from trimtab.records import Event, Feedback, Inference

__all__ = [
    "NDJSON",
    "Decoded",
    "Rejection",
    "counted",
    "decode_many",
    "decode_one",
    "decode_record",
    "inflate",
    "refusal",
]

T = TypeVar("T")

NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
_JSON = frozenset({"", "application/json", "text/plain", "text/json"})
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_MAX_DEPTH = 64

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


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the body as it was before its content encoding ('' or 'identity', 'gzip'), at most `limit` bytes.

    Raises MalformedBody for damaged data or another encoding, BodyTooLarge before more than `limit` bytes are made.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return _within(body, limit)
    if encoding != "gzip":
        raise MalformedBody(
            f"expected content-encoding 'gzip' or none, got {encoding[:40]!r}", param="content-encoding"
        )
    stream = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = _within(stream.decompress(body, limit + 1), limit)
    except zlib.error as error:
        raise MalformedBody(
            f"expected a gzip stream, got damaged data ({error}); compress it again", param="content-encoding"
        ) from None
    if not stream.eof or stream.unused_data:
        what = "data after its end" if stream.eof else "one that ends too early"
        raise MalformedBody(f"expected one whole gzip stream, got {what}", param="content-encoding")
    return plain


def decode_many(body: bytes, *, content_type: str, event_bytes: int, batch_events: int) -> Decoded:
    """Read a JSON array, or NDJSON when `content_type` says so, of events.

    Raises MalformedBody when the body cannot be taken apart at all, BodyTooLarge for more than `batch_events`.
    """
    mime = content_type.partition(";")[0].strip().lower()
    if mime not in _JSON and mime not in NDJSON:
        raise MalformedBody(
            f"expected content-type 'application/json' or 'application/x-ndjson', got {mime[:60]!r}",
            param="content-type",
        )
    lines = mime in NDJSON
    if len(body) <= event_bytes:  # then no event can be over its own limit
        try:
            events = _lines.decode_lines(body) if lines else _batch.decode(body)
        except _broken:
            pass
        else:
            counted(events, batch_events)
            if all(map(_is_shallow, events)):
                return Decoded(list(enumerate(events)), [])
    items = [line for line in body.splitlines() if line.strip()] if lines else _taken_apart(body)
    counted(items, batch_events)
    rejected: list[Rejection] = []
    read: list[tuple[int, Event]] = []
    for index, item in enumerate(items):
        try:
            read.append((index, _event(bytes(item), event_bytes)))
        except InputError as error:
            rejected.append(refusal(index, error))
    return Decoded(read, rejected)


def decode_one(body: bytes, kind: Literal["inference", "feedback"], *, event_bytes: int) -> Event:
    """Read one event of a kind; its `type` field may be left out. Raises the InputError that says what is wrong."""
    if len(body) > event_bytes:
        raise _too_large(len(body), event_bytes)
    expected: type[Event] = Inference if kind == "inference" else Feedback
    event = decode_record(body, expected)
    _shallow(event)
    return event


def decode_record(body: bytes, kind: type[T]) -> T:
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


def _taken_apart(body: bytes) -> Sequence[bytes | msgspec.Raw]:
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


def _reason(error: Exception, body: bytes, kind: Any) -> InputError:
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


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise BodyTooLarge(
            f"expected a body of at most {limit} bytes, uncompressed, got more; send smaller batches, "
            "or raise server.body_bytes"
        )
    return body


def counted(items: Sequence[object], most: int) -> None:
    """Raise BodyTooLarge for more than `most` events."""
    if len(items) > most:
        raise BodyTooLarge(
            f"expected at most {most} events in a batch, got {len(items)}; send smaller batches, "
            "or raise ingest.batch_events"
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
