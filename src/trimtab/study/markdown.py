"""A study as one Markdown page: what was reached, month by month, what it cost, and what was assumed."""

from __future__ import annotations

import msgspec

from trimtab.stats.survival import median_time
from trimtab.study.cell import CellResult
from trimtab.study.preset import Cell
from trimtab.study.queue import QueueKind
from trimtab.study.run import Study
from trimtab.study.summary import CellSummary, Spread, compare, spread, summarise

__all__ = ["as_markdown"]

_MEANT = (
    "*Live* is what users got: the last four calm weeks before the start against the last four weeks. *Fresh* are "
    "texts of each label that are never asked. Intervals are 95% t intervals over worlds, differences are paired."
)
_TOLD = {
    "static": "nobody does anything after launch",
    "human": "every four weeks a random sample is labelled and deployed by hand",
    "human-weekly": "every week as many random labels as the closed arm has reviews, deployed at once by hand",
    "triggers": "the queue is worked only while the engine has an incident open",
    "closed": "the queue is worked every week, and once more when an incident opens; gate, canary, approval",
    "unreviewed": "what users say is right goes live every week, nobody looks",
    "oracle": "every answer's right one is learned every week",
}
_TOLD_OF_DOCUMENTS = {
    "static": "the pages stay as they were at launch",
    "human": "every four weeks somebody reads the complaints and rereads and mends the pages that drew most of them",
    "closed": "the engine acts by itself; what votes have not decided in two days, somebody reads and decides",
    "oracle": "the pages change on the day on which the policies do",
}
_QUEUES: dict[QueueKind, str] = {
    "desk-ranked": "the queue without themes: the most suspect first, and the same audit",
    "themes": "a queue that sees the product's memory",
    "ranked": "that one without themes and audit: the most suspect first",
    "random": "any answers",
}
_PAIRS = (
    ("human", "static"),
    ("closed", "static"),
    ("closed", "human-weekly"),
    ("closed", "human"),
    ("closed", "triggers"),
    ("closed", "unreviewed"),
    ("closed", "closed-shuffled"),
    ("closed", "closed-silent"),
    ("closed", "closed-unthemed"),
    ("closed", "closed-themes"),
    ("closed", "closed-ranked"),
    ("closed", "closed-random"),
    ("closed", "closed-unasked"),
    ("closed", "closed-slips"),
    ("closed", "closed-poisoned"),
    ("closed-still", "static-still"),
    ("oracle", "closed"),
    ("oracle", "human"),
)


def as_markdown(study: Study, *, command: str, machine: str = "", figures: bool = False) -> str:
    """Return the page. `command` is what made it; with `figures` it shows those that lie beside it."""
    cells = summarise(study)
    preset = study.plan.preset
    data = study.plan.data
    intro = (
        f"{len(study.seeds)} of {preset.worlds} worlds (seeds {study.seeds[0]} to {study.seeds[-1]}), "
        f"{preset.dials.weeks} weeks x {preset.dials.per_week} answers. "
        f"Drift is **{data['drift']}**: {data['appearing']} labels appear, {data['policies']} get another right answer."
        f" `{command}`. {machine}".strip()
    )
    lines = ["# The study: half a year of drift", "", intro, "", *_losses(cells), "", *_differences(study), ""]
    if figures:
        lines += ["![Right answers by week](accuracy.svg)", "", "![Loss after half a year](loss.svg)", ""]
    lines += [*_months(study), "", *_labour(cells), "", *_loop(cells), "", *_documents(study), *_terms(study)]
    return "\n".join(lines) + "\n"


def _losses(cells: list[CellSummary]) -> list[str]:
    head = (
        "| cell | live start -> end | live loss (95%) | fresh loss (95%) | mean loss | labels | of them errors "
        "| drift loss won back, live / fresh | of the gap to oracle |"
    )
    rows = [
        _row(
            cell.name,
            f"{cell.live_start.mean:.1f} -> {cell.live_end.mean:.1f}",
            _range(cell.live_loss),
            _range(cell.fresh_loss),
            _range(cell.mean_loss),
            f"{cell.labels.mean:.0f}",
            _share(cell.hit_share),
            f"{_share(cell.recovered_live)} / {_share(cell.recovered_fresh)}" if "still" not in cell.name else "",
            _share(cell.gap_live) if "still" not in cell.name else "",
        )
        for cell in cells
    ]
    return ["## What was lost, in points against the cell's own start", "", head, _rule(9), *rows]


def _differences(study: Study) -> list[str]:
    pairs = [pair for better, worse in _PAIRS if (pair := compare(study, better, worse)) is not None]
    rows = [
        _row(f"{pair.better} over {pair.worse}", *(_range(told) for told in (pair.live, pair.fresh, pair.mean)))
        for pair in pairs
    ]
    title = "## How much less was lost, paired world by world (points, 95%)"
    return [title, "", _row("difference", "live", "fresh", "live, mean of all weeks"), _rule(4), *rows] if rows else []


def _months(study: Study) -> list[str]:
    first = next(iter(study.cells.values()))[0]
    numbers = [str(month.month) for month in first.months]
    lines = ["## Right answers by month, percent (mean and half width of the 95% interval)", ""]
    lines += [_row("cell", "start", *numbers), _rule(len(numbers) + 2)]
    for name, results in study.cells.items():
        months = [spread([100 * one.months[place].accuracy for one in results]) for place in range(len(numbers))]
        start = spread([one.live_start for one in results])
        lines.append(_row(name, *(_half(told) for told in (start, *months))))
    lines += ["", "The same on fresh texts, which are never asked:", ""]
    lines += [_row("cell", "start", *numbers), _rule(len(numbers) + 2)]
    for name, results in study.cells.items():
        months = [spread([one.fresh[place] for one in results]) for place in range(len(numbers))]
        start = spread([one.fresh_start for one in results])
        lines.append(_row(name, *(_half(told) for told in (start, *months))))
    return lines


def _labour(cells: list[CellSummary]) -> list[str]:
    head = _row(
        "cell", "labels (counted)", "labelling", "review", "deploys", "approvals", "all hours", "without deploys",
        "reactive", "won back per hour", "processor s (measured)",
    )  # fmt: skip
    rows = []
    for cell in cells:
        hours = cell.hours
        total = sum(hours.values())
        gain = cell.recovered_live
        rate = f"{100 * gain / total:.1f}%" if gain is not None and total and "still" not in cell.name else ""
        parts = [f"{hours[kind]:.1f}" for kind in ("label", "review", "deploy", "approve")]
        rest = [f"{total:.1f}", f"{total - hours['deploy']:.1f}", f"{cell.reactive_hours:.1f}", rate]
        rows.append(_row(cell.name, f"{cell.labels.mean:.0f}", *parts, *rest, f"{cell.seconds:.0f}"))
    return ["## Labels are counted, hours are assumed", "", head, _rule(11), *rows]


def _loop(cells: list[CellSummary]) -> list[str]:
    head = _row(
        "cell", "incidents a world", "worlds without any", "changes exposed", "change failure rate", "gate refused",
        "rolled back", "incidents verified fixed", "days to a verified fix (median)",
    )  # fmt: skip
    rows = [
        _row(
            cell.name,
            f"{cell.incidents.mean:.1f}",
            f"{cell.quiet_worlds:.0%}",
            str(cell.exposed),
            _share(cell.failed),
            str(cell.blocked),
            str(cell.rolled_back),
            f"{cell.verified} of {cell.fixes}",
            "not reached" if cell.days_to_fix is None else f"{cell.days_to_fix:.0f}",
        )
        for cell in cells
    ]
    return ["## What the engine did", "", head, _rule(9), *rows]


def _documents(study: Study) -> list[str]:
    """Return what became of the product's documents, nothing where it has none."""
    head = _row(
        "cell", "changes of policy", "right in the index by the end", "days until then (median)", "entries brought",
        "wrong on that day", "patches verified at the end", "entries served at the end", "of them not right",
    )  # fmt: skip
    rows = [_documents_of(name, results) for name, results in study.cells.items() if results[0].documents is not None]
    if not rows:
        return []
    told = (
        "Of a patch *right in the index* means: the index, asked its question, gave it. Days count from the change of "
        "policy, those not reached as still open (Kaplan-Meier). Counts are sums over worlds."
    )
    return ["## What became of the documents", "", told, "", head, _rule(9), *rows, ""]


def _documents_of(name: str, results: list[CellResult]) -> str:
    tallies = [one.documents for one in results if one.documents is not None]
    mends = [mend for tally in tallies for mend in tally.mends]
    done = [mend for mend in mends if mend.days is not None]
    days = ""
    if mends:
        spans = [mend.age if mend.days is None else mend.days for mend in mends]
        median = median_time(spans, [mend.days is not None for mend in mends])
        days = "not reached" if median.value is None else f"{median.value:.0f}"
    entries, served = sum(each.entries for each in tallies), sum(each.served for each in tallies)
    wrong, outdated = sum(each.wrong for each in tallies), sum(each.outdated for each in tallies)
    verified = sum(each.patches.get("upsert verified", 0) for each in tallies)
    share = f" ({wrong / entries:.1%})" if entries else ""
    return _row(
        name, str(len(mends)), str(len(done)), days, str(entries), f"{wrong}{share}", str(verified), str(served),
        str(outdated),
    )  # fmt: skip


def _terms(study: Study) -> list[str]:
    preset = study.plan.preset
    arms = _TOLD_OF_DOCUMENTS if preset.product == "documents" else _TOLD
    told = [f"- `{cell.name}`: {arms[cell.arm]}{_differs(cell)}" for cell in preset.cells]
    assumed = {
        "dials": msgspec.to_builtins(preset.dials),
        "labour": msgspec.to_builtins(preset.labour),
        "data": study.plan.data,
    }
    body = msgspec.json.format(msgspec.json.encode(assumed), indent=1).decode()
    return [
        "## Terms",
        "",
        _MEANT,
        "",
        *told,
        "",
        "Everything assumed (the preset's own values; the cells above say where they differ):",
        "",
        "```json",
        body,
        "```",
    ]


def _differs(cell: Cell) -> str:
    told = [f"{name} = {value}" for name, value in cell.dials.items()]
    if cell.queue != "desk":
        told.append(_QUEUES[cell.queue])
    if not cell.asks:
        told.append("nobody is asked about answers that seem out of date")
    return f" ({', '.join(told)})" if told else ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|---" * columns + "|"


def _range(told: Spread) -> str:
    return f"{told.mean:.2f}" if told.low is None else f"{told.mean:.2f} ({told.low:.2f} to {told.high:.2f})"


def _half(told: Spread) -> str:
    return f"{told.mean:.1f}" if told.low is None else f"{told.mean:.1f} ± {told.mean - told.low:.1f}"


def _share(told: float | None) -> str:
    return "" if told is None else f"{told:.0%}"
