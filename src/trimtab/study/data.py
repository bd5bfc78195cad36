"""Reading labelled texts for a study: CSV, TSV, JSON, JSON lines, and CLINC150's file as it is published."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from trimtab.errors import UnreadableFile

__all__ = ["Labelled", "Table", "read"]

_NAMES = {
    "text": ("text", "utterance", "question", "query", "input", "message", "sentence", "prompt"),
    "label": ("label", "intent", "category", "answer", "class", "target", "topic", "output"),
    "time": ("time", "created_at", "timestamp", "date", "datetime", "ts", "when"),
}
_OUT_OF_SCOPE = "oos"


class Labelled(NamedTuple):
    """A text, its right answer, and when it was said if the file tells."""

    text: str
    label: str
    at: datetime | None = None


class Table(NamedTuple):
    """What a file held, and which of its columns were taken for what."""

    rows: list[Labelled]
    columns: dict[str, str]
    left_out: int

    @property
    def timed(self) -> bool:
        """Whether every row says when it was."""
        return "time" in self.columns


def read(path: Path, *, text: str | None = None, label: str | None = None, time: str | None = None) -> Table:
    """Read labelled texts; columns are found by name unless given. Rows with an empty text or label are left out.

    Takes CSV and TSV with a header row, a JSON list of objects or of [text, label] pairs, JSON lines, and CLINC150's
    object of splits (its out-of-scope texts are left out: they have no right answer to learn). Repeated texts are kept
    once. Raises UnreadableFile naming what was found and what to pass.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnreadableFile(
            f"cannot read {str(path)!r}: {error.strerror or error}; check the path", param="data"
        ) from (error)
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"expected UTF-8 text in {str(path)!r}, got byte {error.object[error.start]:#04x} at offset {error.start}; "
            "convert the file to UTF-8",
            param="data",
        ) from error
    records = _records(path, content)
    columns = _columns(path, records[0], {"text": text, "label": label, "time": time})
    rows: dict[str, Labelled] = {}
    for number, record in enumerate(records, 1):
        row = _row(path, number, record, columns)
        if row is not None:
            rows.setdefault(row.text, row)
    if len({row.label for row in rows.values()}) < 2:
        raise UnreadableFile(
            f"expected texts with at least two labels in {str(path)!r}, got {len(rows)} texts with one label in column "
            f"{columns['label']!r}; name the right column with --label",
            param="label",
        )
    return Table(list(rows.values()), columns, len(records) - len(rows))


def _records(path: Path, content: str) -> list[Mapping[str, Any]]:
    if not content.strip():
        raise UnreadableFile(f"expected labelled texts in {str(path)!r}, got an empty file", param="data")
    suffix = path.suffix.lower()
    if suffix in (".json", ".jsonl", ".ndjson") or content.lstrip()[0] in "[{":
        records = _json(path, content)
    else:
        records = _delimited(path, content, "\t" if suffix == ".tsv" else None)
    if not records:
        raise UnreadableFile(f"expected at least one row in {str(path)!r}, got none", param="data")
    return records


def _delimited(path: Path, content: str, delimiter: str | None) -> list[Mapping[str, Any]]:
    header = content.splitlines()[0]
    if delimiter is None:
        delimiter = max(",\t;", key=header.count)
    try:
        reader = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
        return [dict(record) for record in reader]
    except csv.Error as error:
        raise UnreadableFile(
            f"expected rows separated by {delimiter!r} in {str(path)!r}, but {error}; save it as CSV, TSV or JSON",
            param="data",
        ) from error


def _json(path: Path, content: str) -> list[Mapping[str, Any]]:
    try:
        loaded = json.loads(content)
    except json.JSONDecodeError as whole:
        lines = [line for line in content.splitlines() if line.strip()]
        try:
            loaded = [json.loads(line) for line in lines] if len(lines) > 1 else None
        except json.JSONDecodeError:
            loaded = None
        if loaded is None:
            raise UnreadableFile(
                f"expected JSON or JSON lines in {str(path)!r}, but at line {whole.lineno}: {whole.msg}", param="data"
            ) from whole
    if isinstance(loaded, dict):
        loaded = _splits(path, loaded)
    if not isinstance(loaded, list):
        raise UnreadableFile(f"expected a list of rows in {str(path)!r}, got a {type(loaded).__name__}", param="data")
    return [_as_record(path, number, item) for number, item in enumerate(loaded, 1)]


def _splits(path: Path, loaded: Mapping[str, Any]) -> list[Any]:
    """Join an object of named lists; CLINC150 publishes train, val, test and the out-of-scope lists this way."""
    if not loaded or not all(isinstance(part, list) for part in loaded.values()):
        raise UnreadableFile(
            f"expected a list of rows, or an object of lists as CLINC150 has it, in {str(path)!r}; got an object with "
            f"keys {sorted(loaded)[:8]!r}",
            param="data",
        )
    return [item for name, part in loaded.items() if not name.startswith(_OUT_OF_SCOPE) for item in part]


def _as_record(path: Path, number: int, item: Any) -> Mapping[str, Any]:
    if isinstance(item, dict):
        return item
    if isinstance(item, Sequence) and not isinstance(item, str) and len(item) in (2, 3):
        return dict(zip(("text", "label", "time"), item, strict=False))
    raise UnreadableFile(
        f"expected row {number} of {str(path)!r} to be an object or a [text, label] pair, got {str(item)[:60]!r}",
        param="data",
    )


def _columns(path: Path, first: Mapping[str, Any], given: Mapping[str, str | None]) -> dict[str, str]:
    found = {str(name).strip().lower(): str(name) for name in first}
    columns: dict[str, str] = {}
    for role, names in _NAMES.items():
        wanted = given[role]
        if wanted is not None and wanted not in first:
            raise UnreadableFile(
                f"expected a column {wanted!r} in {str(path)!r}, got {sorted(found.values())!r}; "
                f"pass one of them with --{role}",
                param=role,
            )
        chosen = wanted or next((found[name] for name in names if name in found), None)
        if chosen is not None and chosen not in columns.values():
            columns[role] = chosen
        elif role != "time":
            raise UnreadableFile(
                f"expected a column with the {role} in {str(path)!r}, got {sorted(found.values())!r}; "
                f"name it with --{role}",
                param=role,
            )
    return columns


def _row(path: Path, number: int, record: Mapping[str, Any], columns: Mapping[str, str]) -> Labelled | None:
    text = str(record.get(columns["text"]) or "").strip()
    raw = record.get(columns["label"])
    label = "" if raw is None else str(raw).strip()
    if not text or not label:
        return None
    return Labelled(text, label, _time(path, number, record.get(columns["time"])) if "time" in columns else None)


def _time(path: Path, number: int, value: Any) -> datetime:
    try:
        if isinstance(value, int | float) or str(value).strip().replace(".", "", 1).isdigit():
            seconds = float(value)
            at = datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        else:
            at = datetime.fromisoformat(str(value).strip())
    except (ValueError, OverflowError, OSError) as error:
        raise UnreadableFile(
            f"expected a time such as 2026-01-31T08:00:00Z or seconds since 1970 in row {number} of {str(path)!r}, "
            f"got {value!r}; name another column with --time",
            param="time",
        ) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
