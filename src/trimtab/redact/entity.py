"""The kinds of things the redactor finds, and the marks it leaves in their place."""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

__all__ = ["ENTITIES", "FAILED", "PRIORITY", "PSEUDONYMISED", "TOKEN", "Entity", "plain_token"]

Entity = Literal[
    "SECRET",
    "URL_SECRET",
    "BASE64_PII",
    "CREDIT_CARD",
    "IBAN",
    "EMAIL",
    "US_SSN",
    "US_ITIN",
    "UK_NINO",
    "UK_NHS",
    "ES_NIF",
    "ES_NIE",
    "IT_CF",
    "PL_PESEL",
    "BR_CPF",
    "SE_PERSONNUMMER",
    "TR_TCKN",
    "NL_BSN",
    "FR_NIR",
    "IN_AADHAAR",
    "IN_PAN",
    "IP",
    "MAC",
    "PHONE",
    "NAME",
    "USER",
    "CUSTOM",
    "NUMBER",
]

ENTITIES: Final[tuple[Entity, ...]] = get_args(Entity)

# Where two findings overlap, the one named first in `Entity` labels the whole of it.
PRIORITY: Final[dict[str, int]] = {entity: rank for rank, entity in enumerate(ENTITIES)}

# Large domains only: a keyed hash of a nine-digit number could be enumerated by whoever gets the key.
PSEUDONYMISED: Final[frozenset[Entity]] = frozenset({"EMAIL", "PHONE", "IP", "MAC", "IBAN", "USER"})

FAILED: Final = "<REDACTION_FAILED>"

TOKEN: Final = re.compile(
    r"<(?:REDACTION_FAILED|(?:" + "|".join(sorted(PSEUDONYMISED)) + r"):[a-z2-7]{12}|"
    r"(?:" + "|".join(entity for entity in ENTITIES if entity not in PSEUDONYMISED) + r"))>"
)


def plain_token(entity: Entity) -> str:
    """Return the mark of an entity that carries no pseudonym, such as `<SECRET>`."""
    return f"<{entity}>"
