"""Every error Trimtab raises, as one tree.

    TrimtabError
    |-- InputError (ValueError)          what came in does not fit
    |   |-- MalformedBody                not JSON / not the declared encoding
    |   |-- InvalidField                 a field is unknown, missing, of the wrong type or out of range
    |   |-- BodyTooLarge                 a body or field is over its limit
    |   |-- TimeInFuture                 an event happened later than now
    |   |-- TimeTooOld                   an event happened longer ago than is taken
    |   |-- ErasedPerson                 of a person who was erased, or about what was erased with them
    |   |-- UnknownFeature               an event of a feature that is not declared and may not be created
    |   `-- UnreadableFile               a file named by the user cannot be read as what it should be
    |-- ConfigError (ValueError)         trimtab.toml or the environment does not fit
    |-- AuthError (PermissionError)      no key, an unknown key
    |   |-- ForbiddenKey                 a key of the wrong kind for this call
    |   `-- ForbiddenOrigin              a good key, used from a page it is not for
    |-- NotFound (LookupError)           no such feature, version, incident, ...
    |-- Conflict (RuntimeError)          the state does not allow this call now
    |-- RateLimited (RuntimeError)       this sender sent more than it may; try again later
    |-- Unavailable (RuntimeError)       try again later: disk full, shutting down, too much in flight
    |-- RedactionFailed (RuntimeError)   a record could not be cleaned, so it was not stored
    |-- WallBreach (TypeError)           something not redacted was about to be stored (a bug, never a user's fault)
    `-- MissingExtra (ImportError)       an optional part is not installed

Each leaf has a stable `code` that stands in the HTTP answer and in the docs. A message says what was expected, what
came (quoted), and what to do.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import ClassVar

__all__ = [
    "AuthError",
    "BodyTooLarge",
    "ConfigError",
    "Conflict",
    "ErasedPerson",
    "ForbiddenKey",
    "ForbiddenOrigin",
    "InputError",
    "InvalidField",
    "MalformedBody",
    "MissingExtra",
    "NotFound",
    "RateLimited",
    "RedactionFailed",
    "TimeInFuture",
    "TimeTooOld",
    "TrimtabError",
    "Unavailable",
    "UnknownFeature",
    "UnreadableFile",
    "WallBreach",
    "whereabouts",
]

_DEPTH = 3


class TrimtabError(Exception):
    """Root of the tree. `param` names the field, key or file at fault; `status` is the HTTP status."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class InputError(TrimtabError, ValueError):
    """What came in does not fit."""

    code = "invalid_input"
    status = 400


class MalformedBody(InputError):
    """The body is not JSON, or not in the encoding its headers declare."""

    code = "malformed_body"


class InvalidField(InputError):
    """A field is unknown, missing, of the wrong type or out of its range."""

    code = "invalid_field"


class BodyTooLarge(InputError):
    """A body or a field is over its size limit."""

    code = "body_too_large"
    status = 413


class TimeInFuture(InputError):
    """An event says it happened later than now, beyond what clocks differ."""

    code = "time_in_future"


class TimeTooOld(InputError):
    """An event says it happened longer ago than this installation takes."""

    code = "time_too_old"


class UnknownFeature(InputError):
    """An event names a feature that is not declared and may not be created by an event."""

    code = "unknown_feature"


class ErasedPerson(InputError):
    """What came in is of a person who was erased, or about something that was erased with them: it is not kept."""

    code = "erased"
    status = 410


class UnreadableFile(InputError):
    """A file named by the user cannot be read as what it should be."""

    code = "unreadable_file"


class ConfigError(TrimtabError, ValueError):
    """trimtab.toml or the environment does not fit; names key, source and allowed values."""

    code = "invalid_config"


class AuthError(TrimtabError, PermissionError):
    """No API key, or one that is unknown or revoked."""

    code = "unauthorized"
    status = 401


class ForbiddenKey(AuthError):
    """A valid key whose kind does not allow this call."""

    code = "forbidden_key"
    status = 403


class ForbiddenOrigin(AuthError):
    """A valid key that a page of another origin than its own used."""

    code = "forbidden_origin"
    status = 403


class NotFound(TrimtabError, LookupError):
    """Nothing here has that name or id."""

    code = "not_found"
    status = 404


class Conflict(TrimtabError, RuntimeError):
    """The state does not allow this call now."""

    code = "conflict"
    status = 409


class RateLimited(TrimtabError, RuntimeError):
    """A sender went over its limit; `retry_after_s` whole seconds later it may send again."""

    code = "rate_limited"
    status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(TrimtabError, RuntimeError):
    """Cannot be done now and may be tried again: the disk is full, too much is in flight, shutting down."""

    code = "unavailable"
    status = 503


class RedactionFailed(TrimtabError, RuntimeError):
    """A record could not be cleaned of personal data, so it was not stored."""

    code = "redaction_failed"


class WallBreach(TrimtabError, TypeError):
    """Something that did not come from the redactor was about to be stored."""

    code = "wall_breach"


class MissingExtra(TrimtabError, ImportError):
    """An optional part is not installed; the message names the install line."""

    code = "missing_extra"


def whereabouts(error: BaseException) -> str:
    """Return an error's class and the innermost places it came through, never its message: that may quote people.

    >>> try:
    ...     int("what somebody wrote")
    ... except ValueError as error:
    ...     told = whereabouts(error)
    >>> told.startswith("ValueError at ")
    True
    """
    frames = traceback.extract_tb(error.__traceback__)[-_DEPTH:]
    places = [f"{'/'.join(PurePath(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}" for frame in frames]
    return f"{type(error).__name__} at {' > '.join(places)}" if places else type(error).__name__
