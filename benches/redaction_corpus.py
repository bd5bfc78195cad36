"""Texts for measuring redaction: dirty ones with known values, clean ones, and ones made to be slow."""

from __future__ import annotations

import base64
import html
import random
import re
import unicodedata
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote

from faker import Faker

__all__ = ["LOCALES", "Dirty", "dirty_texts", "left_over"]

LOCALES: Final = (
    "en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "pt_BR", "nl_NL", "pl_PL", "sv_SE", "tr_TR", "en_IN",
    "ja_JP", "en_AU",
)  # fmt: skip


class Dirty(NamedTuple):
    """A text and the values in it that must be gone afterwards, each as it is plainly written."""

    text: str
    values: tuple[str, ...]
    kinds: tuple[str, ...]


_PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "en": ("Please use {} from now on", "it still says {} in my profile", "I wrote {} into the form and it failed",
           "{} is mine", "why is {} refused?", "see ({})", "customer: {}", "{}", "from: {}; status open"),
    "de": ("Bitte ab jetzt {} verwenden", "im Profil steht noch {}", "mit {} geht es nicht", "Kunde: {}"),
    "fr": ("Merci d'utiliser {} maintenant", "le profil indique encore {}", "client : {}", "{} ne marche pas"),
    "es": ("Usa {} desde ahora", "en mi perfil sigue {}", "cliente: {}", "{} no funciona"),
    "it": ("Usate {} da ora", "nel profilo c'è ancora {}", "cliente: {}"),
    "pt": ("Use {} a partir de agora", "no meu perfil está {}", "cliente: {}"),
    "nl": ("Gebruik voortaan {}", "in mijn profiel staat nog {}", "klant: {}"),
    "pl": ("Proszę używać {}", "w profilu nadal jest {}", "klient: {}"),
    "sv": ("Använd {} från och med nu", "i min profil står {}", "kund: {}"),
    "tr": ("Lütfen {} kullanın", "profilimde hâlâ {} yazıyor", "müşteri: {}"),
    "ja": ("今後は {} を使ってください", "プロフィールに {} とあります", "顧客: {}"),
}  # fmt: skip
_SPACES: Final = ("\u00a0", "\u2009", "\u202f", "\u3000")
_DASHES: Final = ("\u2010", "\u2011", "\u2013", "\u2212")
_INVISIBLE: Final = ("\u200b", "\u200d", "\u2060", "\u00ad", "\u202a", "\ufeff")


def _shuffled(rng: random.Random, alphabet: str, length: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


_BASE62: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _card(fake: Faker, rng: random.Random) -> str:
    number = fake.credit_card_number()
    while len(number) < 13:
        number = fake.credit_card_number()
    if rng.random() < 0.2:  # Mastercard's 2-series, which Faker rarely makes
        body = str(rng.randint(2221, 2720)) + _shuffled(rng, "0123456789", 11)
        number = body + next(str(digit) for digit in range(10) if _luhn(body + str(digit)))
    if len(number) == 16 and rng.random() < 0.5:
        return rng.choice(" -.").join(number[place : place + 4] for place in range(0, 16, 4))
    return number


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _iban(fake: Faker, rng: random.Random) -> str:
    plain = str(fake.iban())
    spaced = " ".join(plain[place : place + 4] for place in range(0, len(plain), 4))
    return rng.choice((plain, spaced, plain.lower()))


def _secret(_fake: Faker, rng: random.Random) -> str:
    return rng.choice((
        "ghp_" + _shuffled(rng, _BASE62, 36),
        "AKIA" + _shuffled(rng, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        "sk-proj-" + _shuffled(rng, _BASE62 + "-_", 48),
        "xoxb-" + _shuffled(rng, "0123456789", 12) + "-" + _shuffled(rng, _BASE62, 24),
        "AIza" + _shuffled(rng, _BASE62 + "-_", 35),
        "glpat-" + _shuffled(rng, _BASE62, 20),
        "sk_live_" + _shuffled(rng, _BASE62, 24),
    ))  # fmt: skip


_NATIONAL: Final[dict[str, tuple[str, ...]]] = {
    "en_US": ("ssn",), "it_IT": ("ssn",), "pl_PL": ("pesel",), "pt_BR": ("cpf",), "es_ES": ("nif", "nie"),
    "tr_TR": ("ssn",), "en_IN": ("aadhaar_id",), "fr_FR": ("ssn",), "en_GB": ("ssn",),
}  # fmt: skip


def _national(fake: Faker, rng: random.Random) -> str:
    return str(getattr(fake, rng.choice(_NATIONAL.get(str(fake.locales[0]), ("ipv4_public",))))())


_KINDS: Final[dict[str, Callable[[Faker, random.Random], str]]] = {
    "email": lambda fake, rng: str(rng.choice((fake.email, fake.ascii_free_email, fake.company_email))()),
    "phone": lambda fake, _: _long_phone(fake),
    "card": _card,
    "iban": _iban,
    "ipv4": lambda fake, _: str(fake.ipv4_public()),
    "ipv6": lambda fake, _: str(fake.ipv6()),
    "mac": lambda fake, _: str(fake.mac_address()),
    "secret": _secret,
    "national": _national,
}


def _long_phone(fake: Faker) -> str:
    """Return a telephone number that is none of the known misses: under nine digits, or bare and like an epoch time."""
    while True:
        number = str(fake.phone_number())
        digits = sum(char.isdigit() for char in number)
        if digits >= 9 and not (number.isdigit() and digits == 10 and "1000000000" <= number <= "2100000000"):
            return number


def _moved_digits(value: str, zero: int) -> str:
    return "".join(chr(zero + int(char)) if char.isdecimal() else char for char in value)


def _pierced(rng: random.Random, value: str) -> str:
    place = rng.randrange(1, len(value))
    return value[:place] + rng.choice(_INVISIBLE) + value[place:]


def _typeset(rng: random.Random, value: str) -> str:
    return value.replace(" ", rng.choice(_SPACES)).replace("-", rng.choice(_DASHES))


def _bold(value: str) -> str:
    return "".join(chr(0x1D400 + ord(char) - 65) if "A" <= char <= "Z" else char for char in value.upper())


_WAYS: Final[tuple[tuple[frozenset[str], Callable[[random.Random, str], str]], ...]] = (
    (frozenset({"phone", "card", "iban"}), _typeset),
    (frozenset(_KINDS), _pierced),
    (frozenset({"phone", "card"}), lambda _, value: _moved_digits(value, 0xFF10)),
    (frozenset({"phone", "card"}), lambda _, value: _moved_digits(value, 0x0660)),
    (frozenset({"email"}), lambda _, value: quote(value, safe=".")),
    (frozenset({"email"}), lambda rng, value: value.replace("@", rng.choice(("&#64;", "&commat;", "\\u0040", "＠")))),
    (
        frozenset({"email"}),
        lambda rng, value: value.replace("@", rng.choice((" [at] ", "(at)", " AT ", " (at) "))).replace(".", " dot "),
    ),
    (
        frozenset({"email", "phone", "card"}),
        lambda _, value: base64.b64encode(f"contact {value} now".encode()).decode(),
    ),
    (frozenset({"email"}), lambda _, value: value.upper()),
    (frozenset({"email"}), lambda _, value: _bold(value)),
    (frozenset({"card"}), lambda _, value: value.replace(" ", "\n", 1)),
    (frozenset({"email", "secret"}), lambda _, value: html.escape(f'<a href="https://shop.test/?next={value}">')),
)


def _dirtied(rng: random.Random, value: str, kind: str) -> str:
    """Return the value as a careless or careful hand, or a machine, would write it; half the time plainly."""
    fitting = [way for kinds, way in _WAYS if kind in kinds]
    return rng.choice(fitting)(rng, value) if rng.random() < 0.5 else value


def dirty_texts(count: int, seed: int) -> list[Dirty]:
    """Return texts with one to four values each, over all locales in turn."""
    rng = random.Random(seed)
    fakes = []
    for locale in LOCALES:
        fake = Faker(locale)
        fake.seed_instance(rng.randrange(1 << 30))
        fakes.append(fake)
    texts = []
    for index in range(count):
        fake = fakes[index % len(fakes)]
        phrases = _PHRASES[LOCALES[index % len(LOCALES)][:2]] + _PHRASES["en"][:4]
        values, kinds, parts = [], [], []
        for _ in range(rng.choice((1, 1, 2, 3, 4))):
            kind = rng.choice(list(_KINDS))
            value = _KINDS[kind](fake, rng)
            values.append(value)
            kinds.append(kind)
            parts.append(rng.choice(phrases).format(_dirtied(rng, value, kind)))
        filler = fake.sentence(nb_words=rng.randint(3, 12))
        parts.insert(rng.randrange(len(parts) + 1), filler)
        texts.append(Dirty(rng.choice((". ", "\n", "; ", " | ")).join(parts), tuple(values), tuple(kinds)))
    return texts


_TOKEN: Final = re.compile(r"<[A-Z][A-Z0-9_]+(?::[a-z2-7]{12})?>")
_WINDOW: Final = 7  # of a number; words of eight letters are shared by address and prose less often than seven


def left_over(clean: str, dirty: Dirty) -> list[str]:
    """Return the values of which seven letters or digits in a row are still in a redacted text.

    Written apart from the redactor's own normalisation: compatibility forms folded, everything else dropped.
    """
    seen = unicodedata.normalize("NFKC", _TOKEN.sub("\n\n", clean)).casefold()
    seen = "".join(char for char in seen if char.isalnum() or char in "\n<")
    left = []
    for value in dirty.values:
        plain = "".join(char for char in value.casefold() if char.isalnum())
        window = _WINDOW + ("@" in value)
        if any(plain[place : place + window] in seen for place in range(max(len(plain) - window + 1, 1))):
            left.append(value)
    return left
