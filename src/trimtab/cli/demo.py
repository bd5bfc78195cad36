"""`trimtab demo`: the whole loop on a sample product, on this machine, in a few minutes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from trimtab.act.answering.choice import open_one
from trimtab.act.runner import Runner
from trimtab.client import Client
from trimtab.clock import SetClock
from trimtab.config import Settings, Storage, load
from trimtab.errors import Unavailable
from trimtab.redact.wall import seal
from trimtab.runtime.assemble import assemble
from trimtab.server.auth import mint
from trimtab.store.ports import Writes
from trimtab.study.product.brisk import WEEKS
from trimtab.study.product.desk import ARMS, START, ArmTotals, Day, Desk, People, feature_of
from trimtab.study.product.desk_api import DeskApi

__all__ = ["demo"]

_MONTHS = 6
_SETTINGS = {
    "TRIMTAB_SERVER__CLOCK": "set",
    "TRIMTAB_MONITORING__BASELINE_VOTES": "150",
    "TRIMTAB_MONITORING__HORIZON_VOTES": "1000",
    "TRIMTAB_PLAYBOOK__LOOKBACK_DAYS": "42",
    "TRIMTAB_PLAYBOOK__COOLDOWN_HOURS": "48",
    "TRIMTAB_CANARY__STEPS": "0.2, 0.5",
    "TRIMTAB_CANARY__STEP_EXPOSURES": "25",
    "TRIMTAB_CANARY__HORIZON_HOURS": "336",
    "TRIMTAB_EMBEDDING__KIND": "none",  # half a year of weekly fits in two minutes, for a search nobody makes
    "TRIMTAB_LAKE__ENABLED": "false",  # a day of the demo is a commit or more, of history nobody asks for
    "TRIMTAB_TOPICS__EVERY_HOURS": "0",  # nor half a year of nights of looking for topics
    "TRIMTAB_LOGGING__LEVEL": "warning",
    f"TRIMTAB_FEATURES__{feature_of('static')}__PLAYBOOK": "off",
    f"TRIMTAB_FEATURES__{feature_of('human')}__PLAYBOOK": "off",
}


def demo(
    *,
    exit_: Annotated[bool, typer.Option("--exit", help="End when it is done; else the server stays up.")] = False,
    seed: Annotated[int, typer.Option(help="Another seed is another six months.")] = 0,
    weeks: Annotated[int, typer.Option(min=8, max=WEEKS, help="How many weeks to live through.")] = WEEKS,
    per_week: Annotated[int, typer.Option(min=50, max=20_000, help="Questions a week, for each desk.")] = 1000,
    data: Annotated[Path | None, typer.Option(help="An empty directory to keep the store in.")] = None,
) -> None:
    """Run a sample product through six months of change, with simulated people, and watch the loop work.

    Three support desks answer the same questions: one is launched and left alone, one is looked after by hand once a
    month, one has the loop. Everything is real but the people: the server, the store, the SDK, the tests and the votes'
    way through them.
    """
    console = Console()
    stay = not exit_ and sys.stdout.isatty()
    folder = data or Path(tempfile.mkdtemp(prefix="trimtab-demo-"))
    if data is not None and data.exists() and any(data.iterdir()):
        raise typer.BadParameter(f"{str(data)!r} is not empty; name a new directory", param_hint="--data")
    try:
        keys = _keys(folder)
        with _server(folder, console) as url:
            _live(console, url, keys, folder, seed=seed, weeks=weeks, per_week=per_week)
            if stay:
                _look_around(console, url, keys["admin"], folder)
    finally:
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)


def _live(
    console: Console, url: str, keys: dict[str, str], folder: Path, *, seed: int, weeks: int, per_week: int
) -> None:
    people = People()
    _introduce(console, people, weeks, per_week)
    api = DeskApi(url, keys["admin"])

    def client(clock: SetClock) -> Client:
        return Client(url, keys["ingest"], refresh_s=0.05, spool_dir=folder / "spool", clock=clock.now)

    desk = Desk(api, client, _runner(), per_week=per_week, seed=seed, people=people)
    started = time.monotonic()
    try:
        desk.open()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"))
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
            task = progress.add_task("six months", total=weeks * 7)
            for day in desk.days(weeks):
                _tell(progress.console, day)
                progress.update(task, advance=1, description=f"week {day.week + 1:>2}")
        console.print(_table(desk.totals, weeks))
        _conclude(console, api, desk, time.monotonic() - started)
    finally:
        desk.close()
        api.close()


def _introduce(console: Console, people: People, weeks: int, per_week: int) -> None:
    console.print(
        f"[bold]Brisk[/bold], an invented company that rents out bicycles, answers {per_week} questions a week on each "
        f"of three desks, for {weeks} weeks.\n"
        f"The people are simulated: {people.vote_if_bad:.0%} of those with a wrong answer press a thumb, and "
        f"{people.vote_if_good:.0%} of those with a right one.\n"
        f"Of those who press thumbs-down on a wrong answer {people.corrects:.0%} write what is right, "
        f"{people.correction_wrong:.0%} of these wrongly. All else is real.\n"
    )


def _tell(console: Console, day: Day) -> None:
    when = f"[dim]{START + timedelta(days=day.number + 1):%d %b}[/dim]"
    for line in day.product:
        console.print(f"{when}  [yellow]product[/yellow]  {line}", soft_wrap=True)
    for line in day.loop:
        style = "bold green" if "VERIFIED" in line else "red" if "incident:" in line and "say no" in line else "cyan"
        console.print(f"{when}  [{style}]loop[/{style}]     {line}", soft_wrap=True)


def _table(totals: dict[str, ArmTotals], weeks: int) -> Table:
    table = Table(
        title="Right answers by month in %, points lost", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("desk", no_wrap=True)
    months = min(_MONTHS, max(weeks // 4, 1))
    for month in range(months):
        table.add_column(f"m{month + 1}", justify="right")
    for title in ("lost live", "lost fresh", "labels"):
        table.add_column(title, justify="right", no_wrap=True)
    for arm in ARMS:
        told = totals[arm]
        spans = [_span(month, months, weeks) for month in range(months)]
        monthly = [sum(told.right[a:b]) / max(sum(told.asked[a:b]), 1) for a, b in spans]
        fresh = [sum(told.fresh[a:b]) / (b - a) for a, b in spans]
        table.add_row(
            arm,
            *(f"{100 * value:.1f}" for value in monthly),
            f"{100 * (monthly[0] - monthly[-1]):+.1f}",
            f"{100 * (fresh[0] - fresh[-1]):+.1f}",
            str(told.labels),
        )
    return table


def _span(month: int, months: int, weeks: int) -> tuple[int, int]:
    return month * weeks // months, (month + 1) * weeks // months


def _conclude(console: Console, api: DeskApi, desk: Desk, seconds: float) -> None:
    velocity = api.velocity(feature_of("closed"))
    fix, change = velocity["time_to_verified_fix"], velocity["time_to_change"]
    lines = [
        "Lost: points, first month less last. Live: what people asked; fresh: questions never asked.",
        f"The loop opened {velocity['incidents']} incidents and verified {velocity['verified']} fixes.",
        f"Median time from detection to the first user served: {_days(change)};",
        f"from the first bad signal to the proof: {_days(fix)}.",
        f"A person was asked {desk.totals['closed'].approvals} times. {seconds:.0f} seconds on this machine.",
    ]
    console.print("\n".join(lines))


def _days(median: dict[str, Any]) -> str:
    told = f"n={median['n']}"
    return f"not reached ({told})" if median["seconds"] is None else f"{median['seconds'] / 86_400:.1f} days ({told})"


def _look_around(console: Console, url: str, key: str, folder: Path) -> None:
    console.print(
        f"\nThe server is still up at [bold]{url}[/bold]; its store is in {folder}.\nLook around, for example:\n"
        f"  curl -H 'Authorization: Bearer {key}' {url}/v1/incidents\n"
        f"  curl -H 'Authorization: Bearer {key}' {url}/v1/changes\n"
        f"  trimtab report --data {folder}\n"
        "Ctrl-C ends it.",
        highlight=False,
        soft_wrap=True,
    )
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("Ended.")


def _runner() -> Runner:
    return open_one(load().settings.runner)[0]


def _keys(folder: Path) -> dict[str, str]:
    """Make the store and the keys that the sample product uses, before the server starts on it."""
    with assemble(Settings(storage=Storage(path=str(folder))), clock=SetClock(START)) as engine:
        minted = {kind: mint(kind, "default", "demo", START) for kind in ("admin", "ingest")}
        keys = [seal(engine.redactor.of("default"), item.key) for item in minted.values()]
        engine.store.commit({"default": Writes(keys=keys)})
        return {kind: item.secret for kind, item in minted.items()}


@contextmanager
def _server(folder: Path, console: Console) -> Iterator[str]:
    """Run a server of our own on a free port until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {**os.environ, **_SETTINGS, "TRIMTAB_STORAGE__PATH": str(folder), "TRIMTAB_SERVER__PORT": str(port)}
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "trimtab", "serve"], env=environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _await(process, url, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                console.print("[yellow]the server did not end by itself and was killed[/yellow]")
                process.kill()
                process.wait()


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Unavailable(f"the demo's server ended at once:\n{log.read_text(errors='replace')[-2000:]}")
        try:
            if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise Unavailable(f"the demo's server was not ready within 30 seconds; its log is {log}")
