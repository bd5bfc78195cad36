"""Credentials: tokens in their vendors' formats, keys in PEM, `password: ...` in several languages."""

from __future__ import annotations

import re
from typing import Final

from trimtab.redact.span import Span

__all__ = ["find_assigned", "find_vendor"]

# Prefix -> what must follow it; each from the vendor's own documentation of its token format.
VENDORS: Final[dict[str, str]] = {
    "AKIA": r"[A-Z2-7]{16}",
    "ASIA": r"[A-Z2-7]{16}",
    "AIza": r"[\w-]{35}",
    "GOCSPX-": r"[\w-]{28}",
    "ya29.": r"[\w-]{20,400}",
    "ghp_": r"[A-Za-z0-9]{36,255}",
    "gho_": r"[A-Za-z0-9]{36,255}",
    "ghu_": r"[A-Za-z0-9]{36,255}",
    "ghs_": r"[A-Za-z0-9]{36,255}",
    "ghr_": r"[A-Za-z0-9]{36,255}",
    "github_pat_": r"\w{22,255}",
    "glpat-": r"[\w-]{20,64}",
    "xoxb-": r"[\w-]{10,250}",
    "xoxp-": r"[\w-]{10,250}",
    "xoxa-": r"[\w-]{10,250}",
    "xoxr-": r"[\w-]{10,250}",
    "xoxs-": r"[\w-]{10,250}",
    "xapp-": r"[\w-]{10,250}",
    "sk_live_": r"[A-Za-z0-9]{16,255}",
    "sk_test_": r"[A-Za-z0-9]{16,255}",
    "rk_live_": r"[A-Za-z0-9]{16,255}",
    "rk_test_": r"[A-Za-z0-9]{16,255}",
    "whsec_": r"[A-Za-z0-9+/=]{16,255}",
    "sk-": r"(?=[\w-]*\d)(?=[\w-]*[A-Za-z]\d*[A-Za-z])[\w-]{20,255}",
    "hf_": r"[A-Za-z0-9]{30,64}",
    "npm_": r"[A-Za-z0-9]{36}",
    "pypi-": r"[\w-]{50,255}",
    "SG.": r"[\w-]{16,32}\.[\w-]{16,64}",
    "dop_v1_": r"[a-f0-9]{64}",
    "shpat_": r"[a-fA-F0-9]{32}",
    "hvs.": r"[\w-]{24,255}",
    "dapi": r"[a-f0-9]{32}(?:-\d)?",
    "eyJ": r"[\w-]{10,4000}\.[\w-]{10,8000}(?:\.[\w-]{0,4000})?",
    "-----BEGIN ": r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"[^\0]{0,16000}?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
}
_VENDOR: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:" + "|".join(f"{re.escape(prefix)}{rest}" for prefix, rest in VENDORS.items()) + ")"
)

_ASSIGNED: Final = re.compile(
    r"(?:passw(?:or)?d|passphrase|secret|token|api[_ -]?key|access[_ -]?key|private[_ -]?key|client[_ -]?secret"
    r"|passwort|kennwort|contraseña|mot de passe|senha|hasło|wachtwoord|lösenord|пароль)"
    r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?P<value>[^\s\"',;<>]{6,200})",
    re.IGNORECASE,
)


def find_vendor(text: str) -> list[Span]:
    """Return the tokens whose format names their vendor."""
    return [Span(found.start(), found.end(), "SECRET") for found in _VENDOR.finditer(text)]


def find_assigned(text: str) -> list[Span]:
    """Return the values given to a word such as password or token; strict policies only."""
    return [
        Span(found.start("value"), found.end("value"), "SECRET")
        for found in _ASSIGNED.finditer(text)
        if any(letter.isdigit() for letter in found["value"])
    ]
