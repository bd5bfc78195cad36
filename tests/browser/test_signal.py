"""Every implicit signal, made by real input in a real browser and read where it arrived."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import ANSWER, OTHER, App, Trimtab

CARD = f"<p id=answer data-trimtab-inference={ANSWER}>Refunds take five days.</p><p id=rest>Something else.</p>"


def kinds(app: App[Trimtab]) -> list[str]:
    return [event["kind"] for event in app.server.feedback()]


def seen(page: Page, milliseconds: int = 1100) -> None:
    """Let the person look at the page for a while."""
    page.evaluate("performance.mark('seen')")
    page.wait_for_function(f"performance.now() - performance.getEntriesByName('seen')[0].startTime > {milliseconds}")


def test_words_copied_from_an_answer_are_a_copy_once(app: App[Trimtab]) -> None:
    page = app.open(CARD, signals="copy")
    for _ in range(2):
        page.locator("#answer").select_text()
        page.keyboard.press("Control+c")
    assert page.evaluate("navigator.clipboard.readText()") == "Refunds take five days."
    page.close()
    (event,) = app.server.feedback()
    assert (event["kind"], event["inference_id"], event["feature"]) == ("copy", ANSWER, "answers")
    assert "text" not in event


def test_words_copied_elsewhere_are_no_signal(app: App[Trimtab]) -> None:
    page = app.open(CARD, signals="copy")
    page.locator("#rest").select_text()
    page.keyboard.press("Control+c")
    page.locator("#answer").select_text()
    page.keyboard.press("Control+c")
    page.close()
    assert [event["inference_id"] for event in app.server.feedback()] == [ANSWER]


def test_the_copy_button_of_an_answer_is_a_copy(app: App[Trimtab]) -> None:
    page = app.open(
        f"<div data-trimtab-inference={ANSWER}><button data-trimtab-action=copy>Copy</button></div>", signals="copy"
    )
    page.get_by_role("button").click()
    page.close()
    assert app.server.feedback()[0]["kind"] == "copy"


@pytest.mark.parametrize(
    "field",
    [
        f"<textarea id=draft data-trimtab-inference={ANSWER}>Refunds take 5 days.</textarea>",
        f"<div id=draft contenteditable data-trimtab-inference={ANSWER}>Refunds take 5 days.</div>",
    ],
    ids=["textarea", "contenteditable"],
)
def test_a_changed_draft_tells_how_much_was_changed_and_what_was_kept(app: App[Trimtab], field: str) -> None:
    page = app.open(f"{field}<input id=next>", signals="edit")
    page.locator("#draft").click()
    page.keyboard.press("Control+End")
    for key in ("ArrowLeft",) * 6 + ("Backspace", "9", "Tab"):
        page.keyboard.press(key)
    page.close()
    (event,) = app.server.feedback()
    assert (event["kind"], event["value"], event["text"]) == ("edit", 0.05, "Refunds take 9 days.")


def test_a_draft_emptied_by_the_app_after_sending_was_not_edited_away(app: App[Trimtab]) -> None:
    page = app.open(
        f"<textarea id=draft data-trimtab-inference={ANSWER} data-trimtab-edit=distance>abcd</textarea>", signals="edit"
    )
    page.locator("#draft").press("Control+End")
    page.keyboard.type("!")
    page.evaluate("document.getElementById('draft').value = ''")
    page.close()
    (event,) = app.server.feedback()
    assert event["value"] == 0.2
    assert "text" not in event


def test_a_field_inside_an_answer_is_not_the_answer(app: App[Trimtab]) -> None:
    page = app.open(
        f"<div data-trimtab-inference={ANSWER}><textarea id=remark></textarea></div>"
        f"<textarea id=draft data-trimtab-inference={OTHER}>a</textarea>",
        signals="edit",
    )
    page.locator("#remark").type("What is wrong?")
    page.locator("#draft").type("b")
    page.close()
    assert [event["inference_id"] for event in app.server.feedback()] == [OTHER]


def test_the_button_for_another_answer_is_a_regenerate_of_the_old_one(app: App[Trimtab]) -> None:
    page = app.open(
        f"<div id=card data-trimtab-inference={ANSWER}><button data-trimtab-action=regenerate>Again</button></div>"
        f"<script>card.querySelector('button').onclick = () => card.dataset.trimtabInference = '{OTHER}'</script>",
        signals="regenerate",
    )
    page.get_by_role("button").focus()
    page.keyboard.press("Enter")
    page.close()
    (event,) = app.server.feedback()
    assert (event["kind"], event["inference_id"]) == ("regenerate", ANSWER)


def test_a_followed_citation_names_its_source_and_not_its_address(app: App[Trimtab]) -> None:
    page = app.open(
        f"<a href='#out'>outside</a><div data-trimtab-inference={ANSWER}>"
        "<a href='#secret' data-trimtab-citation='doc:17'>[1]</a> <a href='#two'>[2]</a></div>",
        signals="click",
    )
    page.get_by_text("outside").click()
    page.get_by_text("[1]").click()
    page.get_by_text("[2]").focus()
    page.keyboard.press("Enter")
    page.close()
    first, second = app.server.feedback(2, "click")
    assert first["label"] == "doc:17"
    assert "label" not in second
    assert "secret" not in str([first, second])


def test_a_citation_opened_with_the_middle_button_counts(app: App[Trimtab]) -> None:
    page = app.open(f"<div data-trimtab-inference={ANSWER}><a href='/elsewhere'>[1]</a></div>", signals="click")
    page.get_by_role("link").click(button="middle")
    page.close()
    assert app.server.feedback()[0]["kind"] == "click"


def test_dwell_is_the_time_an_answer_was_in_sight(app: App[Trimtab]) -> None:
    page = app.open(
        f"{CARD}<div style='height:3000px'></div><p data-trimtab-inference={OTHER}>Never seen.</p>", signals="dwell"
    )
    seen(page, 1500)
    page.close()
    (event,) = app.server.feedback(1, "dwell")
    assert event["inference_id"] == ANSWER
    assert 1.5 <= event["value"] < 15


def test_dwell_counts_what_is_scrolled_to_and_added_later_and_ends_with_the_scroll(app: App[Trimtab]) -> None:
    page = app.open("<div id=top style='height:3000px'></div>", signals="dwell")
    page.evaluate(
        "id => { const p = document.createElement('p'); p.textContent = 'new';"
        "p.dataset.trimtabInference = id; document.body.append(p) }",
        OTHER,
    )
    page.mouse.move(100, 100)
    page.mouse.wheel(0, 4000)
    page.wait_for_function("scrollY > 1000")
    seen(page, 1500)
    page.close()
    (event,) = app.server.feedback(1, "dwell")
    assert event["inference_id"] == OTHER


def test_leaving_without_a_resolution_abandons_what_was_seen(app: App[Trimtab]) -> None:
    page = app.open(f"{CARD}<a href='/elsewhere'>away</a>", signals="abandon copy")
    seen(page, 300)
    page.get_by_text("away").click()
    (event,) = app.server.feedback(1, "abandon")
    assert event["inference_id"] == ANSWER


def test_a_resolved_answer_is_not_abandoned(app: App[Trimtab]) -> None:
    page = app.open(f"{CARD}<trimtab-thumbs inference={ANSWER}></trimtab-thumbs>", signals="abandon dwell")
    page.get_by_role("button", name="Not helpful").click()
    seen(page)
    page.close()
    assert [event["kind"] for event in app.server.feedback(2)] == ["thumb", "dwell"]


def test_who_comes_back_and_resolves_it_has_not_abandoned_it(app: App[Trimtab]) -> None:
    page = app.open(f"{CARD}<a href='/elsewhere'>away</a>", signals="abandon copy")
    seen(page, 300)
    page.get_by_text("away").click()
    app.server.feedback(1, "abandon")
    page.go_back(wait_until="commit")
    page.locator("#answer").select_text()
    page.keyboard.press("Control+c")
    page.close()
    left, back = app.server.feedback(2, "abandon")
    assert "retracted" not in left
    assert back["retracted"] is True
    assert app.server.feedback(1, "copy")


def test_a_signal_that_was_not_switched_on_is_not_watched(app: App[Trimtab]) -> None:
    page = app.open(CARD, signals="regenerate")
    page.locator("#answer").select_text()
    page.keyboard.press("Control+c")
    seen(page)
    page.evaluate(f"trimtab.accept('{ANSWER}')")
    page.close()
    app.server.feedback(1, "accept")
    assert kinds(app) == ["accept"]
