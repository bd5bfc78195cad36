"""Takes rows out of a finished set: those that were made from the words or answers of erased people."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from trimtab.act.datasets.build import DRAFT, LINEAGE, MANIFEST, Built, weights, written

__all__ = ["Gone", "revise"]

_json = msgspec.json.Encoder(order="deterministic")


class Gone(msgspec.Struct, frozen=True):
    """Whose rows go: all that were made from these answers, words or golden cases."""

    inference_ids: frozenset[str] = frozenset()
    feedback_ids: frozenset[str] = frozenset()
    case_ids: frozenset[str] = frozenset()

    @classmethod
    def of(cls, inference_ids: Iterable[str], feedback_ids: Iterable[str], case_ids: Iterable[str]) -> Gone:
        """Return them as sets."""
        return cls(frozenset(inference_ids), frozenset(feedback_ids), frozenset(case_ids))

    def takes(self, origin: dict[str, Any]) -> bool:
        """Say whether the row of this line of the lineage goes."""
        return (
            origin.get("inference_id") in self.inference_ids
            or origin.get("case_id") in self.case_ids
            or not self.feedback_ids.isdisjoint(origin["feedback_ids"])
        )


def revise(folder: Path, out: Path, gone: Gone, now: datetime) -> tuple[Built, int] | None:
    """Write what stays of the set in `folder` to the new folder `out`; return it and how many rows went.

    None, with nothing written, where no row goes. `folder` itself is left: remove it once nothing names it any more.
    """
    with (folder / LINEAGE).open("rb") as lines:
        if not any(gone.takes(msgspec.json.decode(line)) for line in lines):
            return None
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=out.parent))
    try:
        counts = _copied(folder, draft, gone)
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
        before = sum(sum(rules.values()) for rules in manifest["rows"].values())
        removed = before - sum(sum(rules.values()) for rules in counts.values())
        manifest |= {"rows": counts, "erased": manifest["erased"] + removed, "revised_at": now.isoformat()}
        if "kto_weights" in manifest:
            manifest["kto_weights"] = weights(counts)
        return written(draft, out, manifest), removed
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _copied(folder: Path, draft: Path, gone: Gone) -> dict[str, dict[str, int]]:
    """Copy what stays, file by file in step with the lineage; return rows by split and rule."""
    counts: dict[str, dict[str, int]] = {}
    with ExitStack() as stack:
        lineage = stack.enter_context((draft / LINEAGE).open("wb"))
        sources: dict[str, Any] = {}
        kept: dict[str, Any] = {}
        for line in stack.enter_context((folder / LINEAGE).open("rb")):
            origin = msgspec.json.decode(line)
            name = origin["file"]
            if name not in sources:
                sources[name] = stack.enter_context((folder / name).open("rb"))
            row = sources[name].readline()
            if gone.takes(origin):
                continue
            if name not in kept:
                kept[name] = stack.enter_context((draft / name).open("wb"))
            kept[name].write(row)
            rules = counts.setdefault(name.removesuffix(".jsonl"), {})
            origin["row"] = sum(rules.values())
            rules[origin["rule"]] = rules.get(origin["rule"], 0) + 1
            lineage.write(_json.encode(origin) + b"\n")
    return counts
