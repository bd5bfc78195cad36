"""How a delivery leaves: as a signed webhook, or through Apprise to e-mail and chat."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from trimtab.act.outgoing import SIGNATURE, Outgoing, OutgoingError, Resolve, resolved, signature
from trimtab.act.wording import worded
from trimtab.clock import Clock, to_micros
from trimtab.config import NotifyTarget
from trimtab.errors import ConfigError, MissingExtra
from trimtab.records import Delivery

__all__ = ["AppriseChannel", "Channel", "WebhookChannel", "open_channels"]


class Channel(Protocol):
    """Sends a delivery to one target."""

    def send(self, project_id: str, delivery: Delivery) -> None:
        """Send it and return when the other side has it. Raises OutgoingError, whose `kind` says why it has not."""
        ...


class WebhookChannel:
    """Posts JSON with the delivery's id, kind and body; signed where the target has a secret."""

    def __init__(self, url: str, secret: str, outgoing: Outgoing, clock: Clock) -> None:
        self._url = url
        self._secret = secret
        self._outgoing = outgoing
        self._clock = clock

    def send(self, project_id: str, delivery: Delivery) -> None:
        """Post it; an answer of 2xx means that it arrived."""
        words = worded(delivery)
        message = {
            "id": delivery.id,
            "kind": delivery.kind,
            "project_id": project_id,
            "feature": delivery.feature,
            "created_at": delivery.created_at,
            "text": f"{words.title}\n{words.text}",
            **delivery.body,
        }
        body = msgspec.json.encode(message)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "trimtab",
            "Trimtab-Delivery": delivery.id,
            "Trimtab-Event": delivery.kind,
        }
        if self._secret:
            seconds = to_micros(self._clock.now()) // 1_000_000
            headers[SIGNATURE] = signature(self._secret, body, seconds)
        status = self._outgoing.post(self._url, body, headers).status
        if 300 <= status < 400:
            raise OutgoingError("redirect", "the target redirects; name the address it redirects to")
        if not 200 <= status < 300:
            raise OutgoingError(f"status_{status}", f"the target answered {status}")


class AppriseChannel:
    """Sends title and text to whatever an Apprise URL names: mail, Slack, Teams, Matrix and a hundred others."""

    def __init__(self, url: str, name: str) -> None:
        try:
            import apprise  # noqa: PLC0415  an extra
        except ImportError as error:
            raise MissingExtra(f"notify.{name} needs Apprise: pip install 'trimtab[server,notify]'") from error
        # Both write URLs, and with them tokens, into the log.
        for logger in ("apprise", "urllib3"):
            logging.getLogger(logger).setLevel(logging.CRITICAL + 1)
        self._apprise: Any = apprise.Apprise()
        with warnings.catch_warnings():  # its plugins, loaded here, use modules that Python is about to drop
            warnings.simplefilter("ignore", DeprecationWarning)
            taken = self._apprise.add(url)
        if not taken:
            raise ConfigError(f"notify.{name}: Apprise cannot read its URL", param=f"notify.{name}.url")

    def send(self, project_id: str, delivery: Delivery) -> None:  # noqa: ARG002  a message to people names no project
        """Send it."""
        words = worded(delivery)
        if not self._apprise.notify(title=words.title, body=words.text, body_format="text"):
            raise OutgoingError("not_taken", "the service did not take the message")


def open_channels(
    targets: Mapping[str, NotifyTarget],
    clock: Clock,
    *,
    environ: Mapping[str, str] | None = None,
    resolve: Resolve = resolved,
) -> dict[str, Channel]:
    """Return a channel per target that is enabled.

    Raises ConfigError for a target without a URL that can be used, or whose variable is not set; MissingExtra without
    Apprise. No message holds a URL.
    """
    environ = os.environ if environ is None else environ
    return {name: _opened(name, target, clock, environ, resolve) for name, target in targets.items() if target.enabled}


def _opened(name: str, target: NotifyTarget, clock: Clock, environ: Mapping[str, str], resolve: Resolve) -> Channel:
    place = f"notify.{name}"
    if bool(target.url) == bool(target.url_env):
        raise ConfigError(f"{place}: expected either url or url_env", param=f"{place}.url")
    url = target.url or _variable(environ, target.url_env, f"{place}.url_env")
    if target.kind == "apprise":
        return AppriseChannel(url, name)
    schemes = ("https", "http") if target.allow_private else ("https",)
    if urlsplit(url).scheme not in schemes:
        hint = "" if target.allow_private else "; plain http only with allow_private = true"
        raise ConfigError(f"{place}: expected a URL that begins with https://{hint}", param=f"{place}.url")
    secret = _variable(environ, target.secret_env, f"{place}.secret_env") if target.secret_env else ""
    outgoing = Outgoing(timeout_s=target.timeout_s, allow_private=target.allow_private, resolve=resolve)
    return WebhookChannel(url, secret, outgoing, clock)


def _variable(environ: Mapping[str, str], variable: str, param: str) -> str:
    value = environ.get(variable, "")
    if not value:
        raise ConfigError(f"{param}: expected the environment variable {variable!r} to be set", param=param)
    return value
