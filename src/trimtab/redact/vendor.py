"""Credentials whose format names who issued them, PEM keys and JSON web tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from trimtab.redact.entity import Entity
from trimtab.redact.span import Span

__all__ = ["PREFIXES", "find"]

_GITHUB: Final = r"[A-Za-z0-9]{36,255}"
_SLACK: Final = r"[A-Za-z0-9-]{10,250}"
_STRIPE: Final = r"[A-Za-z0-9]{16,255}"

# Prefix -> what follows it, as each vendor documents the format of its tokens.
_FORMATS: Final[dict[str, str]] = {
    # AWS access key ids
    **dict.fromkeys(("AKIA", "ASIA", "ABIA", "ACCA"), r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    # Google: API key, OAuth client secret, access token
    "AIza": r"[\w-]{35}",
    "GOCSPX-": r"[\w-]{20,40}",
    "ya29.": r"[\w-]{20,2000}",
    # GitHub and GitLab
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _GITHUB),
    "github_pat_": r"\w{22,255}",
    "glpat-": r"[\w-]{20,255}",
    "glptt-": r"[\w-]{20,255}",
    # Slack
    **dict.fromkeys(("xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxe.", "xoxd-", "xoxc-", "xapp-"), _SLACK),
    # Stripe
    **dict.fromkeys(("sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"), _STRIPE),
    # OpenAI (sk-, sk-proj-), Anthropic (sk-ant-), OpenRouter (sk-or-): long, with digits and letters
    "sk-": r"(?=[\w-]{0,80}[0-9])(?=[\w-]{0,80}[A-Za-z])(?:(?:proj|ant|or|svcacct|admin|None)-)?[\w-]{20,255}",
    "gsk_": r"[A-Za-z0-9]{40,64}",
    "hf_": r"[A-Za-z0-9]{30,64}",
    "r8_": r"[A-Za-z0-9]{36,40}",
    "pplx-": r"[A-Za-z0-9]{40,64}",
    "xai-": r"[A-Za-z0-9]{40,128}",
    "lsv2_": r"(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}",
    # package registries
    "npm_": r"[A-Za-z0-9]{36}",
    "pypi-": r"[\w-]{50,400}",
    "dckr_pat_": r"[\w-]{20,64}",
    # mail and messaging
    "SG.": r"[\w-]{16,32}\.[\w-]{16,64}",
    "key-": r"[0-9a-f]{32}(?![0-9a-f])",
    # hosting and infrastructure
    **dict.fromkeys(("dop_v1_", "doo_v1_", "dor_v1_"), r"[a-f0-9]{64}"),
    **dict.fromkeys(("shpat_", "shpca_", "shppa_", "shpss_"), r"[a-fA-F0-9]{32}"),
    **dict.fromkeys(("hvs.", "hvb."), r"[\w-]{24,255}"),
    "dapi": r"[a-f0-9]{32}(?:-[0-9])?(?![0-9a-f])",
    "glsa_": r"[A-Za-z0-9]{32}_[0-9a-fA-F]{8}",
    "NRAK-": r"[A-Z0-9]{27}",
    "ATATT3": r"[\w=-]{100,255}",
    "PMAK-": r"[a-f0-9]{24}-[a-f0-9]{34}",
    "lin_api_": r"[A-Za-z0-9]{40}",
    "ntn_": r"[A-Za-z0-9]{40,50}",
    "secret_": r"[A-Za-z0-9]{43}(?![A-Za-z0-9])",
    "figd_": r"[\w-]{40,64}",
    "sbp_": r"[a-f0-9]{40}",
    "tskey-": r"[a-z]{2,10}-[\w-]{10,80}",
    "dp.pt.": r"[A-Za-z0-9]{40,44}",
    "sq0atp-": r"[\w-]{22}",
    "sq0csp-": r"[\w-]{43}",
    "AGE-SECRET-KEY-1": r"[0-9A-Z]{58}",
    # JSON web tokens; the payload may be missing from a cut one
    "eyJ": r"[\w-]{8,8000}\.[\w-]{8,16000}(?:\.[\w-]{0,8000})?",
    # keys in PEM, cut ones included
    "-----BEGIN ": r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[A-Za-z0-9+/=\s\\:,.()-](?!-{4}BEGIN)){0,20000}?"
    r"(?:-----END [A-Z0-9 ]{0,40}-----|\Z|(?=[^A-Za-z0-9+/=\s\\:,.()-]))",
}
_WEBHOOKS: Final[dict[str, str]] = {
    "hooks.slack.com/": r"(?:services|workflows|triggers)/[\w/-]{8,200}",
    "discord.com/api/webhooks/": r"[0-9]{8,24}/[\w-]{8,120}",
    "discordapp.com/api/webhooks/": r"[0-9]{8,24}/[\w-]{8,120}",
    "api.telegram.org/bot": r"[0-9]{6,12}:[\w-]{20,50}",
    "webhook.office.com/": r"[\w@/-]{16,300}",
    "chat.googleapis.com/v1/spaces/": r"[\w/-]{4,80}/messages\?[\w=&%.-]{8,300}",
}

PREFIXES: Final[tuple[str, ...]] = (*_FORMATS, *_WEBHOOKS)

_ANY: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:(?P<hook>" + "|".join(re.escape(prefix) + rest for prefix, rest in _WEBHOOKS.items()) + ")|"
    + "|".join(re.escape(prefix) + rest for prefix, rest in _FORMATS.items())
    + ")",
)  # fmt: skip


def find(text: str, starts: Iterable[int] | None) -> list[Span]:
    """Return the credentials that begin at `starts`, or anywhere for None."""
    return [
        Span(*found.span(), _entity(found)) for found in (_ANY.finditer(text) if starts is None else _at(text, starts))
    ]


def _at(text: str, starts: Iterable[int]) -> Iterable[re.Match[str]]:
    done = 0
    for start in starts:
        if start >= done and (found := _ANY.match(text, start)) is not None:
            done = found.end()
            yield found


def _entity(found: re.Match[str]) -> Entity:
    return "URL_SECRET" if found["hook"] else "SECRET"
