"""The whole way of an event in one place: decode, admit, clean, store; the answer means durable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

import structlog
from msgspec import Struct

from trimtab.clock import Clock
from trimtab.config import Ingest
from trimtab.errors import ErasedPerson, ForbiddenKey, InputError, RedactionFailed, TrimtabError
from trimtab.ingest.admit import Admission, Late
from trimtab.ingest.body import Body, Incoming
from trimtab.ingest.decode import Decoded, LineReader, Rejection, counted, decode_many, decode_one, is_lines, refusal
from trimtab.ingest.journal import Journal
from trimtab.ingest.otlp.answer import TracesAnswer
from trimtab.ingest.otlp.mapping import Found, inferences
from trimtab.ingest.otlp.wire import Encoding, decode_spans, encoding_of
from trimtab.ingest.sender import APP, Sender
from trimtab.records import Event, Feedback, Inference, Redacted
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import Cleaner, seal, seal_all, withhold
from trimtab.store.ports import Arrival, HotStore

__all__ = ["Intake", "Receipt", "Tally"]

_BODY_BYTES = 8 << 20
_SMALL_BYTES = 64 << 10
_ERASED = "this is of a person who was erased, or about what was erased with one, and is not kept; send it no more"


class Receipt(Struct, frozen=True, kw_only=True):
    """What became of a batch: accepted events are durable, duplicates already were, each rejected one says why."""

    accepted: int
    duplicates: int
    rejected: list[Rejection]


class Tally:
    """What came in since the start, for the metrics."""

    def __init__(self) -> None:
        self.accepted = 0
        self.duplicates = 0
        self.rejected: Counter[str] = Counter()
        self.withheld = 0  # events stored without their words, which could not be cleaned


class _Clean(NamedTuple):
    arrivals: list[Arrival]
    places: list[int]  # of the arrivals among the events that were sent
    rejected: list[Rejection]
    errors: list[TrimtabError]


class Intake:
    """Takes events in. `on_stored`, when set, is called after each batch with something new in it."""

    def __init__(
        self,
        store: HotStore,
        cleaners: Cleaners,
        clock: Clock,
        settings: Ingest,
        *,
        body_bytes: int = _BODY_BYTES,
        late: Late = "reject",
    ) -> None:
        self._store = store
        self._cleaners = cleaners
        self._clock = clock
        self._settings = settings
        self._body_bytes = body_bytes
        self._admission = Admission(store, cleaners, clock, settings, late=late)
        self.journal = Journal(store, group_events=settings.group_events, in_flight_bytes=settings.in_flight_bytes)
        self.tally = Tally()
        self.on_stored: Callable[[], None] | None = None

    async def accept(
        self,
        project_id: str,
        body: Body,
        *,
        content_type: str = "application/json",
        content_encoding: str = "",
        sender: Sender = APP,
    ) -> Receipt:
        """Take a batch (JSON array or NDJSON, gzip allowed); when this returns, the accepted events are durable.

        One bad event is rejected by its index and the rest are kept. Raises MalformedBody or BodyTooLarge when the
        whole body cannot be read, Unavailable when nothing was stored and it may be sent again, and what the sender's
        `charge` raises.
        """
        with Incoming(self.journal, body, content_encoding, self._body_bytes) as incoming:
            try:
                decoded = await self._read(incoming, content_type)
            except InputError as error:
                self.tally.rejected[error.code] += 1
                raise
            sender.charge(len(decoded.events) + len(decoded.rejected))
            allowed = self._allowed(decoded, sender)
            return await self._take(project_id, allowed, incoming.size, may_declare=sender.trusted)

    async def accept_traces(
        self,
        project_id: str,
        body: Body,
        *,
        content_type: str = "application/x-protobuf",
        content_encoding: str = "",
        sender: Sender = APP,
    ) -> TracesAnswer:
        """Take an OTLP ExportTraceServiceRequest: its model calls become inferences, durable when this returns.

        A call that makes no valid inference is rejected by its span's place and the rest are kept. Raises what `accept`
        raises, for the same reasons.
        """
        with Incoming(self.journal, body, content_encoding, self._body_bytes) as incoming:
            try:
                encoding = encoding_of(content_type)
                plain = bytes(await incoming.whole())
                # Reading spans is plain Python, a second of it for the largest body: not in the way of other requests.
                read = partial(self._traces, project_id, plain, encoding)
                found = read() if len(plain) <= _SMALL_BYTES else await asyncio.to_thread(read)
            except InputError as error:
                self.tally.rejected[error.code] += 1
                raise
            sender.charge(len(found.events) + len(found.rejected))
            receipt = await self._take(project_id, Decoded(found.events, found.rejected), incoming.size)
        return TracesAnswer(
            spans=len(found.events) + len(found.rejected) + found.ignored,
            accepted=receipt.accepted,
            duplicates=receipt.duplicates,
            ignored=found.ignored,
            rejected=receipt.rejected,
        )

    async def accept_one(
        self,
        project_id: str,
        body: Body,
        kind: Literal["inference", "feedback"],
        *,
        content_encoding: str = "",
        sender: Sender = APP,
    ) -> Receipt:
        """Take one event.

        Raises, besides what `accept` raises, the InputError for which a batch would have rejected the event.
        """
        with Incoming(self.journal, body, content_encoding, self._body_bytes) as incoming:
            try:
                event = decode_one(await incoming.whole(), kind, event_bytes=self._settings.event_bytes)
                sender.charge(1)
                error = sender.refuse(event)
                if error is not None:
                    raise error
                decoded = Decoded(sender.corrected([(0, event)], self._clock.now()), [])
                await self._learn(project_id, decoded, may_declare=sender.trusted)
                clean = await self._cleaned_aside(project_id, decoded, incoming.size)
                if clean.errors:
                    raise clean.errors[0]
                new = await self.journal.append(clean.arrivals)
                if None in new:
                    raise ErasedPerson(_ERASED)
            except (InputError, RedactionFailed, ForbiddenKey) as error:
                self.tally.rejected[error.code] += 1
                raise
            return self._receipt(clean, new)

    def accept_now(self, project_id: str, body: bytes, *, content_type: str = "application/json") -> Receipt:
        """Take a batch without an event loop, the same way, as a group of its own."""
        decoded = decode_many(
            body,
            content_type=content_type,
            event_bytes=self._settings.event_bytes,
            batch_events=self._settings.batch_events,
        )
        unknown = self._admission.unknown(project_id, (event for _, event in decoded.events))
        if unknown:
            self._admission.learn(project_id, unknown)
        clean = self._cleaned(project_id, decoded)
        return self._receipt(clean, self.journal.append_now(clean.arrivals))

    def try_now(self, project_id: str, body: bytes, *, content_type: str = "application/json") -> Receipt:
        """Say what `accept_now` would answer, and store nothing."""
        decoded = decode_many(
            body,
            content_type=content_type,
            event_bytes=self._settings.event_bytes,
            batch_events=self._settings.batch_events,
        )
        unknown = self._admission.unknown(project_id, (event for _, event in decoded.events))
        admission, now = self._admission.trial(project_id, unknown), self._clock.now()
        told = [(index, event, admission.refuse(project_id, event, now)) for index, event in decoded.events]
        rejected = decoded.rejected + [refusal(index, error) for index, _, error in told if error is not None]
        ids = {(type(event), event.id) for _, event, error in told if error is None}
        known = len(self._store.inferences(project_id, [each for kind, each in ids if kind is Inference]))
        known += len(self._store.feedback(project_id, [each for kind, each in ids if kind is Feedback]))
        duplicates = known + sum(error is None for _, _, error in told) - len(ids)
        rejected.sort(key=lambda rejection: rejection.index)
        return Receipt(accepted=len(ids) - known, duplicates=duplicates, rejected=rejected)

    async def _read(self, incoming: Incoming, content_type: str) -> Decoded:
        """Read a batch: lines as they arrive, an array once it is whole."""
        limits = {"event_bytes": self._settings.event_bytes, "batch_events": self._settings.batch_events}
        if not is_lines(content_type):
            return decode_many(await incoming.whole(), content_type=content_type, **limits)
        reader = LineReader(**limits)
        async for piece in incoming.pieces():
            reader.feed(piece)
        return reader.end()

    def _allowed(self, decoded: Decoded, sender: Sender) -> Decoded:
        """Return the batch without what this sender may not send, and set right where it cannot know."""
        if sender.trusted:
            return decoded
        told = [(index, event, sender.refuse(event)) for index, event in decoded.events]
        kept = sender.corrected([(index, event) for index, event, error in told if error is None], self._clock.now())
        refused = [refusal(index, error) for index, _, error in told if error is not None]
        return Decoded(kept, decoded.rejected + refused)

    def _traces(self, project_id: str, body: bytes, encoding: Encoding) -> Found:
        found = inferences(project_id, decode_spans(body, encoding), event_bytes=self._settings.event_bytes)
        counted(found.events, self._settings.batch_events)
        return found

    async def _take(self, project_id: str, decoded: Decoded, size: int, *, may_declare: bool = True) -> Receipt:
        await self._learn(project_id, decoded, may_declare=may_declare)
        clean = await self._cleaned_aside(project_id, decoded, size)
        return self._receipt(clean, await self.journal.append(clean.arrivals))

    async def _learn(self, project_id: str, decoded: Decoded, *, may_declare: bool) -> None:
        unknown = self._admission.unknown(project_id, (event for _, event in decoded.events))
        if unknown:
            await asyncio.to_thread(self._admission.learn, project_id, unknown, may_declare=may_declare)

    async def _cleaned_aside(self, project_id: str, decoded: Decoded, size: int) -> _Clean:
        """Clean what came in a body of `size` bytes: a large one in a thread, not in the way of other requests."""
        if size <= _SMALL_BYTES:
            return self._cleaned(project_id, decoded)
        return await asyncio.to_thread(self._cleaned, project_id, decoded)

    def _cleaned(self, project_id: str, decoded: Decoded) -> _Clean:
        """Return what may be stored, behind the wall, and what may not, with its reason."""
        now = self._clock.now()
        admitted: list[tuple[int, Event]] = []
        refused: list[tuple[int, TrimtabError]] = []
        for index, event in decoded.events:
            error = self._admission.refuse(project_id, event, now)
            if error is None:
                admitted.append((index, event))
            else:
                refused.append((index, error))
        sealed = self._sealed(self._cleaners.of(project_id), admitted, refused)
        arrivals = [Arrival(project_id, event, now) for event in sealed]
        failed = {index for index, _ in refused}
        places = [index for index, _ in admitted if index not in failed]
        rejected = decoded.rejected + [refusal(index, error) for index, error in refused]
        rejected.sort(key=lambda rejection: rejection.index)
        return _Clean(arrivals, places, rejected, [error for _, error in refused])

    def _sealed(
        self, cleaner: Cleaner, admitted: Sequence[tuple[int, Event]], refused: list[tuple[int, TrimtabError]]
    ) -> list[Redacted[Event]]:
        """Clean all in one go; should that fail, each alone, so that only the event at fault loses its words."""
        log = structlog.get_logger("trimtab.ingest")
        try:
            return seal_all(cleaner, [event for _, event in admitted])
        except Exception:  # noqa: BLE001  whatever the reason: what cannot be cleaned is not stored
            log.warning("cleaning a batch failed; going through it one by one")
        sealed = []
        for index, event in admitted:
            try:
                sealed.append(self._one_sealed(cleaner, event))
            except Exception as error:  # noqa: BLE001  as above
                log.warning("an event's words could not even be withheld", kind=type(error).__name__)
                message = "this event could not be cleaned of personal data, so it was not stored; please report it"
                refused.append((index, RedactionFailed(message)))
        return sealed

    def _one_sealed(self, cleaner: Cleaner, event: Event) -> Redacted[Event]:
        """Clean an event; should that fail, keep its ids and numbers without its words."""
        try:
            return seal(cleaner, event)
        except Exception as error:  # noqa: BLE001  as above
            withheld = withhold(cleaner, event)
            self.tally.withheld += 1
            # The error's type only: its message could carry the very words that could not be cleaned.
            structlog.get_logger("trimtab.ingest").error("cleaning an event failed", kind=type(error).__name__)
            return withheld

    def _receipt(self, clean: _Clean, new: Sequence[bool | None]) -> Receipt:
        rejected = clean.rejected
        if None in new:
            gone = [index for index, flag in zip(clean.places, new, strict=True) if flag is None]
            rejected = rejected + [refusal(index, ErasedPerson(_ERASED)) for index in gone]
            rejected.sort(key=lambda rejection: rejection.index)
        receipt = Receipt(accepted=new.count(True), duplicates=new.count(False), rejected=rejected)
        accepted = receipt.accepted
        self.tally.accepted += receipt.accepted
        self.tally.duplicates += receipt.duplicates
        self.tally.rejected.update(rejection.code for rejection in rejected)
        if accepted and self.on_stored is not None:
            self.on_stored()
        return receipt
