"""Each project is cleaned by its own newest policy, which costs no look into the store per text."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from trimtab.errors import ConfigError, Unavailable
from trimtab.records import RedactionPattern, RedactionSettings
from trimtab.redact import LENIENT, STRICT, Redactor
from trimtab.redact.project import Redactors

KEY = b"a test key of 32 bytes, not real"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Shelf:
    """Settings by project, and how often they were asked for."""

    def __init__(self) -> None:
        self.kept: dict[str, list[RedactionSettings]] = {}
        self.asked = 0
        self.broken = False
        self._lock = threading.Lock()

    def add(self, project_id: str, **fields: Any) -> RedactionSettings:
        revisions = self.kept.setdefault(project_id, [])
        revisions.append(RedactionSettings(**{"revision": len(revisions) + 1, "updated_at": NOW, **fields}))
        return revisions[-1]

    def read(self, project_id: str) -> Sequence[RedactionSettings]:
        with self._lock:
            self.asked += 1
        if self.broken:
            raise Unavailable("the disk is gone")
        return list(self.kept.get(project_id, []))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def member(pattern: str = r"MB-\d{6}") -> list[RedactionPattern]:
    return [RedactionPattern(name="member", pattern=pattern)]


def test_project_without_settings_has_the_installations_policy(shelf: Shelf) -> None:
    assert Redactors(key=KEY, read=shelf.read).of("p").policy == STRICT
    assert Redactors(key=KEY, read=shelf.read, default=LENIENT).of("p").policy == LENIENT


def test_each_project_is_cleaned_by_its_own_settings_with_one_key(shelf: Shelf) -> None:
    shelf.add("p", extra=member())
    redactors = Redactors(key=KEY, read=shelf.read)
    text = "MB-123456 of jane@example.com"
    email = Redactor(key=KEY).text("jane@example.com")
    assert redactors.of("p").text(text) == f"<CUSTOM> of {email}"
    assert redactors.of("q").text(text) == f"MB-123456 of {email}"
    assert redactors.of("p").version.startswith("r1-")


def test_texts_do_not_ask_the_store_again(shelf: Shelf) -> None:
    redactors = Redactors(key=KEY, read=shelf.read, remembered_s=3600)
    for _ in range(100):
        redactors.of("p")
    assert shelf.asked == 1


def test_new_settings_count_at_once_after_forget_and_soon_without(shelf: Shelf) -> None:
    patient, hasty = (Redactors(key=KEY, read=shelf.read, remembered_s=keep) for keep in (3600, 0))
    assert patient.of("p").policy == hasty.of("p").policy == STRICT
    shelf.add("p", mode="lenient")
    assert hasty.of("p").policy.mode == "lenient"
    assert patient.of("p").policy == STRICT
    patient.forget("p")
    assert patient.of("p").policy.mode == "lenient"


def test_projects_of_one_policy_share_a_redactor_and_many_policies_are_bounded(shelf: Shelf) -> None:
    redactors = Redactors(key=KEY, read=shelf.read, remembered_s=3600)
    assert redactors.of("p") is redactors.of("q")
    for place in range(70):
        shelf.add(f"p{place}", disabled=["IP"], allow=[f"x{place}"])
        redactors.of(f"p{place}")
    assert len(redactors._redactors) == 64


def test_failures_are_counted_over_all_redactors_also_those_let_go(shelf: Shelf) -> None:
    redactors = Redactors(key=KEY, read=shelf.read)
    redactors.of("p").text("x" * 1_000_001)
    for place in range(70):
        shelf.add(f"p{place}", allow=[f"x{place}"])
        redactors.of(f"p{place}")
    assert redactors.failures == 1


def test_nothing_is_cleaned_while_settings_cannot_be_read_or_used(shelf: Shelf) -> None:
    redactors = Redactors(key=KEY, read=shelf.read, remembered_s=0)
    redactors.of("p")
    shelf.broken = True
    with pytest.raises(Unavailable, match="the disk is gone"):
        redactors.of("p")
    shelf.broken = False
    shelf.add("p", extra=member("a+"))  # as an older version may have taken it
    with pytest.raises(Unavailable, match=r"revision 1 .* 'a\+'"):
        redactors.of("p")
    assert redactors.of("q").policy == STRICT


def test_key_that_is_too_short_is_told_at_the_start(shelf: Shelf) -> None:
    with pytest.raises(ConfigError):
        Redactors(key=b"short", read=shelf.read)


def test_threads_get_the_same_redactor(shelf: Shelf) -> None:
    shelf.add("p", extra=member())
    redactors = Redactors(key=KEY, read=shelf.read, remembered_s=0)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: redactors.of("p"), range(200)))
    assert len({id(one) for one in found}) == 1


def test_stricter_rows_are_enough_and_laxer_or_other_ones_are_not(shelf: Shelf) -> None:
    redactors = Redactors(key=KEY, read=shelf.read, remembered_s=0)
    strict, lenient = (f"{one.name}-{one.version}" for one in (STRICT, LENIENT))
    assert redactors.standing("p").enough == (strict,)
    shelf.add("p", mode="lenient")
    lax = redactors.standing("p")
    assert set(lax.enough) == {lax.rules, strict, lenient}
    shelf.add("p", mode="lenient", extra=member())
    custom = redactors.standing("p")
    assert custom.enough == (custom.rules,)
    shelf.add("p", mode="lenient")
    assert {lax.rules, custom.rules} < set(redactors.standing("p").enough)
