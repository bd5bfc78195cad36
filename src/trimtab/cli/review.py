"""`trimtab review`: judge the answers that wait for a person, one key each."""

from __future__ import annotations

import functools
import getpass
import json as json_
import os
import sys
import termios
import time
import tty
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from trimtab.cli.failure import told_plainly
from trimtab.cli.review_table import ask, rendered
from trimtab.errors import AuthError, ConfigError, InputError, NotFound, TrimtabError, Unavailable
from trimtab.records import text_of

__all__ = ["review"]

_KEYS = "[b]g[/b]ood  [b]b[/b]ad  [b]c[/b]orrect it  [b]s[/b]kip  [b]q[/b]uit"
_VERDICTS = {"g": "good", "b": "bad", "s": "skip"}
_STOP = ("q", "\x1b", "\x04", "")

Key = Callable[[], str]


class _Desk(NamedTuple):
    """A reviewer at work: the connection, who it is, and of which feature."""

    api: httpx.Client
    reviewer: str
    feature: str | None


def review(
    *,
    url: Annotated[str, typer.Option(envvar="TRIMTAB_URL", help="The server.")] = "http://127.0.0.1:8787",
    key: Annotated[
        str, typer.Option(envvar="TRIMTAB_KEY", help="An admin key; better in the variable.", show_envvar=True)
    ] = "",
    reviewer: Annotated[
        str | None, typer.Option(help="Who judges; the name of this account.", show_default=False)
    ] = None,
    feature: Annotated[str | None, typer.Option(help="Only of this feature.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Only show what waits.")] = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="Choose now what to ask about --feature: the week's batch, before its time.")
    ] = False,
    learn: Annotated[
        bool, typer.Option("--learn", help="Make a change of what was judged of --feature now, before its time.")
    ] = False,
    themes: Annotated[bool, typer.Option("--themes", help="Show the failure themes of the last batches.")] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Show what was found, the minutes measured, and who agrees.")
    ] = False,
    link: Annotated[
        str | None,
        typer.Option("--link", help="Make a link to this item for --reviewer, who needs no key.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what is shown as JSON.")] = False,
) -> None:
    """Judge the answers that wait for a person. What you are shown nobody else gets until you are done with it."""
    with (
        told_plainly(),
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False) as api,
    ):
        if not key:
            raise ConfigError("expected an admin key in TRIMTAB_KEY, got none; `trimtab key create admin` makes one")
        if batch or learn or themes or summary or link is not None:
            call = functools.partial(_call, api)
            told = ask(call, feature, reviewer, batch=batch, learn=learn, themes=themes, link=link)
            if json:
                typer.echo(json_.dumps(told, indent=2))
            else:
                Console().print(rendered(told))
            return
        if list_:
            _list(api, feature, as_json=json)
            return
        if not sys.stdin.isatty():
            raise ConfigError("expected a terminal to judge in; --list shows what waits")
        _judge_all(_Desk(api, reviewer or getpass.getuser(), feature), Console(), _pressed)


def _list(api: httpx.Client, feature: str | None, *, as_json: bool) -> None:
    parameters = {"state": "open,reserved", "limit": "1000", **({"feature": feature} if feature else {})}
    items = _call(api, "GET", "/v1/review", params=parameters)["items"]
    items.sort(key=lambda item: -item["priority"])
    if as_json:
        typer.echo(json_.dumps(items, indent=2))
        return
    table = Table("id", "feature", "state", "priority", "why", "opened")
    for item in items:
        told = (item["id"], item["feature"], item["state"], f"{item['priority']:.2f}", item["reason"])
        table.add_row(*(escape(each) for each in told), item["opened_at"][:16].replace("T", " "))
    Console().print(table if items else "Nothing waits for review.")


def _judge_all(desk: _Desk, console: Console, key: Key) -> None:
    """Show item after item until none is left or the reviewer stops; say how many, and how long they took."""
    judged, seconds = 0, 0.0
    while True:
        order = {"reviewer": desk.reviewer, "count": 1, **({"feature": desk.feature} if desk.feature else {})}
        found = _call(desk.api, "POST", "/v1/review/next", json=order)["items"]
        if not found:
            console.print("Nothing more waits for review.")
            break
        began = time.monotonic()
        _show(console, found[0])
        ruling = _ruling(console, key)
        if ruling is None:
            break
        took = time.monotonic() - began
        told = {"reviewer": desk.reviewer, "seconds": round(took, 1), **ruling}
        _call(desk.api, "POST", f"/v1/review/{found[0]['item']['id']}", json=told)
        judged, seconds = judged + 1, seconds + took
    if judged:
        console.print(f"{judged} judged, {seconds / judged:.0f} s each.")


def _ruling(console: Console, key: Key) -> dict[str, Any] | None:
    """Wait for a key that means something; None for one that ends the session."""
    while True:
        console.print(_KEYS)
        try:
            pressed = key().lower()  # an arrow key comes as several characters, which mean nothing
        except KeyboardInterrupt:
            return None
        if pressed in _STOP:
            return None
        if pressed in _VERDICTS:
            return {"verdict": _VERDICTS[pressed]}
        words = console.input("What would have been right? ").strip() if pressed == "c" else ""
        if words:
            return {"verdict": "bad", "correction": words}


def _pressed() -> str:
    """Return the next key without waiting for the end of a line; what was typed ahead counts."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        return os.read(descriptor, 32).decode(errors="replace")
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _show(console: Console, asked: dict[str, Any]) -> None:
    item = asked["item"]
    console.rule(escape(item["feature"]))
    if asked["input"] is None:
        console.print("This answer is no longer kept: skip it.")
        return
    if item["source"] == "example":
        console.print("An old example that answers rest on: is what it says still right?")
    console.print(Panel(escape(text_of(asked["input"])), title="question", title_align="left"))
    console.print(Panel(escape(text_of(asked["output"])), title="answer", title_align="left"))
    for said in asked["said"]:
        words = said.get("text") or said.get("label") or ("" if said.get("value") is None else f"{said['value']:g}")
        console.print(f"  {said['source']} {said['kind']}: {escape(words)}")


def _call(api: httpx.Client, method: str, path: str, **more: Any) -> Any:
    try:
        answer = api.request(method, path, **more)
    except httpx.HTTPError as error:
        raise Unavailable(f"no server answers at {api.base_url}: {type(error).__name__}; set --url") from error
    if answer.is_success:
        return answer.json()
    raise _refused(answer)


def _refused(answer: httpx.Response) -> TrimtabError:
    try:
        message = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"the server answered {answer.status_code}"
    kinds: dict[int, type[TrimtabError]] = {401: AuthError, 403: AuthError, 404: NotFound}
    return kinds.get(answer.status_code, Unavailable if answer.is_server_error else InputError)(message)
