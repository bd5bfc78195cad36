"""The adapter around a model in a folder. No model is at hand here: what loads one is tested up to its door."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from trimtab.config import Embedding
from trimtab.embed.choice import configured
from trimtab.embed.sentence import open_sentence
from trimtab.errors import ConfigError, MissingExtra


class FakeLibrary(ModuleType):
    """Stands in for sentence_transformers: keeps how it was called, embeds by counting letters."""

    def __init__(self) -> None:
        super().__init__("sentence_transformers")
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[list[str]] = []
        library = self

        class SentenceTransformer:
            def __init__(self, path: str, **options: Any) -> None:
                library.calls.append((path, options))

            def encode(self, sentences: list[str], **_: Any) -> Any:
                library.asked.append(sentences)
                return np.array([[text.count(letter) for letter in "aeiou"] for text in sentences], dtype=np.float32)

        self.SentenceTransformer = SentenceTransformer


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    fake = FakeLibrary()
    monkeypatch.setitem(sys.modules, "sentence_transformers", fake)
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model" / "pooling").mkdir(parents=True)
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "pooling" / "weights.bin").write_bytes(b"123")
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["", "all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_a_name_that_is_no_folder_is_refused_before_anything_is_loaded(name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected the folder of a sentence-transformers model, got .*downloaded"):
        configured(Embedding(kind="sentence-transformers", model=name))


@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is not None, reason="sentence-transformers is installed here"
)
def test_without_the_extra_the_error_says_what_to_install(folder: Path) -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'trimtab\[server,embed-local\]'"):
        open_sentence(str(folder))


def test_a_model_is_loaded_from_its_folder_and_nothing_else(library: FakeLibrary, folder: Path) -> None:
    open_sentence(str(folder))
    assert library.calls == [(str(folder), {"local_files_only": True, "trust_remote_code": False})]


def test_rows_are_made_unit_and_blank_texts_are_not_asked(library: FakeLibrary, folder: Path) -> None:
    rows = open_sentence(str(folder), text_chars=4).embed(["aaee iiii", "", "bcd"])
    assert library.asked[-1] == ["aaee", "bcd"]
    assert rows[0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0, 0, 0])
    assert not rows[1:].any()
    assert rows.dtype == np.float32


def test_space_is_the_content_of_the_files_wherever_they_lie(library: FakeLibrary, folder: Path) -> None:
    first = open_sentence(str(folder)).space
    moved = folder.rename(folder.with_name("moved"))
    assert open_sentence(str(moved)).space == first
    (moved / "pooling" / "weights.bin").write_bytes(b"124")
    assert open_sentence(str(moved)).space != first
