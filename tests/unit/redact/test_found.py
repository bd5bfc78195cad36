"""Adversarial families: each is found, in plain words around it, and none of it is left."""

from __future__ import annotations

import base64
import re

import pytest

from trimtab.redact import Redactor

# family, what is written, the entity it becomes
FOUND = [
    # e-mail
    ("plain", "jane.doe+news@mail.example.co.uk", "EMAIL"),
    ("upper case", "JANE.DOE@EXAMPLE.COM", "EMAIL"),
    ("international", "jörg.müller@bücher.example.de", "EMAIL"),
    ("international local part", "用户@例え.jp", "EMAIL"),
    ("punycode", "joe@xn--bcher-kva.example.xn--p1ai", "EMAIL"),
    ("quoted local part", '"jane doe"@example.com', "EMAIL"),
    ("address literal", "jane@[192.168.7.12]", "EMAIL"),
    ("brackets", "jane [at] example [dot] com", "EMAIL"),
    ("round brackets", "jane(at)example.com", "EMAIL"),
    ("spelled", "jane dot doe at example dot com", "EMAIL"),
    ("spaces around the sign", "jane @ example.com", "EMAIL"),
    ("full width", "ｊａｎｅ＠ｅｘａｍｐｌｅ．ｃｏｍ", "EMAIL"),
    ("mathematical letters", "𝐣𝐚𝐧𝐞@𝐞𝐱𝐚𝐦𝐩𝐥𝐞.𝐜𝐨𝐦", "EMAIL"),
    ("zero width", "jane\u200b@exam\u200dple.com", "EMAIL"),
    ("bidirectional marks", "jane\u202a@example\u202c.com", "EMAIL"),
    ("homoglyphs", "jаne@exаmple.com", "EMAIL"),
    ("percent-encoded", "jane%40example.com", "EMAIL"),
    ("percent-encoded twice", "jane%2540example.com", "EMAIL"),
    ("HTML entity", "jane&#64;example&#46;com", "EMAIL"),
    ("named HTML entity", "jane&commat;example&period;com", "EMAIL"),
    ("JSON escape", "jane\\u0040example.com", "EMAIL"),
    # telephone
    ("international", "+49 (0)30 1234 5678", "PHONE"),
    ("double zero", "0049 30 12345678", "PHONE"),
    ("North America", "(415) 555-2671", "PHONE"),
    ("dotted", "415.555.2671", "PHONE"),
    ("bare", "4155552671", "PHONE"),
    ("extension", "415-555-2671 ext. 4589", "PHONE"),
    ("pairs", "01 84 17 61 18", "PHONE"),
    ("slash", "030/12345678", "PHONE"),
    ("Arabic digits", "+٤٩ ٣٠ ١٢٣٤٥٦٧٨", "PHONE"),
    ("circled digits", "④①⑤-⑤⑤⑤-②⑥⑦①", "PHONE"),
    ("typographic dashes", "415–555–2671", "PHONE"),
    ("no-break spaces", "+44\u00a020\u00a07946\u00a00958", "PHONE"),
    ("split at a hyphen", "415-555-\n2671", "PHONE"),
    # cards
    ("Visa", "4111 1111 1111 1111", "CREDIT_CARD"),
    ("Mastercard 2-series", "2223003122003222", "CREDIT_CARD"),
    ("American Express", "3782 822463 10005", "CREDIT_CARD"),
    ("dotted", "4111.1111.1111.1111", "CREDIT_CARD"),
    ("split by a line", "4111 1111\n1111 1111", "CREDIT_CARD"),
    ("one by one", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "CREDIT_CARD"),
    ("mistyped", "4111 1111 1111 1112", "NUMBER"),
    # accounts and identity numbers
    ("IBAN", "DE89370400440532013000", "IBAN"),
    ("spaced", "GB29 NWBK 6016 1331 9268 19", "IBAN"),
    ("lower case", "gb29nwbk60161331926819", "IBAN"),
    ("mistyped", "DE89370400440532013001", "NUMBER"),
    ("US", "536-90-4399", "US_SSN"),
    ("US", "912-71-1234", "US_ITIN"),
    ("UK", "AB 12 34 56 C", "UK_NINO"),
    ("Spain", "12345678Z", "ES_NIF"),
    ("Spain", "X1234567L", "ES_NIE"),
    ("Italy", "RSSMRA85T10A562S", "IT_CF"),
    ("Poland", "44051401359", "PL_PESEL"),
    ("Brazil", "390.533.447-05", "BR_CPF"),
    ("Sweden", "811228-9874", "SE_PERSONNUMMER"),
    ("Turkey", "17291716060", "TR_TCKN"),
    ("India", "2341 2341 2346", "IN_AADHAAR"),
    ("India", "ACUPA7085R", "IN_PAN"),
    ("France", "2 95 10 99 126 111 93", "FR_NIR"),
    ("France, Corsica", "253072B07300470", "FR_NIR"),
    # network
    ("IPv4", "203.0.113.77", "IP"),
    ("IPv6", "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "IP"),
    ("IPv6 compressed", "2001:db8::8a2e:370:7334", "IP"),
    ("IPv6 with IPv4", "::ffff:c000:0280:1", "IP"),
    ("colons", "68:9a:97:f0:2a:1f", "MAC"),
    ("hyphens", "68-9A-97-F0-2A-1F", "MAC"),
    ("dots", "689a.97f0.2a1f", "MAC"),
    # credentials
    ("AWS", "AKIAIOSFODNN7EXAMPLE", "SECRET"),
    ("GitHub", "ghp_" + "aB3dE6gH9j" * 3 + "kLmN12", "SECRET"),
    ("OpenAI", "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12", "SECRET"),
    ("Slack", "xoxb-123456789012-abcdefABCDEF", "SECRET"),
    ("JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123_-xyz", "SECRET"),
    ("PEM", "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----", "SECRET"),
    ("random", "hT9xQ2mZ7vLp4Rk8Wd3Yb6Nc", "SECRET"),
    ("webhook", "hooks.slack.com/services/T000AAAA/B000BBBB/abcdef123456", "URL_SECRET"),
    ("base64", base64.b64encode(b"write to jane@example.com").decode(), "BASE64_PII"),
]


@pytest.mark.parametrize(("family", "written", "entity"), FOUND, ids=[f"{one[2]} {one[0]}" for one in FOUND])
@pytest.mark.parametrize("frame", ["{}", "My details: {}, thanks.", "first line\n{}\nlast line", "({})"])
def test_adversarial_spelling_is_found_whole(
    strict: Redactor, family: str, written: str, entity: str, frame: str
) -> None:
    before, after = frame.split("{}")
    token = rf"<{entity}(?::[a-z2-7]{{12}})?>"
    clean = strict.text(frame.format(written))
    assert re.fullmatch(f"{re.escape(before)}{token}{re.escape(after)}", clean), clean


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("password: hunter2000", "password: <SECRET>"),
        ("Passwort ist geheim99", "Passwort ist <SECRET>"),
        ("mi contraseña es luna2024", "mi contraseña es <SECRET>"),
        ("mot de passe : soleil77", "mot de passe : <SECRET>"),
        ('{"api_key": "0f9e8d7c6b5a"}', '{"api_key": "<SECRET>"}'),
        ("пароль: солнце77", "пароль: <SECRET>"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer <SECRET>"),
        ("Authorization: Basic dXNlcjpodW50ZXIy", "Authorization: Basic <SECRET>"),
        ("postgres://app:s3cr3t@db.internal:5432/x", "postgres://<URL_SECRET>@db.internal:5432/x"),
        (
            "https://x.test/cb?state=1&access_token=abc123def&y=2",
            "https://x.test/cb?state=1&access_token=<URL_SECRET>&y=2",
        ),
        ("call415-555-2671now", "call<PHONE>now"),
        ("tel:+14155552671;ext=5", "tel:<PHONE>;ext=5"),
        ("a 4111111111111111b", "a <CREDIT_CARD>b"),
        ("id 550e8400-e29b-41d4-a716-446655440000 415-555-2671", "id 550e8400-e29b-41d4-a716-446655440000 <PHONE>"),
        ("2024-07-18 415-555-2671", "2024-07-18 <PHONE>"),
        ("415-555-2671 4111111111111111", "<PHONE> <CREDIT_CARD>"),
        ("bsn 111222333", "bsn <NL_BSN>"),
        ("NHS 943 476 5919", "NHS <UK_NHS>"),
        ("ssn 536904399", "ssn <US_SSN>"),
        ("Mobil: 98 76 54 3", "Mobil: <PHONE>"),
    ],
)
def test_finding_in_its_surroundings_leaves_them_alone(strict: Redactor, text: str, left: str) -> None:
    assert re.sub(r"(<[A-Z]+):[a-z2-7]{12}>", r"\1>", strict.text(text)) == left


@pytest.mark.parametrize(
    "spellings",
    [
        ("+1 415 555 2671", "(415) 555-2671", "4155552671", "001 415-555-2671", "1-415-555-2671"),
        ("+49 (0)30 12345678", "+49 30 1234 5678", "0049 30 12345678"),
        ("2001:db8::1:2", "2001:0DB8:0:0:0:0:1:2"),
        ("DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
        ("jane@example.com", "JANE@example.COM", "jane [at] example [dot] com", "jane%40example.com"),
        ("68:9a:97:f0:2a:1f", "68-9A-97-F0-2A-1F", "689a.97f0.2a1f"),
    ],
)
def test_spellings_of_one_value_share_one_token(strict: Redactor, spellings: tuple[str, ...]) -> None:
    assert len({strict.text(spelling) for spelling in spellings}) == 1
