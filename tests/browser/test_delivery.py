"""An event reaches the server once, whatever happens to page, network or server; and the page never feels it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import ANSWER, OTHER, App
from tests.browser.recorder import Recorder, Site
from trimtab.clock import SystemClock

Wired = App[Recorder]
SECRET = "my card number is 4111"


@pytest.fixture
def app(context: BrowserContext, recorder: Recorder, site: Site) -> Wired:
    """The app with a server that tells each request and fails on demand."""
    return App(context, recorder, site)


def say(page: Page, *answers: str) -> None:
    for answer in answers:
        page.evaluate("answer => trimtab.comment(answer, 'It said: ' + answer)", answer)


def waiting(page: Page, count: int) -> None:
    page.wait_for_function("count => trimtab.stats().waiting === count", arg=count)


def shelved(page: Page, count: int) -> None:
    """Wait until IndexedDB holds `count` events."""
    page.wait_for_function(
        """count => new Promise(resolve => {
            const opened = indexedDB.open(`trimtab ${origin}`)
            opened.onsuccess = () => {
                const counted = opened.result.transaction('events').objectStore('events').count()
                counted.onsuccess = () => { opened.result.close(); resolve(counted.result === count) }
            }
        })""".replace("${origin}", "${window.collector}"),
        arg=count,
    )


def opened(app: Wired, **options: Any) -> Page:
    return app.open(f"<script>window.collector = '{app.server.origin}'</script>", **options)


def test_an_open_page_sends_by_itself_in_one_batch_with_the_key_in_the_header(app: Wired) -> None:
    page = opened(app)
    say(page, ANSWER, OTHER, ANSWER)
    app.server.feedback(3)
    waiting(page, 0)
    (request,) = app.server.requests
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == f"Bearer {app.server.key}"
    assert request.headers["origin"] == app.site.origin
    assert request.query == {}
    assert page.evaluate("trimtab.stats()") == {"sent": 3, "dropped": 0, "waiting": 0}
    shelved(page, 0)


def test_what_was_said_the_moment_before_the_tab_closed_arrives_without_a_preflight(app: Wired) -> None:
    page = opened(app)
    say(page, ANSWER)
    page.close()
    app.server.feedback()
    assert app.server.preflights == 0
    request = app.server.requests[0]
    assert request.outlives_its_page
    assert request.query == {"key": [app.server.key]}
    assert request.headers["origin"] == app.site.origin


def test_what_was_said_the_moment_before_following_a_link_arrives(app: Wired) -> None:
    page = app.open("<a href='/elsewhere' onclick='trimtab.accept(\"" + ANSWER + "\")'>away</a>")
    page.get_by_role("link").click()
    assert app.server.feedback()[0]["kind"] == "accept"


def test_offline_events_wait_and_arrive_when_the_network_is_back(app: Wired, context: BrowserContext) -> None:
    page = opened(app)
    context.set_offline(True)
    say(page, ANSWER, OTHER)
    page.evaluate("trimtab.flush()")
    waiting(page, 2)
    shelved(page, 2)
    assert app.server.requests == []
    context.set_offline(False)
    assert {event["inference_id"] for event in app.server.feedback(2)} == {ANSWER, OTHER}
    waiting(page, 0)
    shelved(page, 0)


def test_a_tab_closed_offline_delivers_on_the_next_visit_with_the_same_ids(app: Wired, context: BrowserContext) -> None:
    page = opened(app)
    context.set_offline(True)
    made = [page.evaluate(f"trimtab.accept('{answer}')") for answer in (ANSWER, OTHER)]
    shelved(page, 2)
    page.close()
    context.set_offline(False)
    page = opened(app, path="/again")
    assert [event["id"] for event in app.server.feedback(2)] == made
    waiting(page, 0)
    shelved(page, 0)


def test_a_failing_server_is_asked_again_and_stores_each_event_once(app: Wired) -> None:
    app.server.status = 503
    page = opened(app)
    say(page, ANSWER, OTHER)
    app.server.wait_until(lambda: len(app.server.requests) >= 3)
    assert app.server.stored == {}
    app.server.status = 200
    assert len(app.server.feedback(2)) == 2
    waiting(page, 0)
    sent = [[event["id"] for event in request.events] for request in app.server.requests]
    assert all(ids == sent[0] for ids in sent)
    assert page.evaluate("trimtab.stats().sent") == 2


def test_a_server_that_says_when_is_asked_then_and_not_before(app: Wired) -> None:
    app.server.status, app.server.headers = 429, {"retry-after": "30"}
    page = opened(app)
    page.clock.install()
    page.evaluate(f"trimtab.accept('{ANSWER}')")
    page.clock.run_for(1100)
    app.server.wait_until(lambda: len(app.server.requests) == 1)
    page.wait_for_load_state("networkidle")
    page.clock.run_for(28_000)
    page.wait_for_load_state("networkidle")
    assert len(app.server.requests) == 1
    app.server.status = 200
    page.clock.run_for(4_000)
    app.server.feedback()
    assert len(app.server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 413, 422])
def test_a_refusal_is_final_counted_and_told_once(app: Wired, status: int) -> None:
    app.server.status = status
    page = opened(app)
    say(page, ANSWER)
    page.evaluate("trimtab.flush()")
    waiting(page, 0)
    say(page, ANSWER)
    page.evaluate("trimtab.flush()")
    assert page.evaluate("trimtab.stats()") == {"sent": 0, "dropped": 2, "waiting": 0}
    assert [line for line in app.console if "trimtab" in line] == [f"trimtab: the server refused events ({status})"]
    assert len(app.server.requests) == 2
    shelved(page, 0)


def test_one_refused_event_does_not_hold_back_the_others(app: Wired) -> None:
    page = opened(app)
    page.evaluate("answer => { trimtab.thumb(answer, true); trimtab.rating(answer, 9, 5) }", ANSWER)
    page.evaluate("trimtab.flush()")
    assert page.evaluate("trimtab.stats()") == {"sent": 1, "dropped": 1, "waiting": 0}
    assert [event["kind"] for event in app.server.feedback()] == ["thumb"]


def test_a_full_queue_drops_the_oldest_and_counts_it(app: Wired, context: BrowserContext) -> None:
    page = opened(app)
    context.set_offline(True)
    ids = page.evaluate("answer => Array.from({length: 1003}, () => trimtab.accept(answer))", ANSWER)
    assert page.evaluate("trimtab.stats()") == {"sent": 0, "dropped": 3, "waiting": 1000}
    shelved(page, 1000)
    context.set_offline(False)
    assert [event["id"] for event in app.server.feedback(1000)] == ids[3:]
    assert all(len(request.events) <= 100 for request in app.server.requests)


def test_an_event_older_than_a_week_is_dropped_on_the_next_visit(app: Wired, context: BrowserContext) -> None:
    page = opened(app)
    context.set_offline(True)
    say(page, ANSWER)
    shelved(page, 1)
    page.close()
    context.set_offline(False)
    context.clock.set_fixed_time(SystemClock().now() + timedelta(days=8))
    page = opened(app, path="/again")
    page.wait_for_function("trimtab.stats().dropped === 1")
    shelved(page, 0)
    assert page.evaluate("trimtab.stats()") == {"sent": 0, "dropped": 1, "waiting": 0}


def test_a_closing_tab_sends_what_fits_and_keeps_the_rest_for_the_next_visit(app: Wired) -> None:
    page = opened(app)
    page.evaluate("answer => { for (const c of 'abcd') trimtab.comment(answer, c.repeat(25000)) }", ANSWER)
    shelved(page, 4)
    page.close()
    app.server.feedback(2)
    assert len(app.server.stored) == 2
    opened(app, path="/again")
    assert [event["text"][0] for event in app.server.feedback(4)] == list("abcd")


def test_a_token_for_one_answer_stands_instead_of_a_key(app: Wired) -> None:
    page = app.open(
        f"<div data-trimtab-inference={ANSWER} data-trimtab-token={app.server.token}>"
        "<trimtab-thumbs></trimtab-thumbs></div>",
        key=None,
    )
    page.get_by_role("button", name="Not helpful").click()
    page.evaluate("trimtab.flush()")
    app.server.feedback()
    (request,) = app.server.requests
    assert request.headers["authorization"] == f"Bearer {app.server.token}"
    assert app.server.token not in str(request.events)


def test_events_under_different_credentials_never_share_a_request(app: Wired) -> None:
    page = opened(app)
    say(page, ANSWER)
    page.evaluate(f"trimtab.accept({{inference: '{OTHER}', token: '{app.server.token}'}})")
    page.close()
    app.server.feedback(2)
    assert {(request.query["key"][0], len(request.events)) for request in app.server.requests} == {
        (app.server.key, 1),
        (app.server.token, 1),
    }


def test_without_key_or_token_nothing_is_sent_and_the_console_says_so(app: Wired) -> None:
    page = app.open(key=None)
    assert page.evaluate(f"trimtab.accept('{ANSWER}')") is None
    assert app.console == ["trimtab: neither a key nor a token was given"]


def test_what_is_said_before_init_waits_for_it(app: Wired) -> None:
    app.site.pages["/"] = (
        f"<script src='{app.server.origin}/sdk.js'></script><script>trimtab.accept('{ANSWER}');"
        f"trimtab.init({{key: '{app.server.key}', origin: '{app.server.origin}/'}})</script>"
    )
    page = app.context.new_page()
    page.goto(app.site.origin)
    page.close()
    assert app.server.feedback()[0]["kind"] == "accept"


@pytest.mark.parametrize("signal", ["globalPrivacyControl: true", "doNotTrack: '1'"])
def test_do_not_track_is_honoured_when_told_to(app: Wired, signal: str) -> None:
    name, _, value = signal.partition(": ")
    app.context.add_init_script(f"Object.defineProperty(navigator, '{name}', {{value: {value}}})")
    card = f"<p id=answer data-trimtab-inference={ANSWER}>Refunds take five days.</p>"
    page = app.open(card, signals="copy abandon dwell", user="u-1", session="s-1", respectDoNotTrack=True)
    page.locator("#answer").select_text()
    page.keyboard.press("Control+c")
    page.evaluate(f"trimtab.accept({{inference: '{ANSWER}', user: 'u-1'}})")
    page.close()
    (event,) = app.server.feedback()
    assert event["kind"] == "accept"
    assert event.keys().isdisjoint({"user_id", "session_id"})


def test_no_cookie_is_set_or_sent_and_nothing_else_is_stored(app: Wired) -> None:
    app.server.headers = {"set-cookie": "spy=1"}
    app.context.add_cookies([{"name": "login", "value": "1", "url": app.server.origin}])
    page = opened(app)
    say(page, ANSWER)
    page.evaluate("trimtab.flush()")
    say(page, OTHER)
    page.close()
    app.server.feedback(2)
    assert all("cookie" not in request.headers for request in app.server.requests)
    assert [cookie.get("name") for cookie in app.context.cookies()] == ["login"]
    state = app.context.storage_state()
    assert [origin.get("localStorage") for origin in state.get("origins", []) if origin.get("localStorage")] == []


def test_the_page_is_never_thrown_at_and_the_console_never_holds_what_was_said(app: Wired) -> None:
    app.server.status = 401
    page = opened(app)
    page.evaluate(
        """secret => {
            const odd = {get text() { throw new Error(secret) }, kind: 'comment', inference: 'x'}
            const loop = {}; loop.loop = loop
            for (const call of [
                () => trimtab.feedback(odd), () => trimtab.feedback(null), () => trimtab.comment(null, secret),
                () => trimtab.feedback({kind: 'comment', text: secret, inference: loop}),
                () => trimtab.edit('x', null, secret), () => trimtab.init({origin: secret}), () => trimtab.init(),
                () => trimtab.comment('x', secret), () => trimtab.flush(), () => trimtab.close(),
            ]) call()
        }""",
        SECRET,
    )
    page.close()
    assert app.thrown == []
    assert SECRET not in str(app.console)


def test_a_browser_without_indexeddb_still_sends(app: Wired) -> None:
    app.context.add_init_script("Object.defineProperty(window, 'indexedDB', {get() { throw new Error('denied') }})")
    page = app.open()
    say(page, ANSWER)
    app.server.feedback()
    waiting(page, 0)
    assert app.thrown == []
