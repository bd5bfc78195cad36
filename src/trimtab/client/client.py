"""The client: what an application holds on to."""

from __future__ import annotations

import os
from time import time_ns
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from trimtab.client.assignment import audiences
from trimtab.client.clock import micros_of, wall
from trimtab.client.context import CURRENT, SCOPE, Scope, Within
from trimtab.client.draft import (
    EVENT_BYTES,
    FIXED,
    LARGE_BYTES,
    aim,
    size_of,
    snapshot,
    write_inference,
    write_response,
    write_signal,
)
from trimtab.client.encode import encode
from trimtab.client.feedback import SOUND, Verbs, Where, aimless, fault
from trimtab.client.inference import Capture, Handle
from trimtab.client.knowing import Knowing
from trimtab.client.ledger import Ledger
from trimtab.client.outbox import Limits
from trimtab.client.render import render
from trimtab.client.rollout import Rollouts
from trimtab.client.token import Tokens
from trimtab.client.transport import Transport, check_address
from trimtab.client.uuid7 import new_id
from trimtab.client.version import Resolved
from trimtab.client.wire import feedback_event, identifier, inference_event
from trimtab.client.worker import Worker
from trimtab.client.wrap import Wrapping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType
    from typing import Self, Unpack

    from trimtab.client.feedback import Kind
    from trimtab.client.ledger import Stats
    from trimtab.client.spool import Spool
    from trimtab.client.version import Arm, Version

__all__ = ["Client", "Known"]


class Known(TypedDict, total=False):
    """What may be told of an inference, at its start or afterwards; all of it is optional."""

    id: str
    """An id of one's own making, a UUID; made here by default."""
    input: Any
    output: Any
    user: str | None
    session: str | None
    version: Resolved | Version | str | None
    """What made the response; by default what the user is served, if this process asked for it."""
    arm: Arm | None
    model: str | None
    context: Sequence[Any]
    """Retrieved documents: objects with id, text and score, or ids alone."""
    tags: Mapping[str, Any]
    external_id: str | None
    trace_id: str | int | None
    span_id: str | int | None
    latency_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    error: str | None
    created_at: datetime | None


_SIGNAL_BYTES = 300
_PLAIN = frozenset(Known.__annotations__) - {"id", "created_at", "tags", "context"}
"""What a response can tell in values that nobody changes."""


class Client(Verbs, Wrapping, Tokens, Knowing):
    """Records inferences and feedback, and serves the active Version of a feature. Make one per process.

    Nothing here blocks on the network or raises into the application (two exceptions are asked for by name: the first
    `resolve` of a feature waits `resolve_timeout_s` at most, and `strict=True` raises, for tests). What cannot be
    delivered waits on disk; what is given up is counted (`stats`) and logged once per cause.

    >>> client = Client(feature="support-answer")
    >>> with client.inference(input="Where is my parcel?", user="u-17") as handle:
    ...     handle.output = "It arrives on Tuesday."
    >>> _ = client.thumb(handle.id, up=True)
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        feature: str | None = None,
        timeout_s: float = 5.0,
        resolve_timeout_s: float = 0.25,
        refresh_s: float = 5.0,
        stream: bool = True,
        spool_dir: str | Path | None = None,
        spool_bytes: int = 64 << 20,
        durable: bool = False,
        fsync: bool = False,
        strict: bool = False,
        clock: Callable[[], datetime] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Take the server's `url` and an ingest `key`, by default from TRIMTAB_URL and TRIMTAB_KEY; connects later.

        `feature` is the one meant when a call names none. `timeout_s` bounds a request, in the background. Undelivered
        events are kept under `spool_dir` (default: ~/.local/state/trimtab), at most `spool_bytes` of them; 0 turns
        that off. With `durable`, an event is in the spool before the call returns, so that it survives the death of
        the process; with `fsync` too, that of the machine. `clock` sets the time of events, for simulations.

        Switches of Versions are heard of on a `stream`, and asked for every `refresh_s` seconds while there is none.

        Without a usable url or key the client does nothing but say so once; with `strict` it raises ValueError.
        """
        url = url if url is not None else os.environ.get("TRIMTAB_URL")
        key = key if key is not None else os.environ.get("TRIMTAB_KEY")
        self._feature, self._strict, self._resolve_timeout_s = feature, strict, resolve_timeout_s
        self._now = micros_of(clock) if clock else wall
        self._ledger = Ledger()
        wrong = check_address(url, key)
        if wrong:
            if strict:
                raise ValueError(wrong)
            self._ledger.warn("address", f"nothing will be recorded: {wrong}")
        self._on = not wrong
        self._quick = self._on and clock is None and not strict and not durable
        self._key = key or ""
        url, key = (url or "").strip(), key or ""
        from trimtab.client.spool import home_of  # noqa: PLC0415 it looks for locks that not every system has

        home = home_of(spool_dir, url, key) if self._on else None
        spool = self._spool(home, spool_bytes, fsync=fsync, durable=durable)
        self._address = (url, key, timeout_s)
        self._worker = Worker(Transport(url, key, timeout_s), self._ledger, limits or Limits(), spool, durable=durable)
        keep = home if spool else None
        listening = Transport(url, key, timeout_s) if stream else None
        self._rollouts = Rollouts(
            Transport(url, key, timeout_s), self._ledger, refresh_s=refresh_s, keep=keep, stream=listening
        )

    # ------------------------------------------------------------ recording

    def inference(
        self, feature: str | None = None, *, join: Callable[[list[Any]], Any] | None = None, **known: Unpack[Known]
    ) -> Capture:
        """Record one AI response: `with client.inference(...) as handle:`, or `@client.inference(...)` on a function.

        Latency is measured and exceptions are recorded as its error, then go on. Over a function, arguments are the
        input and what it returns, or yields, the output; `join` says what the output of a stream's items is (texts
        are joined by default). What is not told comes from `session`.
        """
        return Capture(self, feature, join, dict(known))

    def record(self, feature: str | None = None, **known: Unpack[Known]) -> str:
        """Record one AI response that is over; return the inference id to give feedback on."""
        try:
            # The usual case: two texts and some names. Each step costs the app a microsecond when its caches are cold.
            given, made = known.get("input"), known.get("output")
            if type(given) is str and type(made) is str and self._quick and known.keys() <= _PLAIN:
                scope = SCOPE.get()
                name = feature or scope.feature or self._feature
                size = EVENT_BYTES + len(given) + len(made)
                if name and size < LARGE_BYTES and FIXED.issuperset(map(type, known.values())):
                    moment = time_ns() // 1000
                    inference_id = new_id(moment)
                    served = self._rollouts.peek(name) if self._rollouts.known else None
                    told = (self, inference_id, moment, name, scope, served, known)
                    self._worker.offer((size, write_inference, told))
                    return inference_id
        except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
            self._broke(error)
        handle = self._begin(feature, dict(known), measure=False)
        handle.finish()
        return handle.id

    def feedback(
        self,
        target: str | Handle | None,
        kind: Kind,
        *,
        value: float | None = None,
        best: float | None = None,
        label: str | None = None,
        text: str | None = None,
        retracted: bool = False,
        **where: Unpack[Where],
    ) -> str:
        """Send one signal about an inference (its id or handle), or what the keywords name; return the feedback id.

        The inference may be recorded earlier, later, or by another process. User and session come from `session` when
        they are not given. The verbs (`thumb`, `rating`, `correction`, ...) say the same with fewer words.
        """
        feedback_id = ""
        try:
            bare = best is None and label is None and text is None and not retracted
            known = (
                type(target) is str and len(target) == 36 and (not where or FIXED.issuperset(map(type, where.values())))
            )
            if bare and known and self._quick and (kind, value) in SOUND:
                moment = time_ns() // 1000
                feedback_id = new_id(moment)
                told = (feedback_id, moment, SCOPE.get(), target, kind, value, where)
                self._worker.offer((_SIGNAL_BYTES, write_signal, told))
                return feedback_id
            created_at = where.get("created_at")
            moment = self._now() if created_at is None else micros_of(lambda: created_at)()
            feedback_id = new_id(moment)
            said = {"kind": kind, "value": value, "best": best, "label": label, "text": text, "retracted": retracted}
            wrong = fault(said)
            event = {**said, "id": feedback_id, **self._aim(moment, target, where)}
            wrong = wrong or aimless(event)
            if wrong:
                self._refuse(wrong)
            elif self._on:
                self._worker.put(encode(feedback_event(event)))
        except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
            self._broke(error)
        return feedback_id

    def session(self, id: str | None = None, *, user: str | None = None, feature: str | None = None) -> Within:  # noqa: A002
        """Name session, user and feature for all that happens in the `with` block, in this thread or task."""
        outer = SCOPE.get()
        inner = Scope(identifier(id) or outer.session, identifier(user) or outer.user, feature or outer.feature)
        return Within((SCOPE, inner))

    def current(self) -> Handle | None:
        """Return the inference at hand: inside a decorated function, its own."""
        return CURRENT.get()

    # ------------------------------------------------------------ serving

    def resolve(
        self,
        feature: str | None = None,
        *,
        user: str | None = None,
        session: str | None = None,
        fallback: Version | None = None,
    ) -> Resolved:
        """Return the Version this user is served, from memory; it is refreshed in the background.

        The assignment sticks to the user (else the session) while a candidate is tried. Only before the first answer
        about a feature this waits, `resolve_timeout_s` at most; `watch` at start-up avoids even that. While the server
        is away the last known Version stays; when none was ever known, `fallback` is returned.
        """
        try:
            scope = SCOPE.get()
            name = feature or scope.feature or self._feature
            if not name:
                self._refuse("expected a feature, got none; name it in the call, in session() or in Client()")
                return Resolved(fallback)
            unit = identifier(user) or scope.user or identifier(session) or scope.session
            handle = CURRENT.get()
            pinned = handle.serves(name, unit) if handle else None
            if pinned is not None:
                return pinned
            served = self._rollouts.get(name, self._resolve_timeout_s) if self._on else None
            resolved = served.to(unit) if served else Resolved(fallback)
            if handle and handle.feature == name and unit == (handle.user or handle.session):
                handle.pin(resolved)
            return resolved
        except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
            self._broke(error)
            return Resolved(fallback)

    def prompt(
        self,
        feature: str | None = None,
        *,
        input: Any = None,  # noqa: A002 the word of the record
        user: str | None = None,
        session: str | None = None,
        tenant: str | None = None,
        fallback: str | Sequence[Mapping[str, str]] | None = None,
        exemplars: int = 3,
    ) -> list[dict[str, str]]:
        """Return the messages to send to the model: the active Version with its rules, its examples and the input.

        `fallback` is the app's own prompt (messages, or one system text): in force until a Version brings messages of
        its own, and whenever no Version is known. `exemplars` bounds the worked examples; those nearest to the input
        are taken, of those for everyone, for `user` or for their `tenant`.
        """
        resolved = self.resolve(feature, user=user, session=session)
        try:
            told = audiences(user or SCOPE.get().user, tenant)
            return render(
                resolved.version, input, fallback=fallback, exemplars=exemplars, now=self._now(), audiences=told
            )
        except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
            self._broke(error)
            return [{"role": "user", "content": str(input)}]

    def watch(self, *features: str) -> None:
        """Begin to follow these features, without waiting, so that the first `resolve` finds an answer."""
        try:
            for feature in features or filter(None, [self._feature]):
                if self._on:
                    self._rollouts.watch(feature)
        except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
            self._broke(error)

    # ------------------------------------------------------------ keeping house

    def stats(self) -> Stats:
        """Return what became of all that was recorded here."""
        return self._worker.stats()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until the server has answered for all that was recorded so far; say whether it did in time.

        With `strict` it raises RuntimeError when it did not, or when anything was lost or refused.
        """
        clean = self._worker.flush(timeout_s)
        if self._strict:
            self._demand(clean=clean)
        return clean

    def close(self, timeout_s: float = 2.0) -> bool:
        """Flush, then stop; what could not be delivered in time stays on disk for the next process."""
        self._rollouts.close()
        clean = self._worker.close(timeout_s)
        if self._strict:
            self._demand(clean=clean)
        return clean

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        self._worker.close(2.0) if error else self.close()
        self._rollouts.close()
        return False

    # ------------------------------------------------------------ within

    def _begin(self, feature: str | None, known: dict[str, Any], *, measure: bool = True) -> Handle:
        """Start an inference with what is told and what the context knows; what cannot be used is left out."""
        try:
            return self._started(feature, dict(known), measure=measure)
        except Exception as error:
            if self._strict:
                raise
            self._ledger.warn("told", f"what was told of an inference is left out ({type(error).__name__})")
            now = wall()
            rest = {name: known.get(name) for name in ("input", "output")}
            return Handle(self, feature or self._feature or "", id=new_id(now), started_at=now, measure=measure, **rest)

    def _started(self, feature: str | None, known: dict[str, Any], *, measure: bool) -> Handle:
        scope = SCOPE.get()
        created_at = known.pop("created_at", None)
        started = micros_of(lambda: created_at)() if created_at is not None else self._now()
        known["user"] = identifier(known.get("user")) or scope.user
        known["session"] = identifier(known.get("session")) or scope.session
        version, arm, own_id = known.pop("version", None), known.pop("arm", None), known.pop("id", None)
        name = feature or scope.feature or self._feature or ""
        own_id = str(own_id).lower() if own_id else new_id(started)
        handle = Handle(self, name, id=own_id, started_at=started, measure=measure, **known)
        if version is None and name:
            served = self._rollouts.peek(name)
            version = served.to(handle.user or handle.session) if served else None
        handle.pin(version, arm)
        return handle

    def _report(self, handle: Handle) -> None:
        try:
            if not handle.feature:
                self._refuse("expected a feature, got none; name it in the call, in session() or in Client()")
            elif self._quick and (size := size_of(handle)) is not None:
                self._worker.offer((size, write_response, snapshot(handle)))
            elif self._on:
                self._worker.put(encode(inference_event(handle)))
        except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
            self._broke(error)

    def _aim(self, moment: int, target: str | Handle | None, where: Where) -> dict[str, Any]:
        """Return the target fields of a feedback event, and who speaks."""
        named = any(where.get(name) for name in ("external_id", "trace_id", "session"))
        chosen = CURRENT.get() if target is None and not named else target
        inference_id = chosen.id if isinstance(chosen, Handle) else None if chosen is None else str(chosen)
        return aim(moment, SCOPE.get(), inference_id, where)

    def _refuse(self, wrong: str) -> None:
        if self._strict:
            raise ValueError(wrong)
        self._ledger.lose("invalid", 1, wrong.partition(", got")[0])

    def _broke(self, error: Exception) -> None:
        """Count what failed here; its message is not logged, for it may hold words of users."""
        if self._strict:
            raise error
        self._ledger.lose("invalid", 1, f"a call failed with {type(error).__name__}; Client(strict=True) shows where")

    def _demand(self, *, clean: bool) -> None:
        stats = self.stats()
        if not clean or stats.lost or stats.rejected:
            raise RuntimeError(f"expected everything to be delivered, got {stats}")

    def _spool(self, home: Path | None, max_bytes: int, *, fsync: bool, durable: bool) -> Spool | None:
        from trimtab.client.spool import Spool  # noqa: PLC0415 it looks for locks that not every system has

        if home is not None and max_bytes > 0 and Spool.supported():
            return Spool(home, max_bytes=max_bytes, fsync=fsync)
        if durable and self._on:
            wrong = "durable=True needs a spool: a directory, spool_bytes > 0, and a system with flock"
            if self._strict:
                raise ValueError(wrong)
            self._ledger.warn("not_durable", wrong)
        return None
