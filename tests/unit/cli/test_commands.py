"""The command line, in this process where that is enough and as a real process where it is not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from tests.contract import hot_store_sample as a
from trimtab.cli import app
from trimtab.cli.init import starter
from trimtab.config import load, settings_paths
from trimtab.records import Feature
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import Writes

RUN = CliRunner()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty directory, with nothing of ours in the environment and a free port."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TRIMTAB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRIMTAB_SERVER__PORT", "0")


def process(*arguments: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-m", "trimtab", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def told(*arguments: str) -> tuple[int | None, str, str]:
    running = process(*arguments)
    out, err = running.communicate(timeout=60)
    return running.returncode, out, err


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[str, list[str], subprocess.Popen[str]]]:
    """Run `trimtab serve` and yield its address, what it printed until then, and the process."""
    running = process("serve", *arguments)
    assert running.stdout is not None
    try:
        lines: list[str] = []
        for line in running.stdout:
            lines.append(line)
            found = re.search(r"listens on (\S+)", line)
            if found:
                yield found[1], lines, running
                break
        else:
            raise AssertionError(f"{lines} {running.stderr.read() if running.stderr else ''}")
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate(timeout=30)


def test_the_starter_file_changes_nothing_as_it_is_and_loads_with_every_line_taken_up(tmp_path: Path) -> None:
    file = tmp_path / "trimtab.toml"
    file.write_text(starter(), "utf-8")
    assert load(file, environ={}) == (load(environ={}).settings, {})
    file.write_text(re.sub(r"(?m)^# (?=\[|\w+ = )", "", starter()), "utf-8")
    loaded = load(file, environ={})
    assert set(loaded.sources) == {path for path, _, _ in settings_paths()}


def test_init_writes_once_and_overwrites_only_when_told(tmp_path: Path) -> None:
    assert RUN.invoke(app, ["init"]).exit_code == 0
    file = tmp_path / "trimtab.toml"
    file.write_text("# mine", "utf-8")
    again = RUN.invoke(app, ["init"])
    assert again.exit_code == 2
    assert "error: 'trimtab.toml' is there already; --force overwrites it [conflict]" in again.stderr
    assert file.read_text("utf-8") == "# mine"
    assert RUN.invoke(app, ["init", "--force"]).exit_code == 0
    assert file.read_text("utf-8") == starter()


def test_the_version_is_shown() -> None:
    assert RUN.invoke(app, ["--version"]).stdout.startswith("trimtab ")


def test_a_broken_settings_file_is_one_clear_line_in_every_command(tmp_path: Path) -> None:
    (tmp_path / "trimtab.toml").write_text("[server]\nprot = 1\n", "utf-8")
    for arguments in (["key", "list"], ["key", "create", "read"], ["report"], ["serve"]):
        answer = RUN.invoke(app, arguments)
        assert answer.exit_code == 2
        assert answer.stderr.splitlines() == [
            "error: unknown setting 'server.prot' in trimtab.toml; did you mean 'server.port'? [invalid_config]"
        ]


def test_a_key_is_made_listed_and_revoked() -> None:
    made = RUN.invoke(app, ["key", "create", "ingest", "--label", "app"])
    assert made.exit_code == 0
    assert re.fullmatch(r"tt_ingest_[\w-]{43}\n", made.stdout)
    (listed,) = json.loads(RUN.invoke(app, ["key", "list", "--json"]).stdout)
    assert (listed["kind"], listed["label"]) == ("ingest", "app")
    assert "sha256" not in listed
    assert RUN.invoke(app, ["key", "revoke", listed["id"]]).exit_code == 0
    assert json.loads(RUN.invoke(app, ["key", "list", "--json"]).stdout)[0]["revoked_at"]
    unknown = RUN.invoke(app, ["key", "revoke", "x"])
    assert unknown.exit_code == 2
    assert "no key 'x'" in unknown.stderr
    assert RUN.invoke(app, ["key", "create", "ingest", "--project", "other"]).exit_code == 2
    assert RUN.invoke(app, ["key", "create", "root"]).exit_code == 2


def test_a_public_key_is_made_for_its_pages() -> None:
    made = RUN.invoke(
        app, ["key", "create", "public", "--origin", "https://App.example/", "--origin", "http://localhost:3000"]
    )
    assert made.stdout.startswith("tt_public_")
    (listed,) = json.loads(RUN.invoke(app, ["key", "list", "--json"]).stdout)
    assert listed["origins"] == ["https://app.example", "http://localhost:3000"]
    assert "https://app.example" in RUN.invoke(app, ["key", "list"], env={"COLUMNS": "200"}).stdout
    for wrong in ([], ["--origin", "app.example"]):
        refused = RUN.invoke(app, ["key", "create", "public", *wrong])
        assert refused.exit_code == 2
        assert "origin" in refused.stderr


def test_the_first_start_prints_two_keys_that_work_and_later_ones_print_none() -> None:
    with serving() as (url, lines, running):
        keys = dict(re.findall(r"^  (admin|ingest) +(tt_\S+)$", "".join(lines), re.MULTILINE))
        assert set(keys) == {"admin", "ingest"}
        admin = {"Authorization": f"Bearer {keys['admin']}"}
        assert httpx.get(f"{url}/v1/keys", headers=admin, trust_env=False).status_code == 200
        assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    with serving() as (url, lines, running):
        assert not re.search("tt_", "".join(lines))
        assert httpx.get(f"{url}/v1/keys", headers=admin, trust_env=False).status_code == 200
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0


def test_a_second_server_on_the_same_directory_is_refused() -> None:
    with serving():
        code, _, err = told("serve")
    assert code == 2
    assert "another engine already uses" in err
    assert "Traceback" not in err


def test_keys_are_made_and_listed_beside_a_running_server() -> None:
    with serving() as (url, _, _running):
        made = RUN.invoke(app, ["key", "create", "read"])
        headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
        assert httpx.get(f"{url}/v1/incidents", headers=headers, trust_env=False).status_code == 200
        assert RUN.invoke(app, ["report"]).exit_code == 0


def test_a_port_in_use_is_said_in_words() -> None:
    with serving() as (url, _, _running):
        code, _, err = told("serve", "--port", url.rpartition(":")[2], "--data", "other")
    assert code == 2
    assert "cannot listen on 127.0.0.1:" in err
    assert not Path("other").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104  the very thing that is refused
def test_an_address_others_can_reach_needs_keys_first(host: str) -> None:
    code, out, err = told("serve", "--host", host)
    assert (code, "tt_" in out) == (2, False)
    assert "trimtab key create admin" in err


def test_a_set_clock_survives_a_kill() -> None:
    os.environ["TRIMTAB_SERVER__CLOCK"] = "set"
    try:
        with serving() as (url, lines, running):
            keys = dict(re.findall(r"^  (admin|ingest) +(tt_\S+)$", "".join(lines), re.MULTILINE))
            admin = {"Authorization": f"Bearer {keys['admin']}"}
            now = {"now": "2031-05-01T00:00:00Z"}
            assert httpx.put(f"{url}/v1/clock", headers=admin, json=now, trust_env=False).status_code == 200
            running.kill()
        with serving() as (url, _, _again):
            before = {"now": "2031-04-01T00:00:00Z"}
            assert httpx.put(f"{url}/v1/clock", headers=admin, json=before, trust_env=False).status_code == 400
    finally:
        del os.environ["TRIMTAB_SERVER__CLOCK"]


def test_doctor_finds_a_fresh_place_well() -> None:
    answer = RUN.invoke(app, ["doctor", "--json"])
    found = {item["name"]: item["verdict"] for item in json.loads(answer.stdout)["findings"]}
    assert answer.exit_code == 0
    assert {"settings", "python", "packages", "storage", "disk", "clock", "database", "keys", "history",
            "redaction key", "port", "runner"} == set(found)  # fmt: skip
    assert "failure" not in found.values()
    assert not Path("trimtab-data").exists()


def failing(*arguments: str) -> dict[str, str]:
    answer = RUN.invoke(app, ["doctor", "--json", *arguments])
    found = [item for item in json.loads(answer.stdout)["findings"] if item["verdict"] == "failure"]
    assert answer.exit_code == (1 if found else 0)
    assert all(item["mend"] for item in found)
    return {item["name"]: item["told"] for item in found}


@pytest.mark.parametrize(
    ("settings", "verdict", "told"),
    [
        (
            {},
            "ok",
            "kept in the lake; stays in the database for inferences 30 days, feedback 30 days, outcomes 90 days",
        ),
        ({"RETENTION__HOT_DAYS": "0"}, "ok", "kept in the lake; stays in the database for ever"),
        ({"LAKE__ENABLED": "false"}, "ok", "for ever, since there is no lake"),
        ({"LAKE__ENABLED": "false", "RETENTION__WITHOUT_LAKE": "true"}, "warning", "lets go of what is old"),
    ],
)
def test_doctor_says_how_long_history_is_kept(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], verdict: str, told: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"TRIMTAB_{name}", value)
    findings = json.loads(RUN.invoke(app, ["doctor", "--json"]).stdout)["findings"]
    [found] = [each for each in findings if each["name"] == "history"]
    assert (found["verdict"], told in found["told"]) == (verdict, True)


def test_doctor_says_what_to_do_about_each_thing_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    RUN.invoke(app, ["key", "create", "admin"])
    assert failing() == {}
    key = Path("trimtab-data/redaction.key")
    key.chmod(0o644)
    assert "others can read" in failing()["redaction key"]
    key.chmod(0o600)
    key.write_text("short", "utf-8")
    assert "damaged" in failing()["redaction key"]
    key.unlink()
    assert "missing beside a database" in failing()["redaction key"]
    Path("trimtab-data/trimtab.db").write_bytes(b"not a database" * 1000)
    assert "database" in failing()
    Path("file").write_text("", "utf-8")
    assert "not a directory" in failing("--data", "file")["storage"]
    monkeypatch.setenv("TRIMTAB_SERVER__HOST", "0.0.0.0")  # noqa: S104
    assert "can be reached by others" in failing("--data", "fresh")["keys"]
    monkeypatch.setenv("TRIMTAB_RUNNER__KIND", "llm")
    assert "runner.base_url" in failing("--data", "fresh")["runner"]
    monkeypatch.setenv("TRIMTAB_SERVER__PORT", "many")
    assert "server.port" in failing("--data", "fresh")["settings"]


def test_doctor_looks_at_every_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = (
        "[features.a]\nrunner = 'ap'\n[runners.app]\nkind = 'webhook'\n"
        "[runners.hook]\nkind = 'webhook'\nurl = 'https://a.example/T0KEN'\nsecret_env = 'HOOK_SECRET'\n"
        "[runners.fn]\nkind = 'python'\nentry = 'shop:answer'\n"
    )
    tmp_path.joinpath("trimtab.toml").write_text(told, "utf-8")
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    answer = RUN.invoke(app, ["doctor", "--json", "--settings"])
    shown = {each["name"]: each for each in json.loads(answer.stdout)["findings"]}
    assert shown["runner"]["verdict"] == "failure"
    assert "'ap', which is no runner" in shown["runner"]["told"]
    assert "runners.app.secret_env and runners.app.url not set" in shown["runners.app"]["told"]
    assert "'HOOK_SECRET' is empty" in shown["runners.hook"]["told"]
    assert (shown["runners.fn"]["verdict"], shown["runners.fn"]["told"]) == ("ok", "shop:answer")
    assert "T0KEN" not in answer.stdout


def test_doctor_shows_each_value_and_where_it_came_from(tmp_path: Path) -> None:
    told = '[canary]\nsteps = [0.1]\n[features.a]\nplaybook = "off"\n[notify.ops]\nurl = "https://a.example/T0KEN"\n'
    told += (
        '[knowledge]\nwebhook_url = "https://a.example/T0KEN"\n[judge]\nbase_url = "https://me:T0KEN@a.example/v1"\n'
    )
    (tmp_path / "trimtab.toml").write_text(told, "utf-8")
    answer = RUN.invoke(app, ["doctor", "--json", "--settings", "--data", "elsewhere"])
    shown = {row["path"]: (row["value"], row["source"]) for row in json.loads(answer.stdout)["settings"]}
    assert shown["canary.steps"] == ([0.1], "trimtab.toml")
    assert shown["server.port"] == (0, "TRIMTAB_SERVER__PORT")
    assert shown["storage.path"] == ("elsewhere", "--data")
    assert shown["gate.margin"] == (0.05, "default")
    assert shown["features.a.playbook"] == ("off", "trimtab.toml")
    assert shown["notify.ops.url"] == ("***", "trimtab.toml")
    assert "T0KEN" not in answer.stdout


def test_report_of_a_place_without_a_store_says_so() -> None:
    answer = RUN.invoke(app, ["report"])
    assert answer.exit_code == 2
    assert "no store in 'trimtab-data'" in answer.stderr


def test_report_is_written_in_every_form(tmp_path: Path) -> None:
    RUN.invoke(app, ["key", "create", "admin"])
    assert "first bad signal to verified fix" in RUN.invoke(app, ["report"]).stdout
    assert RUN.invoke(app, ["report", "--format", "markdown"]).stdout.startswith("# Trimtab report")
    file = tmp_path / "report.html"
    assert RUN.invoke(app, ["report", "--format", "html", "--out", str(file)]).stdout == f"wrote {file}\n"
    assert file.read_text("utf-8").startswith("<!doctype html>")
    assert RUN.invoke(app, ["report", "--out", str(file)]).exit_code == 2
    nowhere = RUN.invoke(app, ["report", "--format", "html", "--out", str(tmp_path / "none" / "report.html")])
    assert (nowhere.exit_code, "cannot write" in nowhere.stderr) == (2, True)


def test_digest_of_a_quiet_place_says_so_and_is_json_when_asked() -> None:
    RUN.invoke(app, ["key", "create", "admin"])
    assert RUN.invoke(app, ["digest"]).stdout == "Nobody voted in this time, and nothing happened.\n"
    assert json.loads(RUN.invoke(app, ["digest", "--json"]).stdout)["findings"] == []
    assert RUN.invoke(app, ["digest", "--project", "none"]).exit_code == 2


def test_report_is_json_when_asked() -> None:
    RUN.invoke(app, ["key", "create", "admin"])
    assert json.loads(RUN.invoke(app, ["report", "--json"]).stdout)["velocity"]["incidents"] == 0
    assert RUN.invoke(app, ["report", "--since", "2026-02-01", "--until", "2026-01-01"]).exit_code == 2


def test_report_ends_with_status_1_where_a_sender_counts_more_than_there_is() -> None:
    RUN.invoke(app, ["key", "create", "admin"])
    found = RUN.invoke(app, ["report", "--sent", "0,0,0"])
    assert found.exit_code == 0
    assert "Nothing is lost: every difference is accounted for." in found.stdout
    lost = RUN.invoke(app, ["report", "--sent", "3"])
    assert lost.exit_code == 1
    assert "3 lost" in lost.stdout
    told = json.loads(RUN.invoke(app, ["report", "--json", "--sent", "3"]).stdout)["counts"]
    assert (told["whole"], told["lost"]) == (False, 3)
    wrong = RUN.invoke(app, ["report", "--sent", "many"])
    assert wrong.exit_code == 2
    assert "expected --sent ACCEPTED[,DUPLICATES[,REFUSED]] in whole numbers, got 'many'" in wrong.stderr


def learning_after_60_votes() -> None:
    """Leave a place whose one feature has heard 60 of the 500 votes it takes."""
    RUN.invoke(app, ["key", "create", "admin"])
    monitor = a.monitor(version_id="unversioned", reference=None, reference_kind="learning")
    heard = msgspec.structs.replace(monitor, learned_votes=60, learned_negatives=40.0)
    feature = a.sealed(Feature(name=heard.feature, created_at=a.NOW))
    store = open_sqlite(Path("trimtab-data/trimtab.db"))
    store.commit({"default": Writes(features=[feature], monitors=[heard])})
    store.close()


def test_doctor_and_report_say_that_votes_open_no_incident_yet_and_what_to_set(tmp_path: Path) -> None:
    learning_after_60_votes()
    answer = RUN.invoke(app, ["doctor", "--json"])
    found = {item["name"]: item for item in json.loads(answer.stdout)["findings"]}
    assert answer.exit_code == 0
    assert found["watch on answer"]["verdict"] == "warning"
    assert "60 of 500 votes, 40 of them bad" in found["watch on answer"]["told"]
    assert "reference_rate = 0.1 under [features.answer]" in found["watch on answer"]["mend"]
    assert "watches" not in found
    page = RUN.invoke(app, ["report", "--format", "html"]).stdout
    assert "answer: still learning what is usual: 60 of 500 votes" in page
    assert page.index("What is watched") < page.index("Learning velocity")
    Path("trimtab.toml").write_text("[features.answer]\nreference_rate = 0.1\n", "utf-8")
    found = {item["name"]: item for item in json.loads(RUN.invoke(app, ["doctor", "--json"]).stdout)["findings"]}
    assert ("watch on answer" in found, found["watches"]["told"]) == (False, "votes on answer")
    assert "Votes on every feature are watched." in RUN.invoke(app, ["report"]).stdout
