"""What a field of a record may hold, each with its grammar and with how the redactor treats it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import Meta, Struct

__all__ = [
    "Arm",
    "FeedbackKind",
    "Identifier",
    "KeyKind",
    "Known",
    "Line",
    "Name",
    "Origin",
    "Pattern",
    "Payload",
    "Record",
    "Redacted",
    "Segments",
    "Signal",
    "Source",
    "Spec",
    "State",
    "Text",
    "Tier",
    "Time",
    "Tokens",
    "Uuid",
]

Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$(?!\n)", extra={"pii": "none"})]
"""A UUID in canonical lower-case form; senders make version 7, any version is taken."""

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,127}$(?!\n)", extra={"pii": "none"})]
"""A name given by developers: feature, version, model, tag key. 1-128 characters of a closed alphabet."""

Identifier = Annotated[str, Meta(min_length=1, max_length=256, extra={"pii": "identifier"})]
"""An opaque id of the app's own. One that is an e-mail address or a phone number is pseudonymised whole."""

Text = Annotated[str, Meta(max_length=1_000_000, extra={"pii": "text"})]
"""Words of people or models. Redacted before it is stored."""

Payload = Annotated[str | list[Any] | dict[str, Any], Meta(extra={"pii": "value"})]
"""What went into or came out of a model: a text, a list of messages, or an object. Redacted leaf by leaf."""

Known = Annotated[str, Meta(min_length=1, max_length=256, extra={"pii": "known"})]
"""What an event says about its own user: taken out of all its words, then dropped. Never stored."""

Pattern = Annotated[str, Meta(min_length=1, max_length=200, extra={"pii": "none"})]
"""A regular expression by an administrator. Kept as it was written, or it would no longer match what it should."""

Line = Annotated[str, Meta(max_length=2000, extra={"pii": "none"})]
"""A line the engine wrote itself from numbers, ids and names; words of others pass the redactor before they join it."""

State = Annotated[dict[str, Any], Meta(extra={"pii": "none"})]
"""Numbers the engine keeps between ticks."""

Spec = Annotated[dict[str, Any], Meta(extra={"pii": "none"})]
"""Settings in the words of the settings file: names and numbers, checked against it."""

Segments = Annotated[dict[str, str], Meta(extra={"pii": "none"})]
"""To which group an answer belongs, by the name of the grouping; values come from cleaned records."""

Origin = Annotated[
    str, Meta(pattern=r"^(\*|[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]{1,260})$(?!\n)", extra={"pii": "none"})
]
"""Where a page comes from, as browsers write it in `Origin`: scheme, host and port in lower case; or * for any page."""

Time = Annotated[datetime, Meta(tz=True)]
"""A time with its zone; kept and returned in UTC."""

Tokens = Annotated[int, Meta(ge=0, le=2**53)]
"""A count that every client, JSON and database can hold exactly."""

Arm = Literal["stable", "candidate", "holdback"]
KeyKind = Literal["public", "ingest", "read", "admin"]
Tier = Literal["A", "B", "C"]
Source = Literal["user", "reviewer", "app", "judge"]
FeedbackKind = Literal[
    "thumb", "rating", "label", "correction", "comment", "accept", "reject",
    "edit", "copy", "regenerate", "rephrase", "click", "dwell", "abandon",
    "outcome",
]  # fmt: skip
Signal = Literal[
    "thumb", "rating", "label", "correction", "comment", "accept", "reject",
    "edit", "copy", "regenerate", "rephrase", "click", "dwell", "abandon",
    "outcome", "objection", "thanks",
]  # fmt: skip
"""What feedback can be, and what the engine hears by itself: `objection` ("no, I meant ..."), `thanks`."""
T_co = TypeVar("T_co", covariant=True)


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What all nouns share: immutable, fields by name, unknown fields refused."""


class Redacted(Generic[T_co]):
    """The wall: a record whose texts have been through the redactor. Only `trimtab.redact` makes one.

    The store takes records with words in them in no other form. `rules` is the version of the redaction rules.
    """

    __slots__ = ("record", "rules")

    def __init__(self, record: T_co, rules: str) -> None:
        self.record = record
        self.rules = rules
