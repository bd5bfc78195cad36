"""From answers to rows worth keeping: rules, golden cases out, repeats out, people and time split.

Rows and their sketches wait on disk; memory holds about a hundred bytes a row, most of it to know what came before.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.act.datasets.request import DatasetRequest
from trimtab.act.datasets.rule import Row
from trimtab.act.datasets.wording import prompt_of
from trimtab.records import Case
from trimtab.stats.minhash import BANDS, PERMUTATIONS, Sketcher, banded, like_any, repeats

__all__ = ["SPLITS", "Sieve", "Split", "Verdict"]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_LOT = 256
_DAY_US = 86_400_000_000


class Verdict(NamedTuple):
    """What became of the rows: by row its split (an index into SPLITS) or -1, why others were left out, the cut."""

    splits: NDArray[np.int8]
    left_out: Counter[str]
    test_from_us: int | None


class Sieve:
    """Takes rows, the newest first, and says in the end which stay. A context manager."""

    def __init__(self, request: DatasetRequest, cases: Sequence[Case], folder: Path) -> None:
        self._request = request
        self._sketcher = Sketcher()
        self._spool: BinaryIO = (folder / "rows.spool").open("w+b")
        self._signs: BinaryIO = (folder / "sketches.spool").open("w+b")
        self._bands: BinaryIO = (folder / "bands.spool").open("w+b")
        prompts = [words for case in cases if (words := _words(prompt_of(case.input)))]
        self._case_prompts = {_digest(words) for words in prompts}
        self._case_sketches = self._sketcher.sketch(prompts)
        self._case_bands = banded(self._case_sketches)
        self._waiting: list[Row] = []
        self._seen: dict[bytes, bool | None] = {}
        self._days = array("i")
        self._people = array("Q")
        self._groups = array("Q")
        self.left_out: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()
        self._signs.close()
        self._bands.close()

    def add(self, row: Row) -> None:
        """Take one row, older than those before or of the same answer."""
        self._waiting.append(row)
        if len(self._waiting) >= _LOT:
            self._flush()

    def rows(self) -> Iterator[Row]:
        """Yield the rows that came through, in their order, one for each place of the verdict."""
        self._flush()
        self._spool.seek(0)
        decoder = msgspec.json.Decoder(Row)
        for line in self._spool:
            yield decoder.decode(line)

    def verdict(self) -> Verdict:
        """Return which rows stay, and in which split."""
        self._flush()
        count = len(self._days)
        left_out = self.left_out.copy()
        splits = np.full(count, -1, dtype=np.int8)
        if count == 0:
            return Verdict(splits, left_out, None)
        self._signs.flush()
        self._bands.flush()
        sketches = np.memmap(self._signs.name, dtype=np.uint32, mode="r", shape=(count, PERMUTATIONS))
        bands = np.memmap(self._bands.name, dtype=np.uint64, mode="r", shape=(count, BANDS))
        again = repeats(sketches, bands, np.array(self._groups, dtype=np.uint64))
        left_out["near_duplicate"] += int(again.sum())
        days, people = np.array(self._days, dtype=np.int64), np.array(self._people, dtype=np.uint64)
        cut = _cut(days[~again], self._request.test_share)
        old = days < cut if cut is not None else np.ones(count, dtype=np.bool_)
        met_before = np.isin(people, np.unique(people[~again & old]))
        held = people < np.uint64(int(self._request.validation_share * (2**64 - 1)))
        splits[~again & old & ~held] = SPLITS.index("train")
        splits[~again & old & held] = SPLITS.index("validation")
        splits[~again & ~old & ~met_before] = SPLITS.index("test")
        left_out["newest_slice_of_a_person_in_train"] += int((~again & ~old & met_before).sum())
        return Verdict(splits, +left_out, None if cut is None else cut * _DAY_US)

    def _flush(self) -> None:
        lot, self._waiting = self._waiting, []
        if not lot:
            return
        prompts = [_words(row.prompt) for row in lot]
        sketches = self._sketcher.sketch(prompts)
        bands = banded(sketches)
        golden = like_any(sketches, bands, self._case_sketches, self._case_bands)
        fates = [self._fate(row, words, bool(near)) for row, words, near in zip(lot, prompts, golden, strict=True)]
        kept = [place for place, fate in enumerate(fates) if fate is None]
        self.left_out.update(fate for fate in fates if fate is not None)
        self._signs.write(sketches[kept].tobytes())
        self._bands.write(bands[kept].tobytes())
        for place in kept:
            row = lot[place]
            self._spool.write(msgspec.json.encode(row) + b"\n")
            self._days.append(row.created_us // _DAY_US)
            told = hashlib.sha256(f"{self._request.seed}:{row.person}".encode()).digest()
            self._people.append(int.from_bytes(told[:8], "big"))
            # Where answers are judged, the same question may have several: only rows of the same one are compared.
            answer = 0 if row.label is None else int.from_bytes(_digest(row.chosen)[:8], "big")
            self._groups.append(answer)

    def _fate(self, row: Row, words: str, near_case: bool) -> str | None:  # noqa: FBT001  one of two facts
        prompt = _digest(words)
        if prompt in self._case_prompts:
            return "golden_case"
        if near_case:
            return "like_a_golden_case"
        key = prompt if row.label is None else prompt + _digest(row.chosen)
        if key in self._seen:
            return "duplicate" if self._seen[key] == row.label else "newer_vote_says_otherwise"
        self._seen[key] = row.label
        return None


def _cut(days: NDArray[np.int64], share: float) -> int | None:
    """Return the first day of the newest slice: the fewest whole days that hold `share` of the rows, never all days."""
    if share <= 0 or not len(days):
        return None
    found, counts = np.unique(days, return_counts=True)
    newest = np.cumsum(counts[::-1])
    place = int(np.searchsorted(newest, share * len(days)))
    return int(found[::-1][place]) if place < len(found) - 1 else None


def _words(prompt: Sequence[dict[str, str]] | None) -> str:
    """Return what was asked, without what the app says to every model in front of it."""
    asked = [turn["content"] for turn in prompt or () if turn["role"] not in ("system", "developer")]
    return "\n".join(asked)


def _digest(text: str) -> bytes:
    """Return the hash of a text whose case and blanks do not matter."""
    return hashlib.blake2b(" ".join(text.casefold().split()).encode("utf-8", "surrogatepass"), digest_size=12).digest()
