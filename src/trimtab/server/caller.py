"""Who calls, once a key or token has been checked."""

from __future__ import annotations

from typing import NamedTuple

from trimtab.ingest.sender import APP, Sender
from trimtab.records import KeyKind, ReviewLink

__all__ = ["Caller"]


class Caller(NamedTuple):
    """The key a request came with: its id, project and kind; a token counts as a public key.

    `sender` says what it may send as events. `link` is set where the token of a review link stands in for a key.
    """

    id: str
    project_id: str
    kind: KeyKind
    sender: Sender = APP
    link: ReviewLink | None = None
