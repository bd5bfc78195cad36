"""Texts without anything to redact, texts of one size for speed, and texts made to be slow."""

from __future__ import annotations

import random
import uuid
from typing import Final

__all__ = ["SENTENCES", "hostile_texts", "number_chat", "number_heavy", "one_item", "prose"]

SENTENCES: Final = (
    "I tried to change the layout of the report yesterday, but the button stays grey whatever I click.",
    "Could you explain how the export works and whether it keeps the comments on each page?",
    "My colleague says that it works for her, so it may be something in our settings.",
    "The answer was almost right; it only forgot that the refund has to be approved first.",
    "Thanks, that solved it. I did not know that drafts are kept after signing out.",
    "Please write a short note that says the meeting is moved to the afternoon.",
    "The summary leaves out the second half of the document, which is the important one.",
    "When I ask the same question again, I get a different answer and neither mentions the limit.",
    "Is there a way to see who changed the template, and can we go back to the earlier one?",
    "It would help if the search looked at the titles as well as at the text.",
    "First open the menu, then choose the second entry, and finally confirm with your own account.",
    "A loop that reads the file line by line is slower than one that reads all of it at once.",
    "You can sort the list by name, by date or by size; the arrow shows the direction.",
    "I am not sure whether I need the small plan or the large one for a team of five.",
    "The recipe asks for flour, butter, two eggs and a pinch of salt; mix them until smooth.",
    "In the third paragraph you say that the warranty ends in May, but the contract says June.",
    "Why does the function return nothing when the list is empty instead of raising an error?",
    "We moved the office to the other side of the river last spring and it is much quieter now.",
    "Let me know what you think of the second proposal; I liked the first one less.",
    "The train was late again, so I could only join for the last ten minutes of the call.",
    "Please translate the following sentence into French and keep the tone friendly.",
    "Their password policy is strict, and the token limit of the model is not the problem here.",
    "That is the dot on the i: look at the last example and compare it with the first.",
    "She was born in the north, studied in the south and now works at the museum.",
    "The chart shows sales at their highest in December and at their lowest in February.",
    "It costs about as much as a cup of coffee a day, which is fair for what it does.",
)
_CHARS: Final = 1024


def prose(count: int, seed: int) -> list[str]:
    """Return texts of 1,024 characters of English chat without personal data and nearly without numbers."""
    rng = random.Random(seed)
    texts = []
    for _ in range(count):
        text = " ".join(rng.sample(SENTENCES, len(SENTENCES)))
        texts.append(text[:_CHARS])
    return texts


def _inserted(rng: random.Random, text: str, pieces: list[str]) -> str:
    words = text[: _CHARS - sum(map(len, pieces)) - len(pieces)].split(" ")
    for piece in pieces:
        words.insert(rng.randrange(len(words)), piece)
    return " ".join(words)


def one_item(count: int, seed: int) -> list[str]:
    """Return texts of 1 KB with one e-mail address, telephone number, card or IBAN."""
    rng = random.Random(seed)
    items = (
        "jane.doe@example.com",
        "+49 30 1234 5678",
        "(415) 555-2671",
        "4111 1111 1111 1111",
        "DE89370400440532013000",
    )
    return [_inserted(rng, text, [rng.choice(items)]) for text in prose(count, seed)]


def _harmless(rng: random.Random) -> str:
    digits = rng.randrange
    return rng.choice((
        lambda: f"order {digits(10_000_000, 99_999_999)}",
        lambda: f"version {digits(20)}.{digits(40)}.{digits(10)}",
        lambda: f"2024-{digits(1, 13):02}-{digits(1, 29):02} {digits(24):02}:{digits(60):02}:{digits(60):02}",
        lambda: f"${digits(1, 9)},{digits(100, 999)}.{digits(10, 99)}",
        lambda: f"{digits(1, 99)}%",
        lambda: f"row {digits(1, 5000)} of {digits(5000, 90000)}",
        lambda: f"{digits(-89, 90)}.{digits(10**5, 10**6)}, {digits(-179, 180)}.{digits(10**5, 10**6)}",
        lambda: f"commit {rng.getrandbits(160):040x}",
        lambda: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        lambda: f"{digits(10, 99)} ms",
        lambda: f"at {digits(1_600_000_000, 1_800_000_000)}",
        lambda: f"[{digits(99)}, {digits(99)}, {digits(99)}]",
        lambda: f"{digits(100)}.{digits(10**9)}",
        lambda: f"invoice INV-2024-{digits(1000, 999_999):06}",
        lambda: "ISBN 978-3-16-148410-0",
    ))()  # fmt: skip


def number_chat(count: int, seed: int) -> list[str]:
    """Return texts of 1 KB, a third of them numbers, without personal data."""
    rng = random.Random(seed)
    return [_inserted(rng, text, [_harmless(rng) for _ in range(16)]) for text in prose(count, seed)]


def number_heavy(count: int, seed: int) -> list[str]:
    """Return texts of 1 KB with a dozen harmless numbers and one to five items of personal data."""
    rng = random.Random(seed)
    items = ("jane.doe@example.com", "+49 30 1234 5678", "(415) 555-2671", "4111 1111 1111 1111", "203.0.113.77")
    return [
        _inserted(
            rng, text, [_harmless(rng) for _ in range(12)] + [rng.choice(items) for _ in range(rng.randint(1, 5))]
        )
        for text in prose(count, seed)
    ]


# What makes patterns that backtrack slow: long runs of what nearly matches, with nothing to end on.
_HOSTILE: Final[dict[str, str]] = {
    "digits": "7", "card digits": "4111", "digits and spaces": "4 ", "digits and hyphens": "1-",
    "digits and dots": "9.", "brackets": "(", "closed brackets": "(1)", "plus signs": "+",
    "plus and digit": "+1", "short numbers": "415 555 ", "at signs": "@", "local part": "a.b",
    "address heads": "a@", "domains": "a@b.c.", "dots": ".", "quotes before at": '"@', "at in brackets": "[at]",
    "spelled": "a at b dot ", "dot words": " dot ", "colons": ":", "hex and colons": "ab:",
    "IPv6 halves": "::1:", "hyphen pairs": "ab-", "base64": "QUJD", "random token": "aB3",
    "JWT heads": "eyJhbGci.", "PEM heads": "-----BEGIN PRIVATE KEY-----", "keywords": "password=",
    "quoted values": 'password="', "percent": "%40", "entities": "&#64;", "zero width": "a\u200b",
    "full width": "４１", "IBAN heads": "DE89 ", "IBAN body": "DE893704", "tax code heads": "ABCDEF12A",
    "parameters": "?token=", "URLs": "http://a:", "tokens of ours": "<EMAIL:", "vendor": "sk-", "spaces": " ",
    "newlines in digits": "4\n", "UUID halves": "550e8400-", "dates": "2024-07-18 ", "mixed scripts": "aа",
}  # fmt: skip


def hostile_texts(chars: int) -> dict[str, str]:
    """Return texts of `chars` characters, by what is repeated in them."""
    return {name: (unit * (chars // len(unit) + 1))[:chars] for name, unit in _HOSTILE.items()}
