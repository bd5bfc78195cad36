"""What the SDK computes or encodes holds for anything an app may hand over."""

from __future__ import annotations

import json
import string
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from trimtab.client import edit
from trimtab.client.encode import encode, payload_of
from trimtab.client.spool import Spool
from trimtab.client.version import Rollout, Served, Version

WORDS = some.text(alphabet="ab \n", max_size=40)
ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text() | some.binary() | some.characters(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text() | some.integers(), inner) | some.tuples(inner),
    max_leaves=20,
)


def textbook(left: str, right: str) -> int:
    """Return the edit distance by the table of Wagner and Fischer."""
    row = list(range(len(right) + 1))
    for at, symbol in enumerate(left, 1):
        diagonal, row[0] = row[0], at
        for place, other in enumerate(right, 1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (symbol != other))
    return row[-1]


@given(WORDS, WORDS)
def test_the_edit_distance_is_the_textbooks(left: str, right: str) -> None:
    assert edit(left, right) == textbook(left, right) / max(len(left), len(right), 1)


@given(some.text(), some.text())
def test_the_edit_distance_is_symmetric_and_on_its_scale(left: str, right: str) -> None:
    assert 0 <= edit(left, right) == edit(right, left) <= 1
    assert (edit(left, right) == 0) == (left == right)


@given(ANYTHING)
def test_anything_becomes_one_line_of_json(value: Any) -> None:
    line = encode({"output": payload_of(value), "as": value})
    assert b"\n" not in line
    assert isinstance(json.loads(line)["output"], (str, list, dict, type(None)))


@settings(max_examples=40)
@given(
    some.lists(some.lists(some.text(alphabet=string.printable), max_size=5), max_size=8), some.sets(some.integers(0, 7))
)
def test_the_spool_returns_what_was_written_once(batches: list[list[str]], seals: set[int]) -> None:
    with TemporaryDirectory() as folder:
        spool = Spool(Path(folder), max_bytes=1 << 20, fsync=False)
        written = [[encode({"text": text}) for text in batch] for batch in batches]
        for at, lines in enumerate(written):
            assert spool.append(lines) == len(lines)
            if at in seals:
                spool.seal()
        spool.seal()
        read = []
        for segment in spool.segments():
            read += segment.lines()
            segment.done()
        assert read == [line for lines in written for line in lines]
        assert spool.used_bytes() == 0


@given(some.text(min_size=1), some.floats(0, 1), some.floats(0, 1))
def test_a_growing_share_moves_nobody_back(unit: str, share: float, more: float) -> None:
    versions = {name: Version(id=name, feature="f") for name in ("v_1", "v_2")}
    small, large = sorted((share, more))
    arms = [Served(Rollout("salt", 1, "v_1", "v_2", of), versions).to(unit).arm for of in (0.0, small, large, 1.0)]
    assert arms == sorted(arms, key=str, reverse=True)  # stable comes after candidate in the alphabet
    assert (arms[0], arms[-1]) == ("stable", "candidate")
