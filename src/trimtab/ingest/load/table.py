"""Rows of a file, one by one: JSON lines, CSV or TSV, Parquet. A row that cannot be read does not end the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from trimtab.errors import UnreadableFile

__all__ = ["Line", "Reached", "form_of", "rows"]

FileForm = Literal["jsonl", "csv", "parquet"]
Reached = Callable[[int, int], None]
"""Told how many bytes of how many are read; a Parquet file is said to be read when it ends."""

_FORMS: dict[str, FileForm] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_EVERY = 500
_MOST_CELL = 16 << 20


class Line(NamedTuple):
    """A row and the line it ends on (of Parquet: its number, from 1); `fault` says why there is no row."""

    number: int
    row: dict[str, Any]
    fault: str = ""


def form_of(path: Path) -> FileForm:
    """Return the form of a file by its name. Raises UnreadableFile for another ending."""
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise UnreadableFile(
            f"expected a file that ends with {', '.join(_FORMS)}, got {path.name!r}; rename or convert it", param="file"
        )
    return form


def rows(path: Path, reached: Reached) -> Iterator[Line]:
    """Yield the rows. Raises UnreadableFile where the file as a whole is not what its name says."""
    form = form_of(path)
    try:
        if form == "parquet":
            from trimtab.store.lake.parquet import read_parquet  # noqa: PLC0415  only where it is needed

            if not path.is_file():
                raise UnreadableFile(f"cannot read {str(path)!r}: no such file", param="file")
            for number, row in enumerate(read_parquet(path), 1):
                yield Line(number, row)
            return
        with path.open("rb") as file:
            yield from _json_lines(file, reached) if form == "jsonl" else _delimited(path, file, reached)
    except OSError as error:
        raise UnreadableFile(f"cannot read {str(path)!r}: {error.strerror or error}", param="file") from error


def _json_lines(file: io.BufferedReader, reached: Reached) -> Iterator[Line]:
    size = _size(file)
    for number, text in enumerate(file, 1):
        if number % _EVERY == 0:
            reached(file.tell(), size)
        if not text.strip():
            continue
        try:
            row = msgspec.json.decode(text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield Line(number, {}, "expected one JSON object on the line, got what is no JSON")
            continue
        if isinstance(row, dict):
            yield Line(number, row)
        else:
            yield Line(number, {}, f"expected a JSON object on the line, got a {type(row).__name__}")


def _delimited(path: Path, file: io.BufferedReader, reached: Reached) -> Iterator[Line]:
    size = _size(file)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    csv.field_size_limit(_MOST_CELL)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        if not header or len(set(header)) < len(header):
            raise UnreadableFile(f"expected a header with a name for each column in {str(path)!r}", param="file")
        for count, cells in enumerate(reader, 1):
            if count % _EVERY == 0:
                reached(file.tell(), size)
            if not cells:
                continue
            if len(cells) != len(header):
                yield Line(reader.line_num, {}, f"expected {len(header)} cells as in the header, got {len(cells)}")
                continue
            yield Line(reader.line_num, {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""})
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"expected UTF-8 in {str(path)!r}, got other bytes; convert it", param="file") from error
    except csv.Error as error:
        raise UnreadableFile(
            f"expected cells separated by {delimiter!r} in {str(path)!r}, at line {reader.line_num}: {error}",
            param="file",
        ) from error
    finally:
        text.detach()  # who opened the file closes it


def _size(file: io.BufferedReader) -> int:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size
