"""What may be a rule: one plain line."""

from __future__ import annotations

import unicodedata

__all__ = ["fault_of", "plain_line"]

_LEAST = 8
_REFUSED = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def plain_line(text: str) -> str:
    """Return the text as one line without list marks, quotes and double blanks around and in it.

    >>> plain_line('- "Name the  price."')
    'Name the price.'
    """
    line = unicodedata.normalize("NFC", text).strip()
    return " ".join(line.lstrip("-*•0123456789.) ").strip("\"'“”„«»` ").split()) if "\n" not in line else line


def fault_of(line: str, *, most: int) -> str | None:
    """Return what keeps a line from being a rule, None where nothing does.

    It is one line of 8 to `most` characters, with a letter in it, none that people do not see (control, format,
    private use), and no braces: `{input}` in a prompt is where the user's words go.
    """
    if "\n" in line or any(unicodedata.category(character) in _REFUSED for character in line):
        return "expected one line of visible characters"
    if not _LEAST <= len(line) <= most:
        return f"expected {_LEAST} to {most} characters, got {len(line)}"
    if "{" in line or "}" in line:
        return "expected no braces: in a prompt they mark where the user's words go"
    return None if any(character.isalpha() for character in line) else "expected words"
