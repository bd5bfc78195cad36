"""The whole way of an event in one place: decode, admit, clean, store; the answer means durable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, NamedTuple

import structlog
from msgspec import Struct
from msgspec.structs import replace

from trimtab.clock import Clock
from trimtab.config import Ingest
from trimtab.errors import ForbiddenKey, InputError, RedactionFailed, TrimtabError
from trimtab.ingest.admit import Admission
from trimtab.ingest.decode import Decoded, Rejection, counted, decode_many, decode_one, inflate, refusal
from trimtab.ingest.journal import IN_FLIGHT_BYTES, Journal
from trimtab.ingest.otlp.answer import TracesAnswer
from trimtab.ingest.otlp.mapping import Found, inferences
from trimtab.ingest.otlp.wire import decode_spans, encoding_of
from trimtab.records import Event, Feedback, Redacted
from trimtab.redact.wall import Cleaner, seal, seal_all
from trimtab.store.ports import Arrival, HotStore

__all__ = ["Intake", "Receipt", "Tally"]

_BODY_BYTES = 8 << 20
_SMALL_BYTES = 64 << 10


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


class _Clean(NamedTuple):
    arrivals: list[Arrival]
    rejected: list[Rejection]
    errors: list[TrimtabError]


class Intake:
    """Takes events in. `on_stored`, when set, is called after each batch with something new in it."""

    def __init__(
        self,
        store: HotStore,
        redactor: Cleaner,
        clock: Clock,
        settings: Ingest,
        *,
        body_bytes: int = _BODY_BYTES,
        in_flight_bytes: int = IN_FLIGHT_BYTES,
    ) -> None:
        self._redactor = redactor
        self._clock = clock
        self._settings = settings
        self._body_bytes = body_bytes
        self._admission = Admission(store, redactor, clock, settings)
        self.journal = Journal(store, group_events=settings.group_events, in_flight_bytes=in_flight_bytes)
        self.tally = Tally()
        self.on_stored: Callable[[], None] | None = None

    async def accept(
        self,
        project_id: str,
        body: bytes,
        *,
        content_type: str = "application/json",
        content_encoding: str = "",
        public: bool = False,
    ) -> Receipt:
        """Take a batch (JSON array or NDJSON, gzip allowed); when this returns, the accepted events are durable.

        One bad event is rejected by its index and the rest are kept. Raises MalformedBody or BodyTooLarge when the
        whole body cannot be read, Unavailable when nothing was stored and it may be sent again. From a `public` sender
        only feedback is taken, and only of features that are declared; a clock that is ahead is set right.
        """
        self.journal.reserve(len(body))
        try:
            decoded = self._decoded(body, content_type, content_encoding)
            if public:
                decoded = _feedback_alone(decoded, self._clock.now())
            return await self._take(project_id, decoded, may_declare=not public)
        finally:
            self.journal.release(len(body))

    async def accept_traces(
        self,
        project_id: str,
        body: bytes,
        *,
        content_type: str = "application/x-protobuf",
        content_encoding: str = "",
    ) -> TracesAnswer:
        """Take an OTLP ExportTraceServiceRequest: its model calls become inferences, durable when this returns.

        A call that makes no valid inference is rejected by its span's place and the rest are kept. Raises what `accept`
        raises, for the same reasons.
        """
        self.journal.reserve(len(body))
        try:
            # Reading spans is plain Python, a second of it for the largest body: not in the way of other requests.
            read = partial(self._traces, project_id, body, content_type, content_encoding)
            small = len(body) <= _SMALL_BYTES and not content_encoding
            found = read() if small else await asyncio.to_thread(read)
            receipt = await self._take(project_id, Decoded(found.events, found.rejected))
        finally:
            self.journal.release(len(body))
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
        body: bytes,
        kind: Literal["inference", "feedback"],
        *,
        content_encoding: str = "",
        may_declare: bool = True,
    ) -> Receipt:
        """Take one event; `may_declare` says whether it may bring a new feature with it.

        Raises, besides what `accept` raises, the InputError for which a batch would have rejected the event.
        """
        self.journal.reserve(len(body))
        try:
            plain = inflate(body, content_encoding, self._body_bytes)
            event = decode_one(plain, kind, event_bytes=self._settings.event_bytes)
            decoded = Decoded([(0, event)], [])
            await self._learn(project_id, decoded, may_declare=may_declare)
            clean = self._cleaned(project_id, decoded)
            if clean.errors:
                raise clean.errors[0]
            return self._receipt(clean, await self.journal.append(clean.arrivals))
        except (InputError, RedactionFailed) as error:
            self.tally.rejected[error.code] += 1
            raise
        finally:
            self.journal.release(len(body))

    def accept_now(self, project_id: str, body: bytes, *, content_type: str = "application/json") -> Receipt:
        """Take a batch without an event loop, the same way, as a group of its own."""
        decoded = self._decoded(body, content_type, "")
        unknown = self._admission.unknown(project_id, (event for _, event in decoded.events))
        if unknown:
            self._admission.learn(project_id, unknown)
        clean = self._cleaned(project_id, decoded)
        return self._receipt(clean, self.journal.append_now(clean.arrivals))

    def _decoded(self, body: bytes, content_type: str, content_encoding: str) -> Decoded:
        try:
            return decode_many(
                inflate(body, content_encoding, self._body_bytes),
                content_type=content_type,
                event_bytes=self._settings.event_bytes,
                batch_events=self._settings.batch_events,
            )
        except InputError as error:
            self.tally.rejected[error.code] += 1
            raise

    def _traces(self, project_id: str, body: bytes, content_type: str, content_encoding: str) -> Found:
        try:
            encoding = encoding_of(content_type)
            spans = decode_spans(inflate(body, content_encoding, self._body_bytes), encoding)
            found = inferences(project_id, spans, event_bytes=self._settings.event_bytes)
            counted(found.events, self._settings.batch_events)
        except InputError as error:
            self.tally.rejected[error.code] += 1
            raise
        return found

    async def _take(self, project_id: str, decoded: Decoded, *, may_declare: bool = True) -> Receipt:
        await self._learn(project_id, decoded, may_declare=may_declare)
        clean = self._cleaned(project_id, decoded)
        return self._receipt(clean, await self.journal.append(clean.arrivals))

    async def _learn(self, project_id: str, decoded: Decoded, *, may_declare: bool) -> None:
        unknown = self._admission.unknown(project_id, (event for _, event in decoded.events))
        if unknown:
            await asyncio.to_thread(self._admission.learn, project_id, unknown, may_declare=may_declare)

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
        sealed = self._sealed(admitted, refused)
        arrivals = [Arrival(project_id, event, now) for event in sealed]
        rejected = decoded.rejected + [refusal(index, error) for index, error in refused]
        rejected.sort(key=lambda rejection: rejection.index)
        return _Clean(arrivals, rejected, [error for _, error in refused])

    def _sealed(
        self, admitted: Sequence[tuple[int, Event]], refused: list[tuple[int, TrimtabError]]
    ) -> list[Redacted[Event]]:
        """Clean all in one go; should that fail, each alone, so that only the event at fault stays outside."""
        try:
            return seal_all(self._redactor, [event for _, event in admitted])
        except Exception:  # noqa: BLE001  whatever the reason: what cannot be cleaned is not stored
            structlog.get_logger("trimtab.ingest").warning("cleaning a batch failed; going through it one by one")
        sealed = []
        for index, event in admitted:
            try:
                sealed.append(seal(self._redactor, event))
            except Exception as error:  # noqa: BLE001  as above
                # Its type only: a message could carry the very words that could not be cleaned.
                structlog.get_logger("trimtab.ingest").error("cleaning an event failed", kind=type(error).__name__)
                message = "this event could not be cleaned of personal data, so it was not stored; please report it"
                refused.append((index, RedactionFailed(message)))
        return sealed

    def _receipt(self, clean: _Clean, new: Sequence[bool]) -> Receipt:
        accepted = sum(new)
        receipt = Receipt(accepted=accepted, duplicates=len(new) - accepted, rejected=clean.rejected)
        self.tally.accepted += receipt.accepted
        self.tally.duplicates += receipt.duplicates
        self.tally.rejected.update(rejection.code for rejection in clean.rejected)
        if accepted and self.on_stored is not None:
            self.on_stored()
        return receipt


def _feedback_alone(decoded: Decoded, now: datetime) -> Decoded:
    """Refuse what is not feedback, since anyone can read a public key in a page, and set a page's clock right.

    People's clocks are not ours: a batch from one that is ahead is moved back as a whole, which keeps its order.
    """
    error = ForbiddenKey("expected feedback, got an inference; a public key sends feedback only", param="type")
    refused = [refusal(index, error) for index, event in decoded.events if not isinstance(event, Feedback)]
    said = [(index, event) for index, event in decoded.events if isinstance(event, Feedback)]
    ahead = max((event.created_at - now for _, event in said), default=timedelta())
    kept: list[tuple[int, Event]] = [
        (index, event if ahead <= timedelta() else replace(event, created_at=event.created_at - ahead))
        for index, event in said
    ]
    return Decoded(kept, decoded.rejected + refused)
