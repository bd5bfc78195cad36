from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trimtab.errors import UnreadableFile
from trimtab.study.data import Labelled, read

CSV = "id,Utterance,Intent\n1,where is my parcel,delivery\n2,reset my password,password\n3,,password\n"
DATA = Path(os.environ.get("TRIMTAB_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_columns_are_found_by_name_and_incomplete_rows_left_out(tmp_path: Path) -> None:
    table = read(write(tmp_path, "a.csv", CSV))
    assert table.rows == [Labelled("where is my parcel", "delivery"), Labelled("reset my password", "password")]
    assert table.columns == {"text": "Utterance", "label": "Intent"}
    assert table.left_out == 1
    assert not table.timed


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "text\tlabel\na b\tx\nc d\ty\n"),
        ("a.csv", "text;label\na b;x\nc d;y\n"),
        ("a.txt", "text\tlabel\na b\tx\nc d\ty\n"),
        ("a.json", '[{"text": "a b", "label": "x"}, {"text": "c d", "label": "y"}]'),
        ("a.json", '[["a b", "x"], ["c d", "y"]]'),
        ("a.json", '{"train": [["a b", "x"]], "oos_train": [["never", "oos"]], "test": [["c d", "y"]]}'),
        ("a.jsonl", '{"text": "a b", "label": "x"}\n{"text": "c d", "label": "y"}\n'),
        ("bom.csv", "\ufefftext,label\na b,x\nc d,y\n"),
    ],
)
def test_every_shape_gives_the_same_rows(tmp_path: Path, name: str, content: str) -> None:
    assert read(write(tmp_path, name, content)).rows == [Labelled("a b", "x"), Labelled("c d", "y")]


def test_named_columns_win_over_found_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,title,label,kind\nlong one,short one,a,p\nlong two,short two,a,q\n")
    table = read(path, text="title", label="kind")
    assert table.rows == [Labelled("short one", "p"), Labelled("short two", "q")]


@pytest.mark.parametrize("told", ["2026-02-03T04:05:06Z", "2026-02-03 04:05:06", "1770091506", "1770091506000"])
def test_times_are_read_as_utc(tmp_path: Path, told: str) -> None:
    table = read(write(tmp_path, "a.csv", f"text,label,date\na,x,{told}\nb,y,{told}\n"))
    assert table.timed
    assert table.rows[0].at == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "", "got an empty file"),
        ("a.csv", "foo,bar\n1,2\n", r"column with the text .* got \['bar', 'foo'\]; name it with --text"),
        ("a.csv", "text,bar\n1,2\n", "name it with --label"),
        ("a.csv", "text,label\n", "at least one row"),
        ("a.csv", "text,label\na,x\nb,x\n", "at least two labels"),
        ("a.csv", 'text,label\n"a,x\n', "expected rows separated by"),
        ("a.json", '{"text": ', "expected JSON or JSON lines"),
        ("a.json", '{"text": "a", "label": "x"}', "an object of lists"),
        ("a.json", "[1, 2]", "expected row 1 .* to be an object or a"),
        ("a.json", '"words"', "expected a list of rows"),
        ("a.csv", "text,label,time\na,x,tomorrow\n", "expected a time such as .* in row 1 .* got 'tomorrow'"),
    ],
)
def test_unreadable_file_says_what_was_found_and_what_to_pass(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    with pytest.raises(UnreadableFile, match=told):
        read(write(tmp_path, name, content))


def test_missing_column_that_was_named_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"expected a column 'words' .*'Intent', 'Utterance', 'id'.* --text"):
        read(write(tmp_path, "a.csv", CSV), text="words")


def test_absent_file_folder_and_bytes_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="No such file"):
        read(tmp_path / "absent.csv")
    with pytest.raises(UnreadableFile, match="Is a directory"):
        read(tmp_path)
    (tmp_path / "b.csv").write_bytes(b"text,label\n\xff\xfe,x\n")
    with pytest.raises(UnreadableFile, match=r"expected UTF-8 text .* 0xff at offset 11"):
        read(tmp_path / "b.csv")


def test_clinc150_is_read_as_published() -> None:
    path = DATA / "clinc150" / "data_full.json"
    if not path.exists():
        pytest.skip(f"no {path}; set TRIMTAB_DATA to the folder with clinc150")
    table = read(path)
    assert len({row.label for row in table.rows}) == 150
    assert len(table.rows) + table.left_out == 22_500
    assert sum(map(len, json.loads(path.read_text()).values())) == 23_700
