from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path

import numpy as np
import pytest

from trimtab.embed.durable import UNFINISHED, write_whole
from trimtab.embed.lsa import fit_lsa
from trimtab.embed.saved import load_lsa, save_lsa
from trimtab.errors import UnreadableFile

TEXTS = [
    "how do i reset my password",
    "i forgot my password, please help",
    "where is my parcel",
    "Übergröße für die Straße? не приходит посылка パスワード",
    'quotes " and \\ and \x00 and \ud800',
]


def test_loaded_space_has_the_same_id_and_bit_equal_vectors(tmp_path: Path) -> None:
    fitted = fit_lsa(TEXTS)
    save_lsa(fitted, tmp_path / "the.space")
    loaded = load_lsa(tmp_path / "the.space")
    assert loaded.space == fitted.space
    assert loaded.dimensions == fitted.dimensions
    texts = [*TEXTS, "reset the parcel", "unseen", ""]
    assert np.array_equal(loaded.embed(texts), fitted.embed(texts))
    assert loaded.knows("password")
    assert not loaded.knows("unseen")


def test_saving_a_loaded_space_writes_the_same_bytes(tmp_path: Path) -> None:
    save_lsa(fit_lsa(TEXTS), tmp_path / "one.space")
    save_lsa(load_lsa(tmp_path / "one.space"), tmp_path / "two.space")
    assert (tmp_path / "two.space").read_bytes() == (tmp_path / "one.space").read_bytes()


def test_file_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    save_lsa(fit_lsa(TEXTS), tmp_path / "the.space")
    assert (tmp_path / "the.space").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_bit_or_a_lost_end_is_found(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    file = tmp_path / "the.space"
    save_lsa(fit_lsa(TEXTS), file)
    whole = file.read_bytes()
    for _ in range(50):
        content = bytearray(whole)
        if dice.random() < 0.3:
            del content[dice.randrange(len(content)) :]
        else:
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        file.write_bytes(content)
        with pytest.raises(UnreadableFile, match="a new one is fitted"):
            load_lsa(file)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, space=np.array([{"a": 1}], dtype=object))
    checksum = hashlib.sha256(buffer.getvalue()).hexdigest()
    (tmp_path / "space").write_bytes(f"trimtab-space 1 sha256 {checksum}\n".encode() + buffer.getvalue())
    with pytest.raises(ValueError, match="allow_pickle"):
        load_lsa(tmp_path / "space")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="a new one is fitted"):
        load_lsa(tmp_path / "none.space")


def test_a_write_replaces_the_whole_content_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "pointer.json"
    (tmp_path / ("pointer.json" + UNFINISHED)).write_bytes(b"left by a kill, and longer than what follows")
    write_whole(file, b"long content")
    write_whole(file, b"short")
    assert file.read_bytes() == b"short"
    assert list(tmp_path.iterdir()) == [file]
