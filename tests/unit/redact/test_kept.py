"""What looks a little like personal data or a secret and is neither stays as it is, under the strict policy."""

from __future__ import annotations

import pytest

from trimtab.redact import Redactor

KEPT = [
    "order 48291734", "Order number: 1029384756", "order #20240718-0042", "invoice INV-2024-000123", "ticket 8841-2291",
    "ORD-2024-000123 arrived", "version 10.0.19045.3803", "Chrome/126.0.6478.127", "v1.2.3.4", "pip install x==2.31.4",
    "2024-07-18 12:30:45", "2024-07-18T12:30:45.123456Z", "18.07.2024 and 07/18/2024", "20240718123045",
    "at 1721305845", "at 1721305845123", "550e8400-e29b-41d4-a716-446655440000",
    "commit 3f785a1c9e0b4d2f8a6c5e7d9b1a3c5e7f9a1b3d", "commit 3f785a1", "sha256 " + "0a1b2c3d" * 8,
    "ISBN 978-3-16-148410-0", "978-0-306-40615-7", "$1,249.99 and 1 234 567 €", "12.345.678", "EUR 1000000000",
    "40.7128, -74.0060", "52.5200 13.4050", "0.123456789012345", "2.302585092994046", "3.14159265358979323846",
    "1000000000", "10 20 30 40 50", "128 256 512", "2019 2020 2021", "1990-2000", "1 2 3 4 5 6 7 8 9 10",
    "gpt-4o-mini-2024-07-18", "claude-sonnet-4-20250514", "my_long_function_name_with_words", "someCamelCaseIdentifier",
    "AbstractSingletonProxyFactoryBean", "/usr/local/lib/python3.11/site-packages", "max_tokens: 4096", "tokens = 500",
    "the password is wrong", "password: str = Field()", "password = os.environ['DB']", "key: value", "token: string",
    'password: "${DB_PASSWORD}"', "std::vector<int>", "x[1::2]", "12:30:45", "127.0.0.1", "0.0.0.0",  # noqa: S104
    "::1",
    "@app.route('/')", "icon@2x.png", "git@github.com:org/repo.git", "npm i @types/node@20.1.0", "user@localhost",
    "we arrived at the dot com boom", "look at example.com", "00:00:00:00:00:00", "see RFC 2822 and section 3.4.1",
    "1/2 + 3/4 = 5/4", "100% of 250", "ratio 16:9, 1920x1080", "Basic Operations", "Bearer of bad news",
    "-----------------", "=====================", "AAAAAAAAAAAAAAAAAAAAAAAA", "https://example.com/a/b?page=2&sort=asc",
    "rgb(255, 255, 255) #ff00ff", "chapter 12, verse 3-4", "5-10 minutes", "24/7",
    "tell me 48291734", "dialog 123456", "television 123456", "cellar 4829 17",
    "a very long walk to the next hotel 48291734", "1e-10 and 6.02214076e23",
]  # fmt: skip


@pytest.mark.parametrize("text", KEPT)
def test_harmless_text_is_kept(strict: Redactor, text: str) -> None:
    assert strict.text(text) == text
    assert strict.text(f"I see {text} here.") == f"I see {text} here."


@pytest.mark.parametrize("text", ["4111 1111 1111 1112", "hT9xQ2mZ7vLp4Rk8Wd3Yb6Nc", "467 3395", "123456789012"])
def test_lenient_policy_keeps_what_only_looks_like_personal_data(lenient: Redactor, text: str) -> None:
    assert lenient.text(text) == text


@pytest.mark.parametrize(
    "text", ["4111 1111 1111 1111", "+1 415 555 2671", "jane@example.com", "AKIAIOSFODNN7EXAMPLE", "203.0.113.77"]
)
def test_lenient_policy_still_takes_what_is_proven(lenient: Redactor, text: str) -> None:
    assert text not in lenient.text(f"it is {text} indeed")


@pytest.mark.parametrize(
    "text",
    ["Maria Okafor", "12 Elm Street", "born 3 May 1990", "five five five two six seven one", "card ending in 1111"],
)
def test_documented_miss_is_missed(strict: Redactor, text: str) -> None:
    assert strict.text(text) == text
