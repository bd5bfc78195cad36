"""E-mail addresses: plain, quoted, international, spaced, and spelled with `at` and `dot`."""

from __future__ import annotations

import re
from typing import Final

from trimtab.redact.span import Span

__all__ = ["find", "find_spelled"]

_MAX_LOCAL: Final = 64
_MAX_SPELLED: Final = 140
_ARTICLES: Final = frozenset({"the", "a", "an", "this", "that", "any", "each", "every"})
# The local part is read backwards from the @. `=`, `&`, `?` and `/` are legal there but far more often end a
# URL parameter, so an address stops at them.
_LOCAL_BACKWARDS: Final = re.compile(r"[\w.+\-'%!#$*^`{|}~]{1,64}")
_QUOTED_BACKWARDS: Final = re.compile(r'"[^"\n]{1,62}"')
_DOMAIN: Final = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})"
    r"|\[(?:IPv6:)?[0-9a-fA-F:.]{3,45}\]",
    re.IGNORECASE,
)
_SPACED_DOMAIN: Final = re.compile(
    r"[^\W_][\w-]{0,62}(?: ?\. ?[^\W_][\w-]{0,62}){0,4} ?\. ?"
    r"(?:com|net|org|edu|gov|info|biz|io|ai|co|dev|app|de|fr|es|it|nl|pl|se|pt|br|uk|in|ru|jp|ch|at|eu|us|ca)\b",
    re.IGNORECASE,
)
# `icon@2x.png`, `logo@main.svg`: a file or asset name, and no top-level domain.
_ASSETS: Final = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "avif", "ico"})

_DOTS: Final = r"(?:[ \t\n]{0,2}(?:[\[({<][ \t]?dot[ \t]?[\])}>]|\bdot\b)[ \t\n]{0,2}|\.)"
_SPELLED: Final = re.compile(
    r"(?:[\[({<][ \t]?at[ \t]?[\])}>][ \t\n]{0,2}|\bat[ \t\n]{1,2})"
    rf"(?P<domain>[^\W_][\w-]{{0,62}}(?:{_DOTS}[^\W_][\w-]{{0,62}}){{1,4}})",
    re.IGNORECASE,
)
_DOT: Final = re.compile(_DOTS, re.IGNORECASE)
_SPELLED_LOCAL_BACKWARDS: Final = re.compile(
    r"\s{0,2}(?P<local>[\w+-]{1,64}(?:\s{0,2}(?:[\])}>]\s?tod\s?[\[({<]|\btod\b|\.)\s{0,2}[\w+-]{1,64}){0,3})",
    re.IGNORECASE,
)
_TOP_LEVEL: Final = frozenset(
    [
        "com",
        "net",
        "org",
        "edu",
        "gov",
        "mil",
        "info",
        "biz",
        "io",
        "ai",
        "co",
        "dev",
        "app",
        "de",
        "fr",
        "es",
        "it",
        "nl",
        "pl",
        "se",
        "pt",
        "br",
        "uk",
        "in",
        "ru",
        "jp",
        "ch",
        "at",
        "eu",
        "us",
        "ca",
        "au",
        "no",
        "dk",
        "fi",
        "be",
        "cz",
        "gr",
        "ie",
        "hu",
        "ro",
        "tr",
        "mx",
        "ar",
        "cl",
        "za",
        "kr",
        "cn",
    ]
)


def find(text: str) -> list[Span]:
    """Return the addresses around each `@` of `text`."""
    spans: list[Span] = []
    at = text.find("@")
    done = 0
    while at != -1:
        span = _around(text, at, done)
        if span is not None:
            spans.append(span)
            done = span.end
            at = text.find("@", max(at + 1, span.end))
        else:
            at = text.find("@", at + 1)
    return spans


def _around(text: str, at: int, floor: int) -> Span | None:
    local_end = at - 1 if at > floor and text[at - 1] == " " else at
    backwards = text[max(local_end - _MAX_LOCAL, floor) : local_end][::-1]
    local = _QUOTED_BACKWARDS.match(backwards) or _LOCAL_BACKWARDS.match(backwards)
    if local is None:
        return None
    name = local.group()[::-1]
    stripped = name.strip("'`*|{}~^.") or name
    domain = _DOMAIN.match(text, at + 1) if local_end == at else None
    if domain is None:
        domain = _SPACED_DOMAIN.match(text, at + 1 + text.startswith(" ", at + 1))
    if domain is None or not any(letter.isalnum() for letter in stripped):
        return None
    host = domain.group().replace(" ", "").lower()
    if host.rpartition(".")[2] in _ASSETS or (name == "git" and text.startswith(":", domain.end())):
        return None
    start = local_end - len(name) + name.find(stripped)
    return Span(start, domain.end(), "EMAIL", f"{stripped.lower()}@{host}")


def find_spelled(text: str) -> list[Span]:
    """Return the addresses written as `jane [at] example [dot] com` or `jane at example dot com`."""
    spans: list[Span] = []
    done = 0
    for found in _SPELLED.finditer(text):
        host, end = _host(found)
        if not host or found.start() < done:
            continue
        local = _SPELLED_LOCAL_BACKWARDS.match(text[max(found.start() - _MAX_SPELLED, done) : found.start()][::-1])
        if local is None:
            continue
        name = ".".join(_DOT.split(local["local"][::-1]))
        spans.append(Span(found.start() - local.end("local"), end, "EMAIL", f"{name}@{host}".lower()))
        done = end
    return spans


def _host(found: re.Match[str]) -> tuple[str, int]:
    """Return the longest host in a spelled match that ends in a top-level domain, and its end; empty for none."""
    start = found.start("domain")
    domain = found["domain"]
    bracketed = not found.group()[0].isalpha()
    host, end = "", start
    labels: list[str] = []
    dotted = bracketed
    position = 0
    for dot in (*_DOT.finditer(domain), None):
        labels.append(domain[position : dot.start() if dot else len(domain)])
        stop = start + (dot.start() if dot else len(domain))
        if len(labels) > 1 and labels[-1].lower() in _TOP_LEVEL and dotted and labels[0].lower() not in _ARTICLES:
            host, end = ".".join(labels), stop
        if dot is not None:
            position = dot.end()
            dotted = dotted or "dot" in dot.group().lower()
    return host, end
