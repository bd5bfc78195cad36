"""Personal data and secrets never reach the first durable byte: rules, tokens, and the wall before storage."""

from trimtab.redact.engine import Redactor
from trimtab.redact.entity import ENTITIES, FAILED, PSEUDONYMISED, Entity
from trimtab.redact.known import KnownValue
from trimtab.redact.policy import LENIENT, STRICT, ExtraPattern, Policy

__all__ = [
    "ENTITIES",
    "FAILED",
    "LENIENT",
    "PSEUDONYMISED",
    "STRICT",
    "Entity",
    "ExtraPattern",
    "KnownValue",
    "Policy",
    "Redactor",
]
