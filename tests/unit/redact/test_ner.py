"""The second look: a detector on already redacted text, which fails closed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from trimtab.config import Ner
from trimtab.errors import ConfigError, Unavailable
from trimtab.redact import FAILED, Redactor
from trimtab.redact.ner import Found, SecondLook
from trimtab.redact.plugin import open_detector

NAMES = re.compile("Jane Doe|Jane|Oslo|EMAIL|PERSON")


class Lexicon:
    """Knows a few names; a text with "boom" in it makes it raise, and it can be broken altogether."""

    version = "lexicon-1"

    def __init__(self, *_: object) -> None:
        self.seen: list[str] = []
        self.broken = False

    def detect(self, texts: Sequence[str]) -> list[list[Found]]:
        self.seen += texts
        if self.broken or any("boom" in text for text in texts):
            raise RuntimeError("no model")
        return [self._found(text) for text in texts]

    def _found(self, text: str) -> list[Found]:
        label = {"Oslo": "LOCATION"}
        return [Found(*one.span(), label.get(one.group(), "PERSON")) for one in NAMES.finditer(text)]


class Careless:
    """Answers with what is no span."""

    version = "careless-1"

    def __init__(self, *found: Found) -> None:
        self._found = list(found)

    def detect(self, texts: Sequence[str]) -> list[list[Found]]:
        return [self._found if "Jane" in text else [] for text in texts]


def test_detector_sees_what_patterns_left_and_its_findings_become_labels(strict: Redactor) -> None:
    lexicon = Lexicon()
    cleaner = SecondLook(lexicon).after(strict)
    email = strict.text("jane@example.com")
    assert cleaner.batch(["Jane Doe of Oslo: jane@example.com", "nothing"]) == [
        f"<PERSON> of <LOCATION>: {email}",
        "nothing",
    ]
    assert not any("@" in text for text in lexicon.seen)
    assert cleaner.version == f"{strict.version}+lexicon-1"


def test_marks_are_left_whole_and_looking_twice_changes_nothing_more(strict: Redactor) -> None:
    cleaner = SecondLook(Lexicon()).after(strict)
    once = cleaner.batch(["EMAIL jane@example.com to Jane"])
    assert cleaner.batch(once) == once
    assert once[0].endswith(" to <PERSON>")
    assert strict.text("jane@example.com") in once[0]


def test_json_is_looked_at_leaf_by_leaf_and_ids_not_at_all(strict: Redactor) -> None:
    cleaner = SecondLook(Lexicon()).after(strict)
    assert cleaner.value({"to": ["Jane", 7, None], "password": "x"}) == {
        "to": ["<PERSON>", 7, None],
        "password": "<SECRET>",
    }
    assert cleaner.identifier("Jane") == "Jane"


def test_text_at_which_the_detector_raises_is_not_kept_and_costs_no_other(strict: Redactor) -> None:
    second = SecondLook(Lexicon())
    assert second.after(strict).batch(["Jane", "boom Jane", "Oslo"]) == ["<PERSON>", FAILED, "<LOCATION>"]
    assert second.failures == 1


def test_detector_that_is_broken_altogether_blackens_nothing(strict: Redactor) -> None:
    lexicon = Lexicon()
    lexicon.broken = True
    second = SecondLook(lexicon)
    with pytest.raises(Unavailable, match="'lexicon-1' fails at every text") as caught:
        second.after(strict).batch(["Jane"])
    assert "Jane" not in caught.value.message
    assert second.failures == 0


@pytest.mark.parametrize(
    "found", [Found(0, 99, "PERSON"), Found(-1, 2, "PERSON"), Found(2, 2, "PERSON"), Found(0, 2, "<x>")]
)
def test_what_is_no_span_fails_closed(strict: Redactor, found: Found) -> None:
    assert SecondLook(Careless(found)).after(strict).batch(["Jane"]) == [FAILED]


def test_spans_that_overlap_leave_nothing_between_them(strict: Redactor) -> None:
    second = SecondLook(Careless(Found(0, 6, "PERSON"), Found(3, 8, "PLACE")))
    assert second.after(strict).batch(["Jane Doe!"]) == ["<PERSON><PLACE>!"]


def test_own_detector_is_opened_by_its_name_and_tried() -> None:
    assert open_detector(Ner()) is None
    assert isinstance(open_detector(Ner(detector=f"{__name__}:Lexicon")), Lexicon)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Ner(detector="nothing"), "module:function"),
        (Ner(detector="no_such_module:make"), "no_such_module"),
        (Ner(detector=f"{__name__}:missing"), "missing"),
        (Ner(detector=f"{__name__}:Lexicon", model="/no/such/folder"), "nothing is downloaded"),
        (Ner(detector="json:loads"), "TypeError"),
    ],
)
def test_detector_that_cannot_work_is_refused_at_the_start(settings: Ner, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        open_detector(settings)
