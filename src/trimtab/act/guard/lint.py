"""Looks at every text that would enter a prompt for orders to the model, and drops those that carry some.

A list of known tricks, not a proof: it keeps out what is written down here, in six languages, and an attacker who
knows the list can write around it. What gets past it still meets the gate and the canary.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from trimtab.act.guard.signals import PATTERNS, RAW
from trimtab.records import Version

__all__ = ["Finding", "Linted", "lint", "look", "may_be_shown"]

_REFUSED = 1.0
_MOST_CHARACTERS = 8000
_LONG = 12.0  # times the usual length of what is there already
_LONG_FROM = 2000
_BIDI = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C)}
_ZERO_WIDTH = {chr(code) for code in (0x200B, 0x2060, 0x2061, 0x2062, 0x2063, 0x2064, 0xFEFF, 0x180E, 0x00AD)}
_JOINERS = {chr(0x200C), chr(0x200D)}
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")
_LOOKALIKES = str.maketrans("аеорсухіѕјԁɡᴏӏ01345@$", "aeopcyxisjdgolo" + "ieasas", "")


class Finding(NamedTuple):
    """One signal in a text: its kind, its weight, and for people the place where it was seen."""

    kind: str
    weight: float


class Linted(NamedTuple):
    """A version without what was refused, and why each of the others was: "exemplar x_1: override, role"."""

    version: Version
    refused: list[str]


def look(text: str, *, usual: float = 0.0) -> list[Finding]:
    """Return what in `text` speaks to the model rather than to people, each kind once; `usual` is a usual length.

    A text is refused where the weights sum to 1 or more: a plain order is enough, a bare link or "from now on" is not.
    """
    found: dict[str, float] = {}

    def note(kind: str, weight: float) -> None:
        found[kind] = max(found.get(kind, 0.0), weight)

    for kind, weight in _hidden(text):
        note(kind, weight)
    if len(text) > _MOST_CHARACTERS or (usual and len(text) > max(_LONG * usual, _LONG_FROM)):
        note("length", 1.0)
    for plain in _readings(text):
        lines = plain.casefold()
        spaced = " ".join(lines.split())
        squared = spaced.translate(_LOOKALIKES)
        for pattern in RAW:
            if pattern.regex.search(lines):
                note(pattern.kind, pattern.weight)
        for pattern in PATTERNS:
            if pattern.regex.search(spaced) or (squared != spaced and pattern.regex.search(squared)):
                note(pattern.kind, pattern.weight)
    return [Finding(kind, weight) for kind, weight in sorted(found.items())]


def lint(version: Version, base: Version) -> Linted:
    """Return `version` without what is new in it, beside `base`, and carries orders to the model.

    Exemplars, rules and knowledge are dropped one by one. A prompt (`messages`) that was changed into one with orders
    which the base does not have is put back. What the base has already, a person or an earlier run has let in.
    """
    refused: list[str] = []
    usual = _usual([item.output for item in base.exemplars])

    def sound(kind: str, name: str, texts: Sequence[str]) -> bool:
        worst = max((look(text, usual=usual) for text in texts), key=_score, default=[])
        if _score(worst) < _REFUSED:
            return True
        refused.append(f"{kind} {name}: {', '.join(finding.kind for finding in worst)}")
        return False

    exemplars, rules, knowledge = (
        {item.id for item in base.exemplars},
        {item.id for item in base.rules},
        {item.id for item in base.knowledge},
    )
    kept_exemplars = [
        item
        for item in version.exemplars
        if item.id in exemplars or sound("exemplar", item.id, [item.input, item.output])
    ]
    known_texts = {item.text for item in base.rules}
    kept_rules = [
        item
        for item in version.rules
        if (item.id in rules and item.text in known_texts) or sound("rule", item.id, [item.text])
    ]
    kept_knowledge = [
        item
        for item in version.knowledge
        if item.id in knowledge or sound("knowledge", item.id, [item.question, item.text])
    ]
    messages = version.messages
    if messages != base.messages:
        added = _added([_words(message.content) for message in messages], base)
        if _score(added) >= _REFUSED:
            refused.append(f"prompt: {', '.join(sorted({finding.kind for finding in added}))}")
            messages = base.messages
    linted = msgspec.structs.replace(
        version, exemplars=kept_exemplars, rules=kept_rules, knowledge=kept_knowledge, messages=messages
    )
    return Linted(linted, refused)


_A_PROMPT_MAY = {"order", "persona", "role"}  # it is where orders to the model belong


def may_be_shown(prompt: str, base: Version) -> bool:
    """Say whether a prompt that a model wrote carries, beside what `base` has, only what belongs into a prompt."""
    return _score(_added([prompt], base)) < _REFUSED


def _added(prompts: Sequence[str], base: Version) -> list[Finding]:
    had = {finding.kind for message in base.messages for finding in look(_words(message.content))}
    found = [finding for prompt in prompts for finding in look(prompt)]
    return [finding for finding in found if finding.kind not in had | _A_PROMPT_MAY]


def _words(content: object) -> str:
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()


def _score(findings: Sequence[Finding]) -> float:
    return sum(finding.weight for finding in findings)


def _usual(texts: Sequence[str]) -> float:
    return sum(map(len, texts)) / len(texts) if len(texts) >= 5 else 0.0


def _hidden(text: str) -> list[tuple[str, float]]:
    """Find characters that people do not see and models read."""
    found: list[tuple[str, float]] = []
    if any(0xE0000 <= ord(mark) <= 0xE007F for mark in text):
        flags = re.sub("\U0001f3f4[\U000e0020-\U000e007e]{1,6}\U000e007f", "", text)  # England, Scotland and Wales
        if any(0xE0000 <= ord(mark) <= 0xE007F for mark in flags):
            found.append(("tags", 1.0))
    if any(mark in _BIDI for mark in text):
        found.append(("bidi", 1.0))
    hidden = sum(mark in _ZERO_WIDTH for mark in text.removeprefix("\ufeff"))
    if hidden:
        found.append(("hidden", 1.0 if hidden >= 3 else 0.5))
    if any(unicodedata.category(mark) == "Cc" and mark not in "\n\r\t" for mark in text):
        found.append(("control", 1.0))
    marks = sum(unicodedata.category(mark) == "Co" or 0xFE00 <= ord(mark) <= 0xFE0F for mark in text)
    if marks > max(3, len(text) // 10) or any(0xE0100 <= ord(mark) <= 0xE01EF for mark in text):
        found.append(("hidden", 1.0))
    return found


def _readings(text: str) -> list[str]:
    """Return the text as it stands, without what hides in it, and what its encoded parts say."""
    plain = unicodedata.normalize("NFKC", text)
    visible = "".join(mark for mark in plain if mark not in _ZERO_WIDTH | _JOINERS | _BIDI)
    readings = [visible]
    spelled = re.sub(r"\b(?:\w[ .\-_*]){5,}\w\b", lambda found: re.sub(r"[ .\-_*]", "", found[0]), visible)
    if spelled != visible:
        readings.append(spelled)
    readings.append(" ".join(word[::-1] for word in visible.split()))
    readings.append(codecs.encode(visible, "rot13"))
    readings += [said for found in _ENCODED.findall(text) if (said := _decoded(found))]
    tags = "".join(chr(ord(mark) - 0xE0000) for mark in text if 0xE0020 <= ord(mark) <= 0xE007E)
    return [*readings, tags] if tags else readings


def _decoded(word: str) -> str:
    """Return the text that a run of base64 stands for, nothing where it is no text."""
    plain = word.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        said = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return said if said.isprintable() or "\n" in said else ""
