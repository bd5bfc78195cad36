"""Half a year of drift in many worlds: what each way of working loses, with the negative controls beside it.

Needs CLINC150 (`$TRIMTAB_DATA/clinc150/data_full.json`, by default `../shared/data` beside the checkout), but for the
preset `knowledge`, which brings its own pages. All drift is injected, not natural. Writes report and figures into
`results/study-PRESET/` from what `--out` holds; a stopped run goes on there, `--report` only writes what is done.

    python benches/bench_study.py --preset headline --out /tmp/headline [--jobs 4] [--report]

Everything was tuned on the worlds of seeds 0 to 19. The presets (`src/trimtab/study/presets/`) name others.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import msgspec

from benches.machine import machine
from trimtab.study.data import read
from trimtab.study.figures import draw
from trimtab.study.markdown import as_markdown
from trimtab.study.preset import names, read_preset
from trimtab.study.report import write_json
from trimtab.study.run import load, run

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("TRIMTAB_DATA", HERE.parent / ".." / "shared" / "data"))


def main() -> None:
    """Run what is left, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=names(), default="headline")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--worlds", type=int, help="how many, instead of the preset's")
    parser.add_argument("--report", action="store_true")
    told = parser.parse_args()
    started = time.perf_counter()
    if not told.report:
        preset = read_preset(told.preset)
        if told.worlds is not None:
            preset = msgspec.structs.replace(preset, worlds=told.worlds)
        table = None if preset.product == "documents" else read(DATA / "clinc150" / "data_full.json")
        run(table, preset, told.out, jobs=told.jobs)
    minutes = (time.perf_counter() - started) / 60
    found = load(told.out)
    results = HERE / "results" / f"study-{told.preset}"
    results.mkdir(parents=True, exist_ok=True)
    draw(found, results)
    where = f"{', '.join(f'{name} {value}' for name, value in machine().items())}."
    took = "" if told.report else f" This run took {minutes:.0f} minutes with {told.jobs} jobs."
    command = f"python benches/bench_study.py --preset {told.preset} --out DIRECTORY"
    (results / "report.md").write_text(
        as_markdown(found, command=command, machine=where + took, figures=True), encoding="utf-8"
    )
    write_json(found, results / "report.json")
    print(f"{len(found.seeds)} worlds, written to {results}")


if __name__ == "__main__":
    main()
