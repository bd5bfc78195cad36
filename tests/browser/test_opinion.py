"""What a person says outright: every call of the SDK, and the thumbs by mouse, keyboard and screen reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ANSWER, OTHER, App, Trimtab
from tests.browser.package import PACKAGE

GOLDEN: list[dict[str, Any]] = json.loads(
    (PACKAGE.parent / "tests/contract/wire/feedback-events.json").read_text("utf-8")
)
THUMBS = f"<button id=before>before</button><trimtab-thumbs inference={ANSWER}></trimtab-thumbs>"


def votes(app: App[Trimtab], count: int) -> list[tuple[float | None, bool]]:
    return [(event.get("value"), event.get("retracted", False)) for event in app.server.feedback(count, "thumb")]


def focused(page: Page) -> str:
    """Return the accessible name of what has the focus, inside the widget if it is there."""
    return str(page.evaluate("(document.activeElement.shadowRoot?.activeElement ?? document.activeElement).ariaLabel"))


def test_every_call_makes_the_event_of_the_golden_file(app: App[Trimtab]) -> None:
    page = app.open(feature=None)
    ids = page.evaluate("lines => lines.map(line => trimtab[line.call](...line.arguments))", GOLDEN)
    page.evaluate("trimtab.flush()")
    events = app.server.feedback(len(GOLDEN))
    assert [event["id"] for event in events] == ids
    own = {"id": None, "created_at": None}
    assert [{**event, **own} for event in events] == [{"source": "user", **line["event"], **own} for line in GOLDEN]
    assert sorted(event["created_at"] for event in events) == [event["created_at"] for event in events]
    assert len({event["created_at"] for event in events}) == len(events)


def test_what_init_was_told_completes_every_event_and_a_call_may_say_otherwise(app: App[Trimtab]) -> None:
    page = app.open(user="u-1", session="s-1")
    page.evaluate(
        "answer => { trimtab.accept(answer); trimtab.accept({inference: answer, user: 'u-2', feature: 'search'}) }",
        ANSWER,
    )
    page.close()
    first, second = app.server.feedback(2)
    assert (first["feature"], first["user_id"], first["session_id"]) == ("answers", "u-1", "s-1")
    assert (second["feature"], second["user_id"], second["session_id"]) == ("search", "u-2", "s-1")


def test_thumbs_by_mouse_change_of_mind_and_taking_back(app: App[Trimtab]) -> None:
    page = app.open(THUMBS)
    up, down = page.get_by_role("button", name="Helpful", exact=True), page.get_by_role("button", name="Not helpful")
    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    down.click()
    expect(up).to_have_attribute("aria-pressed", "false")
    expect(down).to_have_attribute("aria-pressed", "true")
    down.click()
    expect(down).to_have_attribute("aria-pressed", "false")
    page.close()
    assert votes(app, 3) == [(1, False), (0, False), (None, True)]


def test_thumbs_by_keyboard_alone(app: App[Trimtab]) -> None:
    page = app.open(THUMBS)
    page.locator("#before").focus()
    page.keyboard.press("Tab")
    assert focused(page) == "Helpful"
    outline = "getComputedStyle(document.activeElement.shadowRoot.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page) == "Not helpful"
    page.keyboard.press("Space")
    page.close()
    assert votes(app, 2) == [(1, False), (0, False)]


def test_a_screen_reader_is_told_the_question_the_state_and_what_happened(app: App[Trimtab]) -> None:
    page = app.open(THUMBS)
    group = page.get_by_role("group", name="Was this answer helpful?")
    expect(group.get_by_role("button")).to_have_count(2)
    expect(page.get_by_role("status")).to_have_text("")
    page.get_by_role("button", name="Helpful", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Thank you for your feedback.")
    assert "[pressed]" in group.aria_snapshot()
    page.get_by_role("button", name="Helpful", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Feedback taken back.")
    assert "[pressed]" not in group.aria_snapshot()


def test_thumbs_speak_the_language_of_the_app_and_tell_it_of_the_vote(app: App[Trimtab]) -> None:
    page = app.open(
        f"<trimtab-thumbs inference={ANSWER} value=1 label='Hat das geholfen?' up=Ja down=Nein thanks=Danke>"
        "</trimtab-thumbs><script>addEventListener('trimtab-vote', e => document.title = `${e.detail.value}`)</script>"
    )
    expect(page.get_by_role("button", name="Ja")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("group", name="Hat das geholfen?").get_by_role("button", name="Nein").click()
    expect(page.get_by_role("status")).to_have_text("Danke")
    expect(page).to_have_title("0")
    assert page.evaluate("document.querySelector('trimtab-thumbs').value") == 0


def test_thumbs_take_the_answer_of_the_element_around_them(app: App[Trimtab]) -> None:
    page = app.open(f"<div data-trimtab-inference={ANSWER}><trimtab-thumbs></trimtab-thumbs></div>")
    page.get_by_role("button", name="Not helpful").click()
    page.close()
    assert app.server.feedback()[0]["inference_id"] == ANSWER


def test_thumbs_given_the_next_answer_start_unpressed(app: App[Trimtab]) -> None:
    page = app.open(THUMBS)
    up = page.get_by_role("button", name="Helpful", exact=True)
    up.click()
    page.evaluate(f"document.querySelector('trimtab-thumbs').setAttribute('inference', '{OTHER}')")
    expect(up).to_have_attribute("aria-pressed", "false")
    up.click()
    page.close()
    assert [event["inference_id"] for event in app.server.feedback(2)] == [ANSWER, OTHER]


def test_thumbs_made_by_script_work(app: App[Trimtab]) -> None:
    page = app.open("<main></main>")
    page.evaluate(
        "id => { const thumbs = document.createElement('trimtab-thumbs'); thumbs.setAttribute('inference', id);"
        "document.querySelector('main').append(thumbs) }",
        ANSWER,
    )
    page.get_by_role("button", name="Not helpful").click()
    page.close()
    assert votes(app, 1) == [(0, False)]
    assert app.thrown == []


def test_thumbs_keep_to_a_strict_content_security_policy(app: App[Trimtab]) -> None:
    policy = f"default-src 'none'; script-src 'unsafe-inline' {app.server.origin}; connect-src {app.server.origin}"
    page = app.open(THUMBS, head=f'<meta http-equiv=Content-Security-Policy content="{policy}">')
    page.get_by_role("button", name="Helpful", exact=True).click()
    page.close()
    assert votes(app, 1) == [(1, False)]
    assert app.console == []


@pytest.mark.parametrize("width", [28])
def test_thumbs_are_large_enough_to_hit(app: App[Trimtab], width: int) -> None:
    page = app.open(THUMBS)
    for name in ("Helpful", "Not helpful"):
        box = page.get_by_role("button", name=name, exact=True).bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= width
