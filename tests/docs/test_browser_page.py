"""The browser page tells the truth: the names it shows are exported, the attributes read, the limits as in the code."""

from __future__ import annotations

import re

from tests.docs.page import ROOT

PAGE = (ROOT / "docs/browser-sdk.md").read_text("utf-8")
SOURCES = {path.stem: path.read_text("utf-8") for path in (ROOT / "browser/src").rglob("*.ts")}


def test_every_call_the_page_shows_is_exported() -> None:
    shown = set(re.findall(r"^(?:trimtab\.)?([a-z]\w+)\(|; ([a-z]\w+)\(|trimtab\.(\w+)", PAGE, re.MULTILINE))
    names = {name for group in shown for name in group if name}
    assert {"thumb", "reject", "watchCopy", "stats"} <= names
    exported = set(re.findall(r"\w+", " ".join(re.findall(r"export \{([^}]*)\}", SOURCES["index"]))))
    assert names - exported == set()
    assert {name for name in exported if name.startswith("watch")} <= set(re.findall(r"\w+", PAGE))


def test_every_option_and_attribute_is_on_the_page_and_in_the_code() -> None:
    options = re.search(r"export interface Options \{(.*?)\n\}", SOURCES["client"], re.DOTALL)
    assert options is not None
    for option in re.findall(r"^  (\w+)\??:", options[1], re.MULTILINE):
        assert f"`{option}`" in PAGE
    read = " ".join(SOURCES.values())
    for attribute in set(re.findall(r"data-trimtab-\w+", PAGE)):
        assert attribute in read


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    for constant, said in {
        "MAX_EVENTS = 1000": "beyond 1,000",
        "MAX_AGE_MS = 7 * 24 * 3600_000": "older than a week",
        "BATCH_EVENTS = 100": "up to 100 together",
        "BATCH_BYTES = 60_000": "60 kB",
        "LONGEST_PAUSE_MS = 300_000": "5 minutes",
        "FINAL = [400, 401, 403, 413, 422]": "400, 401, 403, 413, 422",
    }.items():
        assert constant in SOURCES["outbox"]
        assert re.sub(r"\s+", r" ", said) in re.sub(r"\s+", " ", PAGE)
