"""Every setting has its heading in docs/configuration.md, with its default and what it may be."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from trimtab.config import allowed_values, settings_paths

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
SETTINGS = {path: (kind, default) for path, kind, default in settings_paths()}


@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_is_explained_with_its_default_and_what_it_may_be(path: str) -> None:
    kind, default = SETTINGS[path]
    shown = "none" if default is None else f"`{msgspec.json.encode(default).decode()}`"
    parts = PAGE.split(f"\n### `{path}`\n\nDefault {shown}; allowed: {allowed_values(kind)}.\n\n")
    assert len(parts) == 2
    assert parts[1].partition("\n#")[0].strip()


def test_no_heading_is_left_of_a_setting_that_is_gone() -> None:
    assert re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE) == list(SETTINGS)
