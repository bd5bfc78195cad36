"""What `trimtab review` shows of the queue as a whole: a batch, its themes, what reviewers did, a link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Column, Table

from trimtab.errors import ConfigError

__all__ = ["ask", "rendered"]

Call = Callable[..., Any]


def ask(
    call: Call, feature: str | None, reviewer: str | None, *, batch: bool, learn: bool, themes: bool, link: str | None
) -> dict[str, Any]:
    """Return the server's answer to the one thing that was asked for. Raises ConfigError where a name is missing."""
    of = {"feature": feature} if feature else {}
    if batch:
        if not feature:
            raise ConfigError("expected --feature with --batch, got none; a batch is of one feature")
        return {"batch": call("POST", "/v1/review/batches", json=of)}
    if learn:
        if not feature:
            raise ConfigError("expected --feature with --learn, got none; each feature learns by itself")
        plan = call("GET", "/v1/review/learn", params=of)
        return {"learned": plan | (call("POST", "/v1/review/learn", json=of) if plan["possible"] else {})}
    if link is not None:
        if not reviewer:
            raise ConfigError("expected --reviewer with --link, got none; a link is for one person")
        return {"link": call("POST", f"/v1/review/{link}/links", json={"reviewer": reviewer})}
    if themes:
        return {"themes": call("GET", "/v1/review/themes", params={"limit": "200", **of})["items"]}
    return {"summary": call("GET", "/v1/review/summary", params=of)}


def rendered(told: dict[str, Any]) -> RenderableType:
    """Return the answer as a person reads it."""
    [(kind, found)] = told.items()
    return _RENDERED[kind](found)


def _batch(found: dict[str, Any]) -> str:
    learned = f"learned from {found['reviews']} verdicts" if found.get("reviews") else "by the shipped weights"
    return (
        f"{found['themes']} themes and {found['audits']} drawn at random, of {found['answers']} answers; P(wrong) "
        f"{learned}."
    )


def _learned(found: dict[str, Any]) -> str:
    if "run_id" not in found:
        return f"Nothing to learn: {escape(found['reason'])}."
    return f"Learning: {escape(found['reason'])}. Run {found['run_id']} takes it through the gate."


def _themes(found: list[dict[str, Any]]) -> RenderableType:
    if not found:
        return "No batch was chosen yet."
    table = Table("answers", "wrong", "theme", "asked", Column("item", no_wrap=True))  # an id in two is none
    for card in found:
        theme, items = card["theme"], card["items"]
        said = ", ".join(item.get("verdict") or item["state"] for item in items)
        words = escape(", ".join(theme["words"]) or "(no words)")
        table.add_row(str(theme["size"]), f"{theme['weight']:.1f}", words, said, items[0]["id"] if items else "")
    return table


def _summary(found: dict[str, Any]) -> RenderableType:
    table = Table(show_header=False)
    table.add_row("waiting", f"{found['open']} open, {found['reserved']} reserved")
    table.add_row("judged", f"{found['done']}, and {found['skipped']} skipped")
    each = found["minutes_each"]
    if each is not None:
        table.add_row(
            "minutes", f"{found['minutes']:.1f} over {found['measured']} measured verdicts, median {each:.2f}"
        )
    for row in found["found"]:
        if row["judged"]:
            rate = f"{row['rate']:.0%} ({row['low']:.0%} to {row['high']:.0%})"
            table.add_row(f"bad, {row['source']}", f"{row['bad']} of {row['judged']}: {rate}")
    table.add_row("agreement", _kappa(found["agreement"]))
    for pair in found["pairs"]:
        table.add_row(escape(" and ".join(pair["reviewers"])), _kappa(pair["agreement"]))
    return table


def _kappa(found: dict[str, Any]) -> str:
    if found["kappa"] is None:
        return f"nothing can be said yet, {found['cards']} answers were judged by two"
    span = "" if found["low"] is None else f" ({found['low']:.2f} to {found['high']:.2f})"
    return f"kappa {found['kappa']:.2f}{span} over {found['cards']} answers"


def _link(found: dict[str, Any]) -> str:
    link = found["link"]
    return f"{found['token']}\nfor {escape(link['reviewer'])}, until {link['expires_at']}; it is shown this once."


_RENDERED: dict[str, Callable[[Any], RenderableType]] = {
    "batch": _batch,
    "learned": _learned,
    "themes": _themes,
    "summary": _summary,
    "link": _link,
}
