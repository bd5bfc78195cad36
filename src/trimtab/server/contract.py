"""What each route promises: who may call it, what it takes, what it answers. Guard, OpenAPI and tests read this."""

from __future__ import annotations

from typing import Any, Generic, TypeVar
from urllib.parse import unquote

import msgspec
from litestar import Request
from litestar.datastructures import State
from msgspec import Struct

from trimtab.errors import InvalidField, NotFound
from trimtab.ids import is_uuid
from trimtab.ingest.decode import decode_record
from trimtab.records import KeyKind, Name
from trimtab.runtime.assemble import Engine
from trimtab.server.caller import Caller
from trimtab.store.ports import Page

__all__ = [
    "OPEN",
    "Call",
    "Contract",
    "Listing",
    "checked_name",
    "contract",
    "engine_of",
    "id_in_path",
    "listing",
    "name_in_path",
    "read",
]

Call = Request[Caller, Any, State]
OPEN: frozenset[KeyKind] = frozenset()
"""No key is asked for."""

T = TypeVar("T")


class Listing(Struct, Generic[T], frozen=True):
    """One page of a list; `next` is the cursor to send as `after` for the next page, null at the end."""

    items: list[T]
    next: str | None = None


class Contract(Struct, frozen=True, kw_only=True):
    """The promise of one route. `query` names its query parameters (see `server/query.py`).

    A `metered` route takes events: what its callers send counts against their limits. A `guest` route takes the token
    of a review link, and no key.
    """

    keys: frozenset[KeyKind]
    answer: Any
    body: Any = None
    query: tuple[str, ...] = ()
    status: int = 200
    answer_type: str = "application/json"
    body_types: tuple[str, ...] = ("application/json",)
    body_required: bool = True
    metered: bool = False
    guest: bool = False


def contract(
    *keys: KeyKind,
    answer: Any,
    body: Any = None,
    query: tuple[str, ...] = (),
    status: int = 200,
    answer_type: str = "application/json",
    body_types: tuple[str, ...] = ("application/json",),
    body_required: bool = True,
    metered: bool = False,
    guest: bool = False,
) -> dict[str, Any]:
    """Return the `opt` of a route with its contract."""
    return {
        "contract": Contract(
            keys=frozenset(keys),
            answer=answer,
            body=body,
            query=query,
            status=status,
            answer_type=answer_type,
            body_types=body_types,
            body_required=body_required,
            metered=metered,
            guest=guest,
        )
    }


def engine_of(request: Call) -> Engine:
    """Return the engine this application stands on."""
    engine: Engine = request.app.state.engine
    return engine


def listing(page: Page[T]) -> Listing[T]:
    """Return a page of the store as it goes over the wire."""
    return Listing([row.record for row in page.rows], None if page.next is None else str(page.next))


def read(body: bytes, kind: type[T]) -> T:
    """Read a request's body as a `kind`; an empty body is an empty object. Raises MalformedBody or InvalidField."""
    return decode_record(body or b"{}", kind)


def name_in_path(segment: str) -> str:
    """Return a name that stands, percent-encoded, in one segment of the path."""
    return unquote(segment)


def checked_name(segment: str) -> str:
    """Return a name from the path that something new is to have. Raises InvalidField for what cannot be one."""
    name = unquote(segment)
    try:
        return msgspec.convert(name, Name)
    except msgspec.ValidationError:
        raise InvalidField(
            f"expected 1 to 128 of the characters A-Z a-z 0-9 _ . : / @ -, got {name[:60]!r}; "
            "start with a letter or a digit",
            param="feature",
        ) from None


def id_in_path(segment: str, noun: str) -> str:
    """Return an id from the path. Raises NotFound for what cannot be one."""
    if not is_uuid(segment):
        raise NotFound(f"no {noun} {unquote(segment)!r}; an id is a UUID in lower case", param=f"{noun}_id")
    return segment
