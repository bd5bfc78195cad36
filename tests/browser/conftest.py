"""A real Chromium, an app's page, and on another origin a real Trimtab server, or a recorder that fails on demand."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.package import PACKAGE, npm
from tests.browser.recorder import WAIT_S, Recorder, Site
from tests.live import Live, live
from trimtab.client import Client

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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for one module: while playwright runs it holds the thread's event loop, which other tests need."""
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


class Server(Protocol):
    """Where events go."""

    origin: str
    key: str

    def feedback(self, count: int = 1, kind: str | None = None) -> list[dict[str, Any]]:
        """Wait until `count` events (of `kind`) are stored and return them in their own order of time."""
        ...


class Trimtab:
    """A real Trimtab server; what it stored is read over HTTP."""

    def __init__(self, running: Live) -> None:
        self.origin, self.key = running.url, running.keys["public"]
        self._admin = running.client("admin")
        made = self._admin.post("/v1/keys", json={"kind": "public", "origins": ["https://elsewhere.example"]})
        self.elsewhere: str = made.raise_for_status().json()["key"]
        with Client(running.url, running.keys["ingest"], spool_bytes=0, strict=True) as client:
            self.token = client.feedback_token(ANSWER, user="u-17")
        self._stored = threading.Event()
        running.engine.intake.on_stored = self._stored.set
        for feature in ("answers", "search"):
            self._admin.put(f"/v1/features/{feature}", json={}).raise_for_status()

    def feedback(self, count: int = 1, kind: str | None = None) -> list[dict[str, Any]]:
        """Wait until `count` events (of `kind`) are stored and return them in their own order of time."""
        while True:
            self._stored.clear()
            items = self._admin.get("/v1/feedback", params={"limit": 200}).raise_for_status().json()["items"]
            found = [item for item in items if kind in (None, item["kind"])]
            if len(found) >= count:
                return sorted(found, key=lambda event: str(event["id"]))
            if not self._stored.wait(WAIT_S):
                raise AssertionError(f"waited {WAIT_S} s for {count} {kind}; stored {items}")

    def close(self) -> None:
        """Let go of the connection."""
        self._admin.close()


@pytest.fixture
def server(script: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trimtab]:
    """A real server that serves the script as it is now."""
    monkeypatch.setattr("trimtab.server.app.built_script", lambda: script)
    with live(tmp_path) as running:
        trimtab = Trimtab(running)
        yield trimtab
        trimtab.close()


@pytest.fixture
def recorder(script: bytes) -> Iterator[Recorder]:
    with Recorder(script) as recorder:
        yield recorder


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        site.pages["/elsewhere"] = "<title>elsewhere</title><a href='/'>back</a>"
        yield site


S = TypeVar("S", bound=Server)


class App(Generic[S]):
    """The app: its page, opened in a tab, with what the tab wrote to its console and what it threw."""

    def __init__(self, context: BrowserContext, server: S, site: Site) -> None:
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
def app(context: BrowserContext, server: Trimtab, site: Site) -> App[Trimtab]:
    """The app with a real server."""
    return App(context, server, site)
