"""The app answers itself: a signed call per question, to where its settings say."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import msgspec

from trimtab.act.answering.patience import AGAIN, Again, patiently
from trimtab.act.answering.question import output_of, question
from trimtab.act.outgoing import SIGNATURE, Outgoing, OutgoingError, Resolve, resolved, signature
from trimtab.clock import Clock, SystemClock, to_micros
from trimtab.config import Runner as RunnerSettings
from trimtab.errors import ConfigError, Unavailable
from trimtab.ids import new_id
from trimtab.records import Payload, Version

__all__ = ["WebhookRunner"]

_FOR_NOW = ("timeout", "connect", "broken", "dns")


class _Said(msgspec.Struct):
    output: Any


class WebhookRunner:
    """Posts each question as JSON and reads `{"output": ...}`, `parallel` at once for all who ask.

    The signature is that of notifications; `Trimtab-Delivery` and `Idempotency-Key` are the same at every attempt at a
    question, and never at two questions. `place` is where the settings stand, for errors. Raises ConfigError for a URL
    that cannot be used, without a secret, or where the app refuses; Unavailable where it does not answer for now.
    """

    def __init__(
        self,
        settings: RunnerSettings,
        *,
        place: str = "runner",
        clock: Clock | None = None,
        environ: Mapping[str, str] | None = None,
        resolve: Resolve = resolved,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._settings = settings
        self._place = place
        self._clock = clock or SystemClock()  # the app checks the signature's age by its own clock
        environ = os.environ if environ is None else environ
        self._url = _address(settings, place, environ)
        self._secret = _variable(environ, settings.secret_env, f"{place}.secret_env")
        self._outgoing = Outgoing(
            timeout_s=settings.timeout_s,
            allow_private=settings.allow_private,
            resolve=resolve,
            most=settings.answer_bytes,
        )
        self._closing = threading.Event()
        self._pause = pause or self._closing.wait
        self._pool = ThreadPoolExecutor(settings.parallel, thread_name_prefix="trimtab-webhook")

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        """Return one answer per input, in order."""
        return list(self._pool.map(lambda payload: self._ask(version, payload), inputs))

    def close(self) -> None:
        """Ask nothing more."""
        self._closing.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, version: Version, payload: Payload) -> str:
        key = new_id(self._clock.now())
        body = msgspec.json.encode(question(version, payload, key))
        return patiently(lambda: self._sent(key, body), self._settings.retries, self._pause)

    def _sent(self, key: str, body: bytes) -> str:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "trimtab",
            "Trimtab-Delivery": key,
            "Trimtab-Event": "answer",
            "Idempotency-Key": key,
            SIGNATURE: signature(self._secret, body, to_micros(self._clock.now()) // 1_000_000),
        }
        try:
            answer = self._outgoing.post(self._url, body, headers)
        except OutgoingError as error:
            told = f"the app at {self._place}.url: {error.message}"
            if error.kind.startswith("refused"):
                raise ConfigError(told, param=f"{self._place}.url") from error
            raise (Again(told) if error.kind in _FOR_NOW else Unavailable(told)) from error
        if answer.status in AGAIN or answer.status >= 500:
            raise Again(f"the app at {self._place}.url answered {answer.status}")
        if not 200 <= answer.status < 300:
            raise ConfigError(
                f"the app at {self._place}.url answered {answer.status}, expected 200; check address and secret",
                param=f"{self._place}.url",
            )
        return self._output(answer.body, whole=answer.whole)

    def _output(self, body: bytes, *, whole: bool) -> str:
        if not whole:
            raise ConfigError(
                f"the app at {self._place}.url sent more than {self._settings.answer_bytes} bytes; "
                f"send less, or raise {self._place}.answer_bytes",
                param=f"{self._place}.answer_bytes",
            )
        try:
            return output_of(msgspec.json.decode(body, type=_Said).output)
        except msgspec.MsgspecError:
            raise ConfigError(
                f'the app at {self._place}.url sent no answer: expected JSON such as {{"output": "Two days."}}',
                param=f"{self._place}.url",
            ) from None


def _address(settings: RunnerSettings, place: str, environ: Mapping[str, str]) -> str:
    if bool(settings.url) == bool(settings.url_env):
        raise ConfigError(f"{place}: expected either url or url_env for a webhook", param=f"{place}.url")
    url = settings.url or _variable(environ, settings.url_env, f"{place}.url_env")
    schemes = ("https", "http") if settings.allow_private else ("https",)
    if urlsplit(url).scheme not in schemes:
        hint = "" if settings.allow_private else "; plain http only with allow_private = true"
        raise ConfigError(f"{place}: expected a URL that begins with https://{hint}", param=f"{place}.url")
    return url


def _variable(environ: Mapping[str, str], variable: str, param: str) -> str:
    if not variable:
        raise ConfigError(f"{param}: expected the name of the environment variable that holds it", param=param)
    value = environ.get(variable, "")
    if not value:
        raise ConfigError(f"{param}: expected the environment variable {variable!r} to be set", param=param)
    return value
