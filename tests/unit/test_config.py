from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.config import FILE_NAME, load, settings_paths
from trimtab.errors import ConfigError


def written(folder: Path, text: str) -> Path:
    file = folder / FILE_NAME
    file.write_text(text)
    return file


def test_environment_wins_over_file_and_file_over_default(tmp_path: Path) -> None:
    file = written(tmp_path, "[server]\nport = 1111\nhost = '::1'\n")
    loaded = load(file, environ={"TRIMTAB_SERVER__PORT": "2222"})
    assert (loaded.settings.server.port, loaded.settings.server.host) == (2222, "::1")
    assert loaded.sources == {"server.port": "TRIMTAB_SERVER__PORT", "server.host": str(file)}


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"TRIMTAB_SERVER__PORT": "x"}, "server.port = 'x' in TRIMTAB_SERVER__PORT"),
        ({"TRIMTAB_SERVER__PRT": "1"}, "did you mean 'server.port'?"),
        ({"TRIMTAB_REDACTION__POLICY": "lax"}, "allowed: 'strict', 'lenient'"),
        ({"TRIMTAB_CANARY__STEPS": "0.1, 5"}, "allowed: a list of: float >= 0 and <= 1"),
        ({"TRIMTAB_FEATURES__chat__PLAYBOOK": "of"}, "features.NAME.playbook"),
        ({"TRIMTAB_CONFIG": "missing.toml"}, "`trimtab init` writes one"),
    ],
)
def test_wrong_setting_is_named_with_its_source_and_what_is_allowed(environ: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ=environ)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[server\n", "is not valid TOML"),
        ("server = 3\n", "unknown setting 'server'"),
        ("[features.chat]\nplaybok = 'off'\n", "did you mean 'features.NAME.playbook'?"),
        ("[monitoring]\nreference_rate = 2\n", "float > 0 and < 1"),
    ],
)
def test_wrong_file_is_named_with_what_to_do(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text), environ={})
    assert says in caught.value.message
    assert FILE_NAME in caught.value.message


def test_feature_names_keep_their_case_and_dots(tmp_path: Path) -> None:
    file = written(tmp_path, "[features.'Support.Answer']\nplaybook = 'ask'\n")
    loaded = load(file, environ={"TRIMTAB_FEATURES__Chat-Bot__PLAYBOOK": "off"})
    modes = {name: override.playbook for name, override in loaded.settings.features.items()}
    assert modes == {"Support.Answer": "ask", "Chat-Bot": "off"}


def test_every_setting_has_a_default_and_a_path() -> None:
    paths = [path for path, _, _ in settings_paths()]
    assert len(paths) == len(set(paths)) > 30
    assert "features.NAME.playbook" in paths
