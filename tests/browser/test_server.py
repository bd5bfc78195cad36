"""The whole way with a real server: from the person's hand to what is stored, once, whatever happens between."""

from __future__ import annotations

from playwright.sync_api import BrowserContext

from tests.browser.conftest import ANSWER, OTHER, App, Trimtab
from tests.docs.page import ROOT, parse


def test_a_vote_reaches_the_store_of_a_server_on_another_origin(app: App[Trimtab]) -> None:
    page = app.open(f"<trimtab-thumbs inference={ANSWER}></trimtab-thumbs>")
    page.get_by_role("button", name="Not helpful").click()
    (event,) = app.server.feedback()
    assert (event["kind"], event["value"], event["inference_id"]) == ("thumb", 0, ANSWER)
    page.wait_for_function("trimtab.stats().sent === 1")
    assert app.console == []


def test_what_was_said_as_the_tab_closed_is_stored(app: App[Trimtab]) -> None:
    page = app.open()
    page.evaluate(f"trimtab.comment('{ANSWER}', 'Wrong plan.')")
    page.close()
    assert app.server.feedback()[0]["text"] == "Wrong plan."


def test_what_was_said_offline_is_stored_once_the_network_is_back(app: App[Trimtab], context: BrowserContext) -> None:
    page = app.open()
    context.set_offline(True)
    made = [page.evaluate(f"trimtab.accept('{answer}')") for answer in (ANSWER, OTHER)]
    page.evaluate("trimtab.flush()")
    context.set_offline(False)
    assert [event["id"] for event in app.server.feedback(2)] == made


def test_an_event_sent_again_is_stored_once(app: App[Trimtab]) -> None:
    page = app.open("<a href='/elsewhere'>away</a>")
    made = page.evaluate(f"trimtab.accept('{ANSWER}')")
    # Leaving sends it without knowing whether it arrived, so the next visit sends it again.
    page.get_by_role("link").click()
    app.server.feedback()
    page = app.open(path="/again")
    page.evaluate(f"trimtab.reject('{ANSWER}')")
    assert [event["kind"] for event in app.server.feedback(2)] == ["accept", "reject"]
    assert app.server.feedback()[0]["id"] == made


def test_corrections_are_cleaned_before_they_are_stored(app: App[Trimtab]) -> None:
    page = app.open()
    page.evaluate(f"trimtab.correction('{ANSWER}', 'Write to jane.doe@example.com instead.')")
    page.close()
    (event,) = app.server.feedback()
    assert "jane.doe" not in event["text"]
    assert event["text"].startswith("Write to ")


def documented(language: str) -> list[str]:
    """Return the blocks of one language on the browser SDK's page."""
    return [block.code for block in parse(ROOT / "docs/browser-sdk.md").blocks if block.language == language]


def test_the_first_snippet_of_the_documentation_works_as_it_stands(app: App[Trimtab]) -> None:
    html = documented("html")[0].replace("https://feedback.example.com", app.server.origin)
    app.site.pages["/"] = "<!doctype html><meta charset=utf-8>" + html.replace("tt_public_...", app.server.key)
    page = app.context.new_page()
    page.goto(app.site.origin)
    page.get_by_role("button", name="Not helpful").click()
    (event,) = app.server.feedback()
    assert event["user_id"] == "u-17"
    assert event["inference_id"] in html


def test_the_calls_of_the_documentation_do_what_they_say(app: App[Trimtab]) -> None:
    page = app.open()
    code = next(block for block in documented("ts") if block.startswith("thumb("))
    page.evaluate(
        "([code, id]) => new Function('trimtab', 'id', 'shown', 'kept', `with (trimtab) { ${code} }`)"
        "(trimtab, id, 'five days', 'nine days')",
        [code, ANSWER],
    )
    page.close()
    said = [event["kind"] for event in app.server.feedback(11)]
    helpers = ["thumb", "rating", "label", "correction", "comment", "accept", "reject", "edit", "outcome"]
    assert said == [*helpers, "thumb", "rating"]


def test_a_token_carries_votes_and_last_words_without_a_public_key(app: App[Trimtab]) -> None:
    page = app.open(f"<trimtab-thumbs inference={ANSWER} token={app.server.token}></trimtab-thumbs>", key="")
    page.get_by_role("button", name="Not helpful").click()
    assert app.server.feedback()[0]["user_id"] == "u-17"
    page.evaluate(f"trimtab.comment({{inference: '{ANSWER}', token: '{app.server.token}'}}, 'Wrong plan.')")
    page.close()
    assert [event["kind"] for event in app.server.feedback(2)] == ["thumb", "comment"]


def test_a_page_that_a_key_is_not_for_is_refused_and_gives_up(app: App[Trimtab]) -> None:
    page = app.open(key=app.server.elsewhere)
    page.evaluate(f"trimtab.accept('{ANSWER}')")
    page.wait_for_function("trimtab.stats().dropped === 1")
    assert any("(403)" in line for line in app.console)
