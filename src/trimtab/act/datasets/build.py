"""Builds a set: files by split, a lineage line for each row, and a manifest, in a folder that appears when whole.

The same history and the same request give the same files, whether they come from the lake or the hot store.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from trimtab.act.datasets.request import DatasetRequest
from trimtab.act.datasets.rule import Row, rows_of
from trimtab.act.datasets.sift import SPLITS, Sieve, Verdict
from trimtab.act.datasets.source import Look, Source
from trimtab.act.datasets.wording import prompt_of, shaped
from trimtab.clock import from_micros
from trimtab.errors import Unavailable
from trimtab.ids import content_id
from trimtab.records import Case, DatasetFile
from trimtab.stats.bucket import split_part
from trimtab.stats.minhash import THRESHOLD

__all__ = ["DRAFT", "LINEAGE", "MANIFEST", "Built", "Given", "build", "described", "weights", "written"]

DRAFT = ".draft-"
LINEAGE = "lineage.jsonl"
MANIFEST = "manifest.json"
_EVERY = 2000

_json = msgspec.json.Encoder(order="deterministic")


class Given(Struct, frozen=True, kw_only=True):
    """What a build is told beside the request: cases to keep out (retired ones, too), changes by feedback they use."""

    project_id: str
    cases: Sequence[Case]
    changes: Mapping[str, str]
    rules: str
    now: datetime


class Built(Struct, frozen=True, kw_only=True):
    """A finished set: its folder, the hash of its content, rows by split, why others were left out, its files."""

    folder: Path
    content_id: str
    rows: dict[str, int]
    left_out: dict[str, int]
    files: list[DatasetFile]
    manifest: dict[str, Any]


def build(request: DatasetRequest, source: Source, given: Given, out: Path, *, look: Look | None = None) -> Built:
    """Build the set into the folder `out`, which must not exist; killed in between, no such folder is there.

    `look` is told how far it is and may raise to end it. Raises Unavailable where the disk or the lake fail.
    """
    look = look or _unseen
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=out.parent))
    except OSError as error:
        raise Unavailable(f"cannot write to {str(out.parent)!r}: {error.strerror or error}") from error
    try:
        cases = request.kind == "cases"
        return written(
            draft, out, _cases(request, given, draft) if cases else _trained(request, source, given, draft, look)
        )
    except OSError as error:
        raise Unavailable(f"cannot write the dataset: {error.strerror or error}; is the disk full?") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def written(draft: Path, out: Path, manifest: dict[str, Any]) -> Built:
    """Describe the files of a draft in its manifest, sync all, and give it its name."""
    files = described(draft, manifest)
    kept: dict[str, Any] = {"request": manifest["request"], "files": [(one.name, one.sha256) for one in files]}
    identity = content_id("d", _json.encode(kept))
    whole = {"id": identity, **manifest, "files": msgspec.to_builtins(files)}
    (draft / MANIFEST).write_bytes(msgspec.json.format(_json.encode(whole), indent=1) + b"\n")
    for path in draft.iterdir():
        _sync(path)
    _sync(draft)
    draft.rename(out)
    _sync(out.parent)
    counts = {name: sum(rules.values()) for name, rules in manifest["rows"].items()}
    own = DatasetFile(
        name=MANIFEST,
        rows=1,
        size_bytes=(out / MANIFEST).stat().st_size,
        sha256=hashlib.sha256((out / MANIFEST).read_bytes()).hexdigest(),
    )
    return Built(
        folder=out,
        content_id=identity,
        rows=counts,
        left_out=manifest["left_out"],
        files=[*files, own],
        manifest=whole,
    )


def described(folder: Path, manifest: dict[str, Any]) -> list[DatasetFile]:
    """Return the files of rows and the lineage, with their sizes and hashes."""
    counts = {f"{name}.jsonl": sum(rules.values()) for name, rules in manifest["rows"].items()}
    counts[LINEAGE] = sum(counts.values())
    found = []
    for name, rows in sorted(counts.items()):
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            found.append(DatasetFile(name=name, rows=rows, size_bytes=file.tell(), sha256=digest))
    return found


def _trained(request: DatasetRequest, source: Source, given: Given, draft: Path, look: Look) -> dict[str, Any]:
    answers = 0
    scratch = draft / "scratch"
    scratch.mkdir()
    with Sieve(request, given.cases, scratch) as sieve:
        for answer in source.told(given.project_id, request, scratch, look):
            answers += 1
            if request.part == "build" and split_part(answer.user_id or answer.inference_id) == "judge":
                sieve.left_out["of_a_person_who_judges"] += 1
                continue
            rows, reason = rows_of(answer, request.kind)
            if reason is not None:
                sieve.left_out[reason] += 1
            for row in rows:
                sieve.add(row)
            if answers % _EVERY == 0:
                look("choosing rows", answers)
        look("comparing rows", answers)
        verdict = sieve.verdict()
        look("writing files", answers)
        counts = _files(request, sieve, verdict, given, draft)
    shutil.rmtree(scratch)
    return {
        **_head(request, given),
        "answers": answers,
        "rows": counts,
        "left_out": dict(sorted(verdict.left_out.items())),
        "split": _split_rule(request, verdict),
        "duplicates": (
            f"of rows with the same question (kto: and answer) the newest stays; nearly the same: MinHash over runs of "
            f"three words, 128 permutations, Jaccard >= {THRESHOLD}"
        ),
        **({"kto_weights": weights(counts)} if request.kind == "kto" else {}),
        "source": {"kind": source.name, **source.facts(given.project_id, request)},
    }


def _files(
    request: DatasetRequest, sieve: Sieve, verdict: Verdict, given: Given, draft: Path
) -> dict[str, dict[str, int]]:
    """Write the rows into the files of their splits; return rows by split and rule. A split without rows has no file.

    A line of the lineage names the file, the row's number in it (from 0), and whose words it was made from.
    """
    counts: dict[str, Counter[str]] = {}
    open_files: dict[str, BinaryIO] = {}
    try:
        with (draft / LINEAGE).open("wb") as lineage:
            for row, place in zip(sieve.rows(), verdict.splits, strict=True):
                if place < 0:
                    continue
                split = SPLITS[place]
                if split not in open_files:
                    open_files[split] = (draft / f"{split}.jsonl").open("wb")
                    counts[split] = Counter()
                shape = shaped(
                    request.kind, request.format, row.prompt, row.chosen, rejected=row.rejected, label=row.label
                )
                open_files[split].write(msgspec.json.encode(shape) + b"\n")
                number = sum(counts[split].values())
                lineage.write(_json.encode(_origin(f"{split}.jsonl", number, row, given)) + b"\n")
                counts[split][row.rule] += 1
    finally:
        for file in open_files.values():
            file.close()
    return {split: dict(sorted(counts[split].items())) for split in SPLITS if split in counts}


def _origin(file: str, number: int, row: Row, given: Given) -> dict[str, Any]:
    made = sorted({given.changes[one] for one in row.feedback_ids if one in given.changes})
    return {
        "file": file,
        "row": number,
        "rule": row.rule,
        "label": row.label,
        "inference_id": row.inference_id,
        "feedback_ids": row.feedback_ids,
        "change_ids": made,
    }


def _cases(request: DatasetRequest, given: Given, draft: Path) -> dict[str, Any]:
    """Write the golden cases: to judge with, never to train on."""
    kept: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    with (draft / "test.jsonl").open("wb") as out, (draft / LINEAGE).open("wb") as lineage:
        for case in sorted(given.cases, key=lambda case: (case.created_at, case.id)):
            if not _is_asked_for(case, request):
                continue
            if case.retired_at is not None:
                left_out["retired"] += 1
                continue
            prompt = prompt_of(case.input)
            if prompt is None:
                left_out["prompt_is_not_plain_text"] += 1
                continue
            row = {
                "id": case.id,
                "feature": case.feature,
                "input": prompt,
                "expected": case.expected,
                "check": case.check,
                "severity": case.severity,
            }
            out.write(msgspec.json.encode(row) + b"\n")
            words = [case.feedback_id] if case.feedback_id else []
            origin = {
                "file": "test.jsonl",
                "row": sum(kept.values()),
                "rule": "case",
                "case_id": case.id,
                "feedback_ids": words,
                "change_ids": [given.changes[one] for one in words if one in given.changes],
            }
            lineage.write(_json.encode(origin) + b"\n")
            kept["case"] += 1
    return {
        **_head(request, given),
        "rows": {"test": dict(kept)},
        "left_out": dict(left_out),
        "split": {"rule": "golden cases judge: all of them are test"},
        "source": {"kind": "cases"},
    }


def _head(request: DatasetRequest, given: Given) -> dict[str, Any]:
    return {
        "kind": request.kind,
        "format": request.format,
        "project_id": given.project_id,
        "created_at": given.now.isoformat(),
        "request": msgspec.to_builtins(request),
        "redaction_rules": given.rules,
        "cases_kept_out": 0 if request.kind == "cases" else len(given.cases),
        "erased": 0,
    }


def _is_asked_for(case: Case, request: DatasetRequest) -> bool:
    return (
        (not request.features or case.feature in request.features)
        and (request.since is None or case.created_at >= request.since)
        and (request.until is None or case.created_at < request.until)
    )


def _split_rule(request: DatasetRequest, verdict: Verdict) -> dict[str, Any]:
    return {
        "rule": (
            "train and validation by person: validation where the first 16 hex digits of SHA-256('seed:person') lie in "
            "the lowest validation_share of their range; test: rows of the newest days (UTC) by people who have no "
            "older row; newer rows of other people are left out"
        ),
        "seed": request.seed,
        "validation_share": request.validation_share,
        "test_share": request.test_share,
        "test_from": None if verdict.test_from_us is None else f"{from_micros(verdict.test_from_us):%Y-%m-%d}",
    }


def weights(rows: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """Suggest weights for KTO so that both labels weigh the same in train; None where it has one label only."""
    train = rows.get("train", {})
    good = train.get("thumb_up", 0) + train.get("correction", 0)
    bad = sum(train.values()) - good
    if not good or not bad:
        return None
    more = good > bad
    return {
        "desirable": good,
        "undesirable": bad,
        "desirable_weight": round(bad / good, 6) if more else 1.0,
        "undesirable_weight": 1.0 if more else round(good / bad, 6),
    }


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unseen(_what: str, _done: int) -> None:
    """Let nobody know."""
