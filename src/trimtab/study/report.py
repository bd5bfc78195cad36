"""A study as people and programs read it: a table month by month, and one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.study.arms import ArmName
from trimtab.study.run import Study

__all__ = ["as_json", "render", "write_json"]

_TOLD: dict[ArmName, str] = {
    "static": "nobody does anything",
    "human": "monthly random sample, labelled and deployed by hand",
    "closed": "the engine triggers; a reviewer works through the evidence",
}


def as_json(study: Study) -> dict[str, Any]:
    """Return the study as plain JSON: `assumptions` and, by arm, losses in points, labels, months and what happened."""
    plain: dict[str, Any] = msgspec.to_builtins(study)
    return plain


def write_json(study: Study, path: Path) -> None:
    """Write the study to `path`, indented."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(study), indent=2) + b"\n")


def render(study: Study) -> RenderableType:
    """Return what a terminal shows: accuracy by month, the end result, and what was assumed."""
    return Group(_months(study), _ends(study), _assumed(study))


def _months(study: Study) -> Table:
    table = Table(title="Right answers, live, by month", title_justify="left")
    table.add_column("arm")
    table.add_column("start", justify="right")
    first = next(iter(study.arms.values()))
    for month in first.months:
        weeks = f" ({month.weeks} weeks)" if month.weeks < 4 else ""
        table.add_column(f"month {month.month}{weeks}", justify="right")
    for name, arm in study.arms.items():
        table.add_row(name, f"{arm.live_start:.1f}%", *(f"{100 * month.accuracy:.1f}%" for month in arm.months))
    return table


def _ends(study: Study) -> Table:
    table = Table(title="After it all (loss in points against the arm's own start)", title_justify="left")
    table.add_column("arm")
    for column in ("live loss", "fresh loss", "labels", "hours (assumed)", "incidents", "promoted"):
        table.add_column(column, justify="right")
    for name, arm in study.arms.items():
        table.add_row(
            name,
            f"{arm.live_loss:+.1f}",
            f"{arm.fresh_loss:+.1f}",
            str(arm.labels),
            f"{arm.hours['assumed']:.1f}",
            str(arm.incidents),
            str(arm.promotions),
        )
    return table


def _assumed(study: Study) -> Text:
    told = study.assumptions
    dials, labour, data, settings = told["dials"], told["labour"], told["data"], told["settings"]
    drift = (
        f"injected at dial {dials['drift']:g}: {data['intents_appearing']} intents appear, {data['policy_changes']} "
        "policies change, the mix wanders"
        if told["drift"] == "injected"
        else "the file's own order, nothing injected"
    )
    canary = ", ".join(f"{share:.0%}" for share in settings["canary_steps"])
    told_of = {
        "stream": f"{dials['weeks']} weeks x {dials['per_week']}, seed {dials['seed']}; drift {drift}",
        "texts": f"{data['texts']} of {data['labels']} labels, {data['launch_texts']} known at launch",
        "users": f"vote on {dials['votes_if_bad']:.0%} of bad and {dials['votes_if_good']:.0%} of good answers, "
        f"rightly on {dials['vote_right_if_bad']:.0%} / {dials['vote_right_if_good']:.0%}; {dials['corrects']:.0%} of "
        f"negative votes carry a correction, {dials['correction_wrong']:.0%} of those wrong",
        "people": f"human: {labour['human_labels_a_month']} labels a month; closed: at most "
        f"{labour['closed_labels_a_week']} reviews a week while an incident is open; reviewer {told['reviewer']}",
        "hours": f"{labour['minutes_per_cold_label']:g} min a label, {labour['minutes_per_review']:g} min a review, "
        f"{labour['hours_per_manual_deploy']:g} h a deploy by hand, {labour['hours_per_approval']:g} h a decision",
        "engine": f"reference {settings['reference']}; false alarms {settings['false_alarm_rate']:.0%} over "
        f"{settings['horizon_votes']} votes; canary {canary}, at most {settings['canary_horizon_hours']:.0f} h",
        "learner": f"{told['learner']}; the same for every arm",
        "loss": told["loss"],
    }
    told_of = {name: _TOLD[name] for name in study.arms} | told_of
    lines = ["Assumed", *(f"  {name:<9} {line}" for name, line in told_of.items())]
    if dials["shuffled"]:
        lines.append("  SHUFFLED  votes, corrections and reviews were given to answers at random (negative control)")
    return Text("\n".join(lines))
