"""A real Chromium, an app's page on one origin and a server on another.

`server` is the one fixture to change for another server: it has `origin`, `key`, `token`, and `feedback(count, kind)`,
which waits for what was stored.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.package import PACKAGE, npm
from tests.browser.recorder import Recorder, Site

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
ANSWER = "019a0000-0000-7000-8000-000000000001"
OTHER = "019a0000-0000-7000-8000-000000000002"


@pytest.fixture(scope="session")
def script() -> bytes:
    """The script as the server serves it at /sdk.js."""
    built = npm("run", "build")
    assert built.returncode == 0, built.stdout + built.stderr
    return (PACKAGE / "dist/sdk.js").read_bytes()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("the browser tests need Debian's chromium")
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        # Going back to a page must find it as it was left, as it does for people.
        cached = ["--disable-back-forward-cache"]
        yield playwright.chromium.launch(executable_path=path, args=FLAGS, ignore_default_args=cached)


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh profile."""
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def server(script: bytes) -> Iterator[Recorder]:
    with Recorder(script) as recorder:
        yield recorder


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        site.pages["/elsewhere"] = "<title>elsewhere</title><a href='/'>back</a>"
        yield site


class App:
    """The app: its page, opened in a tab, with what the tab wrote to its console and what it threw."""

    def __init__(self, context: BrowserContext, server: Recorder, site: Site) -> None:
        self.context, self.server, self.site = context, server, site
        self.console: list[str] = []
        self.thrown: list[str] = []

    def open(self, body: str = "", *, signals: str = "", path: str = "/", head: str = "", **options: Any) -> Page:
        """Open a page of `body` that starts the SDK with `options`, watching `signals` (names, separated by spaces)."""
        told = {"key": self.server.key, "origin": self.server.origin, "feature": "answers", **options}
        watched = ",".join(f"trimtab.watch{name.title()}" for name in signals.split())
        self.site.pages[path] = (
            f"<!doctype html><meta charset=utf-8><title>app</title>{head}<body>{body}"
            f"<script src='{self.server.origin}/sdk.js'></script>"
            f"<script>trimtab.init({{...{json.dumps(told)}, signals: [{watched}]}})</script>"
        )
        page = self.context.new_page()
        page.on("console", lambda message: self.console.append(message.text))
        page.on("pageerror", lambda error: self.thrown.append(str(error)))
        page.goto(self.site.origin + path)
        return page


@pytest.fixture
def app(context: BrowserContext, server: Recorder, site: Site) -> App:
    return App(context, server, site)
