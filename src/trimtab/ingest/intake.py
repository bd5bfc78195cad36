"""The whole way of an event in one place: decode, admit, clean, store; the answer means durable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, cast

import msgspec
import structlog
from msgspec import Struct

from trimtab.clock import Clock
from trimtab.config import Ingest
from trimtab.errors import ErasedPerson, ForbiddenKey, InputError, RedactionFailed, TrimtabError, Unavailable
from trimtab.ingest.admit import Admission, FeatureBook, Late, StoredFeatures
from trimtab.ingest.body import Body, Incoming
from trimtab.ingest.decode import (
    STEP_BYTES,
    Decoded,
    LineReader,
    Rejection,
    counted,
    decode_array,
    decode_many,
    decode_one,
    is_lines,
    refusal,
)
from trimtab.ingest.journal import Journal
from trimtab.ingest.otlp.answer import TracesAnswer
from trimtab.ingest.otlp.mapping import Found, inferences
from trimtab.ingest.otlp.wire import Encoding, decode_spans, encoding_of
from trimtab.ingest.remote import RemoteJournal
from trimtab.ingest.sender import APP, Sender
from trimtab.records import Event, Feedback, Inference, Redacted
from trimtab.redact.project import Cleaners
from trimtab.redact.wall import Cleaner, seal, seal_all, withhold
from trimtab.store.packing import joined, pack
from trimtab.store.ports import HotStore, Packed

__all__ = ["Intake", "Receipt", "Tally"]

_BODY_BYTES = 8 << 20
_SMALL_BYTES = 64 << 10
_LARGE_CHARS = 64 << 10
_ERASED = "this is of a person who was erased, or about what was erased with one, and is not kept; send it no more"

_json = msgspec.json.Encoder()


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
    packed: Packed
    places: list[int]  # of what is packed among the events that were sent
    rejected: list[Rejection]
    errors: list[TrimtabError]


class Intake:
    """Takes events in. `on_stored`, when set, is called after each batch with something new in it."""

    def __init__(
        self,
        features: FeatureBook,
        journal: Journal | RemoteJournal,
        cleaners: Cleaners,
        clock: Clock,
        settings: Ingest,
        *,
        body_bytes: int = _BODY_BYTES,
        late: Late = "reject",
        store: HotStore | None = None,
    ) -> None:
        self._store = store
        self.features = features
        self.journal = journal
        self._cleaners = cleaners
        self._clock = clock
        self._settings = settings
        self._body_bytes = body_bytes
        self._admission = Admission(features, settings, late=late)
        self.tally = Tally()
        self.on_stored: Callable[[], None] | None = None

    @classmethod
    def over(
        cls,
        store: HotStore,
        cleaners: Cleaners,
        clock: Clock,
        settings: Ingest,
        *,
        body_bytes: int = _BODY_BYTES,
        late: Late = "reject",
    ) -> Intake:
        """Return the intake of the process that writes."""
        journal = Journal(store, group_events=settings.group_events, in_flight_bytes=settings.in_flight_bytes)
        features = StoredFeatures(store, cleaners, clock, settings)
        return cls(features, journal, cleaners, clock, settings, body_bytes=body_bytes, late=late, store=store)

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
                clean = await self._cleaned_in_turns(project_id, decoded, incoming.size)
                if clean.errors:
                    raise clean.errors[0]
                new = await self.journal.append(clean.packed)
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
        return self._receipt(clean, self.journal.append_now(clean.packed))

    def try_now(self, project_id: str, body: bytes, *, content_type: str = "application/json") -> Receipt:
        """Say what `accept_now` would answer, and store nothing. For the intake of the process that writes."""
        store = self._store
        if store is None:
            raise Unavailable("expected the intake of the process that writes, got a worker's; it has no store")
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
        known = len(store.inferences(project_id, [each for kind, each in ids if kind is Inference]))
        known += len(store.feedback(project_id, [each for kind, each in ids if kind is Feedback]))
        duplicates = known + sum(error is None for _, _, error in told) - len(ids)
        rejected.sort(key=lambda rejection: rejection.index)
        return Receipt(accepted=len(ids) - known, duplicates=duplicates, rejected=rejected)

    async def _read(self, incoming: Incoming, content_type: str) -> Decoded:
        """Read a batch in steps: lines as they arrive, an array once it is whole."""
        limits = {"event_bytes": self._settings.event_bytes, "batch_events": self._settings.batch_events}
        if is_lines(content_type):
            reader = LineReader(**limits)
            async for piece in incoming.pieces():
                reader.feed(piece)
            return reader.end()
        steps = decode_array(await incoming.whole(), **limits)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return cast("Decoded", end.value)
            await asyncio.sleep(0)

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
        clean = await self._cleaned_in_turns(project_id, decoded, size)
        return self._receipt(clean, await self.journal.append(clean.packed))

    async def _learn(self, project_id: str, decoded: Decoded, *, may_declare: bool) -> None:
        unknown = self._admission.unknown(project_id, (event for _, event in decoded.events))
        if unknown:
            await asyncio.to_thread(self._admission.learn, project_id, unknown, may_declare=may_declare)

    async def _cleaned_in_turns(self, project_id: str, decoded: Decoded, size: int) -> _Clean:
        """Clean what came in a body of `size` bytes, a larger one in lots between which other requests have their turn.

        Not in a thread, as long as no event is large: two threads that hand Python's lock to and fro are several times
        slower than one.
        """
        if size <= STEP_BYTES:
            return self._cleaned(project_id, decoded)
        if any(_is_large(event) for _, event in decoded.events):
            return await asyncio.to_thread(self._cleaned, project_id, decoded)
        lot = max(1, len(decoded.events) * STEP_BYTES // size)
        parts = [self._cleaned(project_id, Decoded([], decoded.rejected))]
        for start in range(0, len(decoded.events), lot):
            parts.append(self._cleaned(project_id, Decoded(decoded.events[start : start + lot], [])))
            await asyncio.sleep(0)
        rejected = sorted((one for part in parts for one in part.rejected), key=lambda one: one.index)
        places = [place for part in parts for place in part.places]
        errors = [one for part in parts for one in part.errors]
        return _Clean(joined([part.packed for part in parts]), places, rejected, errors)

    def _cleaned(self, project_id: str, decoded: Decoded) -> _Clean:
        """Return what may be stored, behind the wall and packed, and what may not, with its reason."""
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
        rejected = decoded.rejected + [refusal(index, error) for index, error in refused]
        rejected.sort(key=lambda rejection: rejection.index)
        failed = {index for index, _ in refused}
        places = [index for index, _ in admitted if index not in failed]
        return _Clean(pack(project_id, sealed, now), places, rejected, [error for _, error in refused])

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

    def stored(self, new: Sequence[bool | None]) -> None:
        """Count events that are durable now, by whoever they were taken, and say so where something is new."""
        accepted = new.count(True)
        self.tally.accepted += accepted
        self.tally.duplicates += new.count(False)
        if accepted and self.on_stored is not None:
            self.on_stored()

    def _receipt(self, clean: _Clean, new: Sequence[bool | None]) -> Receipt:
        self.stored(new)
        rejected = clean.rejected
        if None in new:
            gone = [index for index, flag in zip(clean.places, new, strict=True) if flag is None]
            rejected = rejected + [refusal(index, ErasedPerson(_ERASED)) for index in gone]
            rejected.sort(key=lambda rejection: rejection.index)
        self.tally.rejected.update(rejection.code for rejection in rejected)
        return Receipt(accepted=new.count(True), duplicates=new.count(False), rejected=rejected)


def _is_large(event: Event) -> bool:
    """Say whether the words of an event alone may take longer to clean than a lot of others."""
    parts = (event.text, event.label) if isinstance(event, Feedback) else (event.input, event.output, event.error)
    if any(isinstance(part, str) and len(part) > _LARGE_CHARS for part in parts):
        return True
    nested = () if isinstance(event, Feedback) else (event.input, event.output, event.context, event.tags)
    return any(len(_json.encode(part)) > _LARGE_CHARS for part in nested if part and not isinstance(part, str))
