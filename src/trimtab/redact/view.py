"""What a reader sees in a text: written plainly, with a way back from each place in it to the original."""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

__all__ = ["View", "decoded", "plain"]


class View:
    """A rewritten text whose places map to places of the text it was made from.

    `cuts` are the rewritten positions after which the distance to the original changes, `shifts` those distances.
    """

    __slots__ = ("_cuts", "_shifts", "text")

    def __init__(self, text: str, cuts: list[int] | None = None, shifts: list[int] | None = None) -> None:
        self.text = text
        self._cuts = cuts or []
        self._shifts = shifts or []

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Return the original extent of `text[start:end]`, with what was dropped or escaped at its end."""
        return (self._place(start), self._place(end)) if self._cuts else (start, end)

    def _place(self, position: int) -> int:
        index = bisect_right(self._cuts, position) - 1
        return position + self._shifts[index] if index >= 0 else position


def _ranges() -> dict[str, str]:
    table: dict[str, str] = {}
    for first in (0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0E50, 0xFF10):
        table.update({chr(first + digit): str(digit) for digit in range(10)})
    for first in (0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1FBF0):
        table.update({chr(first + digit): str(digit) for digit in range(10)})
    for first in (0x2460, 0x2776, 0x2780, 0x278A, 0x24F5):
        table.update({chr(first + digit - 1): str(digit) for digit in range(1, 10)})
    table.update(dict.fromkeys("⓪⓿🄋🄌", "0"))
    table.update(zip("⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉", "0123456789" * 2, strict=True))
    for code in range(0xFF21, 0xFF3B):
        table[chr(code)] = chr(code - 0xFF21 + 65)
        table[chr(code + 32)] = chr(code - 0xFF21 + 97)
    for first in range(0x1D400, 0x1D6A4, 52):
        for letter in range(26):
            table[chr(first + letter)] = chr(65 + letter)
            table[chr(first + 26 + letter)] = chr(97 + letter)
    for letter in range(26):
        table[chr(0x24B6 + letter)] = chr(65 + letter)
        table[chr(0x24D0 + letter)] = chr(97 + letter)
    return table


def _single() -> dict[str, str]:
    table = _ranges()
    table.update(dict.fromkeys("‐‑‒–—―−⁃﹣－˗", "-"))
    table.update(dict.fromkeys("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a", " "))
    table.update(dict.fromkeys("\u202f\u205f\u3000", " "))
    table.update(dict.fromkeys("＠﹫", "@") | dict.fromkeys("．｡․‧∙·", ".") | {"＋": "+", "／": "/", "⁄": "/"})
    table.update({"（": "(", "）": ")", "：": ":", "＿": "_", "＝": "=", "％": "%", "＃": "#", "＆": "&", "，": ","})
    table.update(
        {"\u017f": "s", "\u212a": "K", "\u0130": "I", "\u0131": "i", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'"}
    )
    return table


_SINGLE: Final = _single()


def _class(characters: str) -> str:
    """Return the inside of a character class, in ranges: outside the first plane `re` tries them one by one."""
    codes = sorted(map(ord, characters))
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges)


_SINGLES: Final = _class("".join(_SINGLE))
_SINGLE_CLASS: Final = re.compile(f"[{_SINGLES}]")
_INVISIBLES: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\u20e3\ufe00-\ufe0f\ufeff\U000e0020-\U000e007f"
)
_INVISIBLE: Final = re.compile(f"[{_INVISIBLES}]+")
# Either of these, or a script with letters that look Latin.
_UNPLAIN: Final = re.compile(f"[{_SINGLES}{_INVISIBLES}\u0370-\u04ff]")
_MIXED: Final = re.compile("[A-Za-z][\u0370-\u04ff]|[\u0370-\u04ff][A-Za-z]")
_LOOKALIKES: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТХУаеѕіјорсухԁһΑΒΕΖΗΙΚΜΝΟΡΤΥΧοαν",
    "ABESIJKMHOPCTXYaesijopcyxdhABEZHIKMNOPTYXoav",
)


def plain(text: str) -> View | None:
    """Return the view without invisible characters, look-alike letters and exotic digits, dashes and spaces.

    None when there is nothing of that kind, which a text of ASCII answers at once.
    """
    if text.isascii() or _UNPLAIN.search(text) is None:
        return None
    rewritten = _SINGLE_CLASS.sub(_replace, text)
    if _MIXED.search(rewritten) is not None:
        rewritten = rewritten.translate(_LOOKALIKES)
    if _INVISIBLE.search(rewritten) is None:
        return View(rewritten) if rewritten != text else None
    return _rewrite(rewritten, _INVISIBLE, _nothing)


def _replace(found: re.Match[str]) -> str:
    return _SINGLE[found.group()]


def _nothing(_found: re.Match[str]) -> str:
    return ""


# What a form, a log or a serialiser makes of a character; `%2540` is a percent sign encoded again.
_ESCAPE: Final = re.compile(
    r"\\u00(?P<u>[2-7][0-9a-fA-F])|\\x(?P<x>[2-7][0-9a-fA-F])|%(?:25){0,2}(?P<p>[2-7][0-9a-fA-F])"
    r"|&#(?P<d>[0-9]{2,3});?|&#[xX](?P<h>[0-9a-fA-F]{2,4});?"
    r"|&(?P<n>amp|commat|period|lowbar|hyphen|dash|plus|colon|equals|num|quot|apos|sol|lpar|rpar|nbsp|Tab|NewLine);"
)


def decoded(text: str) -> View | None:
    """Return the view with JSON, percent and HTML escapes decoded; None when there are none."""
    if _ESCAPE.search(text) is None:
        return None
    return _rewrite(text, _ESCAPE, _unescape)


def _unescape(found: re.Match[str]) -> str:
    if found["n"]:
        return {"nbsp": " ", "hyphen": "-", "dash": "-"}.get(found["n"]) or html.unescape(found.group())
    code = int(found["d"]) if found["d"] else int(found["u"] or found["x"] or found["p"] or found["h"], 16)
    return {0xA0: " ", 0xAD: "-"}.get(code, chr(code) if 32 <= code < 0x2100 else " ")


def _rewrite(text: str, pattern: re.Pattern[str], make: Callable[[re.Match[str]], str]) -> View:
    parts: list[str] = []
    cuts: list[int] = []
    shifts: list[int] = []
    position = length = 0
    for found in pattern.finditer(text):
        kept = text[position : found.start()]
        made = make(found)
        parts += (kept, made)
        length += len(kept) + len(made)
        position = found.end()
        cuts.append(length)
        shifts.append(position - length)
    parts.append(text[position:])
    return View("".join(parts), cuts, shifts)
