from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.errors import InputError, UnreadableFile
from trimtab.study.preset import names, read_preset


def test_every_preset_of_the_package_can_be_read() -> None:
    assert {"headline", "quick", "ablation", "dials"} <= set(names())
    for name in names():
        preset = read_preset(name)
        for cell in preset.cells:
            assert preset.dials_of(cell, 7).seed == 7


def test_headline_reports_worlds_that_nothing_was_tuned_on() -> None:
    headline = read_preset("headline")
    assert headline.worlds >= 50
    assert min(headline.seeds) >= 1000


def test_cell_changes_only_the_dials_it_names() -> None:
    headline = read_preset("headline")
    still = next(cell for cell in headline.cells if cell.name == "static-still")
    assert headline.dials_of(still, 3).drift == 0.0
    assert headline.dials_of(still, 3).per_week == headline.dials.per_week


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("worlds = 0\ncells = []\n", "expected a preset"),
        ("worlds = 1\nworld = 2\ncells = [{name = 'a', arm = 'static'}]\n", "unknown field `world`"),
        ("worlds = 1\ncells = [{name = 'a', arm = 'statik'}]\n", "Invalid enum value 'statik'"),
        ("worlds = 1\ncells = [{name = 'a', arm = 'static'}, {name = 'a', arm = 'closed'}]\n", "a name of its own"),
    ],
)
def test_preset_that_is_not_one_is_refused_with_what_is_wrong(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(content)
    with pytest.raises(UnreadableFile, match=told):
        read_preset(str(file))


def test_unknown_dial_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("worlds = 1\ncells = [{name = 'a', arm = 'static', dials = {drifts = 1}}]\n")
    with pytest.raises(InputError, match="unknown field `drifts`"):
        read_preset(str(file))
