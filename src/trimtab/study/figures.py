"""A study's figures: accuracy week by week with bands over worlds, and what was lost in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trimtab.errors import MissingExtra
from trimtab.study.run import Study
from trimtab.study.summary import spread, summarise

__all__ = ["draw"]

# Chosen to be told apart by people who see colours differently, too (Okabe and Ito, 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")


def draw(study: Study, folder: Path) -> list[Path]:
    """Write `accuracy` and `loss` as SVG and PNG into `folder` and return the files.

    Raises MissingExtra without matplotlib.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415  an extra, and slow to import
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("figures need matplotlib: pip install 'trimtab[study]'") from error
    mpl.rcParams["svg.hashsalt"] = "study"  # the same study gives the same file
    made = {"accuracy": Figure(figsize=(9, 5)), "loss": Figure(figsize=(9, 5))}
    _accuracy(study, made["accuracy"])
    _loss(study, made["loss"])
    files = []
    for name, figure in made.items():
        figure.set_layout_engine("tight")
        for kind in ("svg", "png"):
            file = folder / f"{name}.{kind}"
            told: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(file, dpi=120, metadata=told)
            files.append(file)
    return files


def _accuracy(study: Study, figure: Any) -> None:
    """Draw each cell's weekly share of right answers: the mean, and the 95% interval of the mean as a band."""
    axes = figure.subplots()
    shown = [name for name in study.cells if not name.endswith("-still")]
    for place, name in enumerate(shown):
        results = study.cells[name]
        weeks = range(1, len(results[0].live) + 1)
        told = [spread([one.live[week - 1] for one in results]) for week in weeks]
        colour = _COLOURS[place % len(_COLOURS)]
        means = [each.mean for each in told]
        axes.plot(weeks, means, color=colour, label=name, linestyle="-" if place < len(_COLOURS) else "--")
        if told[0].low is not None:
            axes.fill_between(weeks, [x.low for x in told], [x.high for x in told], color=colour, alpha=0.15, lw=0)
    start = float(np.mean([one.live_start for one in next(iter(study.cells.values()))]))
    axes.axhline(start, color="#666666", lw=0.8, ls=":")
    axes.set_xlabel("week")
    axes.set_ylabel("right answers, percent")
    axes.set_title(f"Live accuracy, mean and 95% band over {len(study.seeds)} worlds", loc="left")
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)


def _loss(study: Study, figure: Any) -> None:
    """Draw each cell's live and fresh loss at the end with their 95% intervals."""
    axes = figure.subplots()
    cells = summarise(study)
    for place, (name, offset) in enumerate((("live_loss", -0.2), ("fresh_loss", 0.2))):
        told = [getattr(cell, name) for cell in cells]
        reach = [[x.mean - (x.mean if x.low is None else x.low) for x in told]] * 2
        axes.barh(
            np.arange(len(cells)) + offset,
            [x.mean for x in told],
            height=0.38,
            xerr=reach,
            color=_COLOURS[place],
            ecolor="#444444",
            label=name.replace("_", " "),
        )
    axes.set_yticks(np.arange(len(cells)), [cell.name for cell in cells])
    axes.invert_yaxis()
    axes.axvline(0, color="#444444", lw=0.8)
    axes.set_xlabel("points lost against the own start")
    axes.set_title(f"Loss after {study.plan.preset.dials.weeks} weeks, 95% interval", loc="left")
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
