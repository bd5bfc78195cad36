"""`trimtab export` and `trimtab import`: what goes out comes in again, and what cannot is named by its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.live import live
from trimtab.cli import app
from trimtab.config import Settings, Storage
from trimtab.runtime.assemble import assemble
from trimtab.store.ports import Query

RUN = CliRunner()
ROWS: list[dict[str, Any]] = [
    {
        "type": "inference",
        "id": "0197a2c8-0000-7000-8000-000000000001",
        "feature": "support",
        "created_at": "2026-10-01T08:00:00Z",
        "input": [{"role": "user", "content": 'a "quoted", question\nof two lines'}],
        "output": "=HYPERLINK(1)",
        "tags": {"plan": "pro"},
        "latency_ms": 12.5,
        "input_tokens": 7,
    },
    {
        "type": "inference",
        "id": "0197a2c8-0000-7000-8000-000000000002",
        "feature": "support",
        "created_at": "2026-10-02T08:00:00Z",
        "input": "what about it?",
        "output": "nothing",
    },
    {
        "type": "feedback",
        "id": "0197a2c8-0000-7000-8000-000000000003",
        "kind": "correction",
        "created_at": "2026-10-03T08:00:00Z",
        "inference_id": "0197a2c8-0000-7000-8000-000000000002",
        "source": "reviewer",
        "text": "something",
    },
]


def trimtab(*words: object) -> Result:
    return RUN.invoke(app, [str(word) for word in words])


def imported(*words: object) -> dict[str, Any]:
    said = trimtab("import", *words, "--json").stdout
    told: dict[str, Any] = json.JSONDecoder().raw_decode(said, said.index("{\n"))[0]  # a server here logs beside it
    return told


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory that holds the rows."""
    folder = tmp_path / "data"
    told = imported(lines(tmp_path / "rows.jsonl", ROWS), "--data", folder)
    assert (told["accepted"], told["refused"]) == (3, 0)
    return folder


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("kind", ["inferences", "feedback"])
@pytest.mark.parametrize("lake", ["false", "true"])
def test_what_is_exported_and_imported_elsewhere_is_the_same(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, kind: str, lake: str
) -> None:
    monkeypatch.setenv("TRIMTAB_LAKE__ENABLED", lake)
    file = tmp_path / f"out.{form}"
    assert trimtab("export", kind, "--out", file, "--data", data).exit_code == 0
    assert imported(file, "--kind", kind, "--data", tmp_path / "other")["refused"] == 0
    again = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    for folder, out in zip((data, tmp_path / "other"), again, strict=True):
        assert trimtab("export", kind, "--out", out, "--data", folder).exit_code == 0
    assert again[0].read_bytes() == again[1].read_bytes()
    expected = [row for row in ROWS if row["type"] == kind.removesuffix("s")]
    assert [json.loads(line) for line in again[0].read_text("utf-8").splitlines()] == expected


def test_outcomes_are_exported_once_each_as_they_stand_last(data: Path, tmp_path: Path) -> None:
    with assemble(Settings(storage=Storage(path=str(data))), inline_runs=True) as engine:
        engine.settle()
    out = tmp_path / "outcomes.jsonl"
    assert trimtab("export", "outcomes", "--out", out, "--data", data).exit_code == 0
    assert [json.loads(line)["inference_id"] for line in out.read_text().splitlines()] == [ROWS[1]["id"]]


def test_a_file_taken_in_twice_adds_nothing(tmp_path: Path) -> None:
    bare = [{"input": f"question {number}", "feature": "support"} for number in range(5)]
    words = (lines(tmp_path / "bare.jsonl", bare), "--kind", "inferences", "--data", tmp_path / "data")
    first, second, elsewhere = imported(*words), imported(*words), imported(*words, "--source", "another")
    assert [told["accepted"] for told in (first, second, elsewhere)] == [5, 0, 5]
    assert second["duplicates"] == 5


def test_ids_of_another_system_still_find_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    answers = lines(tmp_path / "a.jsonl", [{"id": "run-7", "input": "how?", "output": "so", "feature": "f"}])
    words = lines(
        tmp_path / "w.jsonl", [{"id": "fb-7", "inference_id": "run-7", "kind": "correction", "text": "not so"}]
    )
    imported(answers, "--kind", "inferences", "--source", "old", "--data", folder)
    imported(words, "--kind", "feedback", "--source", "old", "--data", folder)
    out = tmp_path / "set"
    assert trimtab("export", "dpo", "--out", out, "--data", folder, "--test-share", 0).exit_code == 0
    [row] = (out / "train.jsonl").read_text().splitlines()
    assert json.loads(row)["chosen"] == [{"role": "assistant", "content": "not so"}]


def test_columns_are_mapped_and_cells_become_what_their_fields_hold(tmp_path: Path) -> None:
    file = tmp_path / "old.csv"
    file.write_text(
        "question,reply,when,plan,ms,unknown\n"
        '"How, exactly?",so,2026-10-01,pro,12.5,x\n'
        '"[{""role"": ""user"", ""content"": ""hi""}]",so,2026-10-01T10:00:00+02:00,,,\n',
        "utf-8",
    )
    maps = [f"--map={one}" for one in ("question=input", "reply=output", "when=created_at")]
    maps += ["--map=plan=tags.plan", "--map=ms=latency_ms"]
    told = imported(file, "--kind", "inferences", "--feature", "f", *maps, "--data", tmp_path / "data")
    assert (told["accepted"], told["ignored_columns"]) == (2, ["unknown"])
    out = tmp_path / "out.jsonl"
    trimtab("export", "inferences", "--out", out, "--data", tmp_path / "data")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {key: rows[0][key] for key in ("input", "created_at", "tags", "latency_ms")} == {
        "input": "How, exactly?",
        "created_at": "2026-10-01T00:00:00Z",
        "tags": {"plan": "pro"},
        "latency_ms": 12.5,
    }
    assert rows[1]["input"] == [{"role": "user", "content": "hi"}]
    assert rows[1]["created_at"] == "2026-10-01T08:00:00Z"


def test_labelled_texts_become_rows_to_learn(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("utterance,intent\nwhere is my card,card_arrival\nI lost it,card_lost\n,empty\n", "utf-8")
    told = imported(file, "--kind", "labelled", "--feature", "intent", "--data", tmp_path / "data")
    assert (told["accepted"], told["refused"], told["first"][0]["line"]) == (4, 1, 4)
    out = tmp_path / "set"
    trimtab("export", "sft", "--out", out, "--data", tmp_path / "data", "--test-share", 0, "--validation-share", 0)
    rows = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    assert {row["prompt"][0]["content"]: row["completion"][0]["content"] for row in rows} == {
        "where is my card": "card_arrival",
        "I lost it": "card_lost",
    }


def test_what_is_refused_is_named_by_its_line_and_the_rest_is_kept(tmp_path: Path) -> None:
    good = {"input": "how?", "feature": "f"}
    file = lines(
        tmp_path / "mixed.jsonl",
        [
            good,
            "no json\n",
            "[1]\n",
            {**good, "input": "old", "created_at": "1999-01-01T00:00:00Z"},
            "\n",
            {"input": 5},
        ],
    )
    result = trimtab("import", file, "--kind", "inferences", "--data", tmp_path / "data", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (told["rows"], told["accepted"], told["refused"]) == (5, 1, 4)
    assert [(one["line"], one["code"]) for one in told["first"]] == [
        (2, "malformed_row"),
        (3, "malformed_row"),
        (4, "time_too_old"),
        (6, "invalid_field"),
    ]
    assert told["reasons"] == {"invalid_field": 1, "malformed_row": 2, "time_too_old": 1}


def test_only_the_first_twenty_refusals_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    told = imported(lines(tmp_path / "bad.jsonl", ["no\n"] * 50), "--kind", "feedback", "--data", tmp_path / "data")
    assert (told["refused"], len(told["first"])) == (50, 20)


def test_a_dry_run_tells_the_same_and_stores_nothing(data: Path, tmp_path: Path) -> None:
    fresh = [*ROWS, {"input": "new?", "type": "inference", "feature": "new"}, {"type": "song"}]
    told = imported(lines(tmp_path / "more.jsonl", fresh), "--data", data, "--dry-run")
    assert (told["accepted"], told["duplicates"], told["refused"]) == (1, 3, 1)
    with assemble(Settings(storage=Storage(path=str(data)))) as engine:
        assert len(engine.store.list_inferences("default", Query()).rows) == 2
        assert [feature.name for feature in engine.store.features("default")] == ["support"]


def test_personal_data_is_cleaned_on_its_way_in(tmp_path: Path) -> None:
    file = lines(tmp_path / "pii.jsonl", [{"input": "I am jane.roe@example.com", "feature": "f"}])
    imported(file, "--kind", "inferences", "--data", tmp_path / "data")
    out = tmp_path / "out.jsonl"
    trimtab("export", "inferences", "--out", out, "--data", tmp_path / "data")
    assert "jane.roe" not in out.read_text()


def test_a_running_server_is_sent_to(tmp_path: Path) -> None:
    file = lines(tmp_path / "rows.jsonl", ROWS)
    with live(tmp_path / "server") as server:
        blocked = trimtab("import", file, "--data", tmp_path / "server")
        assert (blocked.exit_code, "already uses" in blocked.output) == (2, True)
        words = (file, "--url", server.url, "--key")
        assert imported(*words, server.keys["ingest"])["accepted"] == 3
        assert imported(*words, server.keys["ingest"])["duplicates"] == 3
        refused = trimtab("import", *words, server.keys["read"])
        assert (refused.exit_code, "refused the key" in refused.output) == (2, True)
        assert len(server.engine.store.list_feedback("default", Query()).rows) == 1


def test_a_running_server_is_exported_beside(tmp_path: Path) -> None:
    with live(tmp_path / "server") as server:
        server.engine.intake.accept_now("default", json.dumps(ROWS).encode())
        out = tmp_path / "out.csv"
        assert trimtab("export", "inferences", "--out", out, "--data", tmp_path / "server").exit_code == 0
    assert '"=HYPERLINK' not in out.read_text()
    assert out.read_text().count("support") == 2


def test_sets_and_rows_are_fetched_from_a_running_server(data: Path, tmp_path: Path) -> None:
    shares = ("--test-share", 0, "--validation-share", 0)
    assert trimtab("export", "dpo", "--out", tmp_path / "here", "--data", data, *shares).exit_code == 0
    for form in ("jsonl", "parquet"):
        trimtab("export", "inferences", "--out", tmp_path / f"here.{form}", "--data", data)
    with live(data) as server:
        words = ("--url", server.url, "--key")
        there = trimtab("export", "dpo", "--out", tmp_path / "there", *words, server.keys["admin"], *shares)
        assert there.exit_code == 0, there.output
        rows = trimtab("export", "inferences", "--out", tmp_path / "there.jsonl", *words, server.keys["read"])
        assert rows.exit_code == 0, rows.output
        refused = trimtab("export", "dpo", "--out", tmp_path / "no", *words, server.keys["read"])
        assert (refused.exit_code, (tmp_path / "no").exists()) == (2, False)
    for name in ("train.jsonl", "lineage.jsonl"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
    # Rows of a lake come in no order.
    here, there_too = (sorted((tmp_path / name).read_bytes().splitlines()) for name in ("here.jsonl", "there.jsonl"))
    assert here == there_too
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("export", "sft", "--out", "."), "exists"),
        (("export", "kto", "--out", "new", "--format", "openai"), "openai"),
        (("export", "sft", "--out", "new", "--format", "csv"), "format"),
        (("export", "feedback", "--out", "x.xml"), ".parquet"),
        (("export", "sft", "--out", "new", "--since", "yesterday"), "since"),
        (("export", "sft", "--out", "new", "--segment", "plan"), "NAME=VALUE"),
        (("import", "no-such.jsonl"), "No such file"),
        (("import", "no-such.parquet"), "no such file"),
        (("import", "rows.xml"), "ends with"),
        (("import", "rows.jsonl", "--map", "a=wrong"), "expected one of"),
        (("import", "rows.jsonl", "--map", "a"), "COLUMN=FIELD"),
    ],
)
def test_what_cannot_be_done_is_said_plainly(
    data: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], why: str
) -> None:
    monkeypatch.chdir(data.parent)
    told = trimtab(*words, "--data", data)
    assert (told.exit_code, why in told.output) == (2, True), told.output
