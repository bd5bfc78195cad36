"""The words around a number: they say whether it is somebody's telephone or something's number."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["PHONE_GATES", "WINDOW", "is_measure", "names_phone", "names_thing", "words_before"]

WINDOW: Final = 36
_WORD: Final = re.compile(r"[^\W\d_]+|[0-9]+|[^\w\s]|\n")

_THINGS: Final = frozenset(
    {"order", "invoice", "ticket", "case", "ref", "reference", "booking", "reservation", "confirmation", "isbn", "issn"}
    | {
        "ean",
        "upc",
        "gtin",
        "asin",
        "doi",
        "sku",
        "item",
        "product",
        "part",
        "model",
        "serial",
        "batch",
        "lot",
        "build",
    }
    | {"commit", "revision", "rev", "version", "ver", "release", "tracking", "parcel", "shipment", "issue", "bug", "pr"}
    | {"request", "job", "run", "task", "trace", "transaction", "row", "rows", "line", "page", "port", "pid", "seed"}
    | {"size", "bytes", "population", "total", "amount", "sum", "price", "cost", "user", "session", "event", "object"}
    | {"message", "thread", "post", "video", "chat", "v", "r", "bestellung", "bestellnummer", "rechnung", "auftrag"}
    | {"rechnungsnummer", "commande", "facture", "pedido", "factura", "ordine", "fattura", "zamówienie", "beställning"}
    | {"usd", "eur", "gbp", "inr", "jpy", "chf", "sek", "brl", "pln", "try", "kr", "rs"}
)
_LINKS: Final = frozenset(
    {"number", "num", "nr", "no", "id", "ids", "code", "is", "was", "of", ":", ".", "=", "-", '"', "'", "(", "№", "`"}
)
_MARKS: Final = frozenset("#№=*<>^%$€£¥₹")
_PHONES: Final = frozenset(
    {
        "phone",
        "phones",
        "telephone",
        "telephones",
        "smartphone",
        "cellphone",
        "tel",
        "mobile",
        "mobiles",
        "cell",
        "cells",
    }
    | {
        "cellular",
        "fax",
        "whatsapp",
        "sms",
        "dial",
        "dialed",
        "dialled",
        "dialing",
        "hotline",
        "desk",
        "reach",
        "reached",
    }
    | {"reachable", "answering", "contact", "pager", "registered", "telefon", "telefonnummer", "mobil", "mobilnummer"}
    | {
        "handy",
        "handynummer",
        "rufnummer",
        "telefono",
        "teléfono",
        "movil",
        "móvil",
        "celular",
        "telefone",
        "telemóvel",
    }
    | {"téléphone", "tél", "portable", "cellulare", "telefoon", "mobiel", "komórka", "komórkowy", "numer", "cep", "gsm"}
    | {"телефон", "тел", "мобильный", "הטלפון", "هاتف"}
)
_WITHIN: Final = ("电话", "手机", "電話", "携帯", "전화")  # in scripts that put no spaces between words
_CALLS: Final = frozenset({"call", "called", "calling", "text", "ring", "my", "her", "his", "their"})
_CALLED: Final = frozenset({"me", "us", "him", "her", "them", "at", "on", "back", "number"})
# The same for a scan of bytes of ASCII; the gate sees to words outside of it. Wide, as a gate must be.
PHONE_GATES: Final[tuple[str, ...]] = (
    *(rf"(?:^|[^a-z]){word}(?:[^a-z]|$)" for word in sorted(_PHONES) if word.isascii()),
    rf"(?:^|[^a-z])(?:{'|'.join(sorted(_CALLS))})[^a-z]{{1,36}}(?:{'|'.join(sorted(_CALLED))})(?:[^a-z]|$)",
    r"[0-9][ \t\r\n\-(\[/,]{0,3}(?:office|home|work)",
    r"(?:^|[^a-z])(?:ssn|social|itin|bsn|burgerservicenummer|sofi|sofinummer|nhs|personnummer|personnr)(?:[^a-z]|$)",
)
_AFTER: Final = re.compile(r"[\s\-(\[/,]{0,3}(?:office|fax|mobile|cell|home|work|phone|tel)\b")
_UNIT: Final = re.compile(
    r"\s?(?:[$€£¥₹%°]|(?:usd|eur|gbp|inr|jpy|chf|sek|brl|pln|kr|euros?|dollars?|pounds?|rupees|yen|zł|km|m|cm|mm|kg|g|mb|gb"
    r"|kb|tb|bytes|ms|ns|us|s|sec|seconds|px|rows|records|users|people|items|units|inhabitants|habitants|einwohner"
    r"|habitantes|abitanti|tokens|lines|times|million|steps|hz|mhz|ghz)\b|\s?[*/^=<>%]\s)"
)


def words_before(text: str, start: int) -> list[str]:
    """Return the words and marks of the last 36 characters before `start`, in lower case, the nearest last."""
    low = max(start - WINDOW, 0)
    words = _WORD.findall(text[low:start].lower())
    if low and text[low - 1].isalpha() and text[low].isalpha():
        del words[0]  # the end of a longer word: `hotel` is no `tel`
    return words


def names_phone(words: list[str], after: str) -> bool:
    """Return whether the words before a number or `after` it, in lower case, say that it is a telephone's."""
    # Most often nothing says so, and three look-ups tell.
    said = not (_PHONES.isdisjoint(words) and _CALLS.isdisjoint(words) and "".join(words).isascii())
    following = ""
    for word in reversed(words[-8:] if said else ()):
        if word[0].isdigit():
            break
        if word in _PHONES or (word in _CALLS and following in _CALLED):
            return True
        if not word.isascii() and any(stem in word for stem in _WITHIN):
            return True
        if word.isalpha():
            following = word
    return bool(after) and _AFTER.match(after) is not None


def names_thing(words: list[str]) -> bool:
    """Return whether the words just before a number say that it counts or names a thing."""
    if not words:
        return False
    if words[-1] in _MARKS or (words[-1] == "-" and words[-2:-1] and words[-2] in _MARKS):
        return True
    for skipped, word in enumerate(reversed(words[-6:])):
        if word in _THINGS:
            return True
        if word not in _LINKS and not (skipped == 0 and word == "s"):
            # `id: 123` names a thing; `tax id: 123` may name a person.
            return False
        if word == "id" and len(words) == skipped + 1:
            return True
    return False


def is_measure(after: str) -> bool:
    """Return whether a unit or currency follows a number."""
    return _UNIT.match(after) is not None
