"""Whether every count agrees, from the first answer to a sender to the last file of the lake.

Each row that came in must be found again: held, gone by age, or erased; read by each stage or still ahead of it;
joined or waiting; judged; in the lake; among the vectors. A pair sets what was handed on against what became of it. A
difference that nothing accounts for is a loss, or a row that is there twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from trimtab.store.census import Census, Missing
from trimtab.store.lake.port import LAKE_TABLES, HotRows, LakeStore, LakeTable
from trimtab.store.ports import CatalogStore, PurgedKind
from trimtab.store.vectors.port import VectorStore

__all__ = ["Pair", "Reconciler", "Reconciliation", "Sent"]

_SAID: Final = ("thumb", "rating", "accept", "reject", "outcome", "correction")
_JOINS: Final = "enrich.feedback"
_READERS: Final[Mapping[str, PurgedKind]] = {
    "enrich.inferences": "inferences",
    "enrich.feedback": "feedback",
    "detect": "outcomes",
    "act": "outcomes",
    "watch.votes": "outcomes",
    "watch.answers": "inferences",
    "watch.mature": "inferences",
}
_MOST_NAMED: Final = 20


class Sent(Struct, frozen=True, kw_only=True):
    """What a sender counted, as `Client.stats()` of the SDK says it."""

    accepted: int
    duplicates: int = 0
    rejected: int = 0


class Pair(Struct, frozen=True, kw_only=True):
    """One comparison: `count` of what is named, against the sum of `found`; `ids` are some of the rows that miss.

    `explained` says whether the difference is accounted for: there is none, or `note` says why there may be one.
    """

    name: str
    count: int
    found: dict[str, int]
    difference: int
    explained: bool
    note: str = ""
    ids: list[str] = []


class Reconciliation(Struct, frozen=True, kw_only=True):
    """All comparisons. `whole` when every difference is explained; `lost` and `extra` sum up those that are not.

    `received` is everything that came: stored, duplicates, and what was refused by reason. `behind` says how many rows
    each cursor has ahead of it, which is no loss.
    """

    whole: bool
    lost: int
    extra: int
    received: dict[str, int]
    behind: dict[str, int]
    pairs: list[Pair]


class Books(HotRows, CatalogStore, Protocol):
    """What is read of the hot store."""


class _Kept(NamedTuple):
    """What the lake held at one moment."""

    rows: dict[LakeTable, int]
    cursors: dict[LakeTable, int]


class Reconciler:
    """Compares the counts of all parts. `written`, where given, is called first: it writes what is only in memory.

    Reads beside a running engine, so parts are counted one after the other: vectors before and after the rows, and
    the lake up to its cursor of the moment. What moved meanwhile is allowed for, and no more.
    """

    def __init__(
        self,
        store: Books,
        *,
        vectors: VectorStore | None = None,
        lake: LakeStore | None = None,
        written: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._vectors = vectors
        self._lake = lake
        self._written = written

    def reconcile(self, *, sent: Sent | None = None, seen_by: str | None = None) -> Reconciliation:
        """Compare everything. Seconds on millions of rows. Raises `Unavailable`.

        Of the rows that miss, only those of the project `seen_by` are named, where it is given.
        """
        if self._written is not None:
            self._written()
        kept = self._kept()
        before = self._embedded()
        upto: dict[PurgedKind, int] = dict(kept.cursors) if kept is not None else {}
        census = self._store.census(said=_SAID, enriched=_JOINS, upto=upto)
        after = self._embedded()
        behind = _behind(census, kept, self._lanes())
        pairs = [*_streams(census), _joined(census, seen_by), *_judged(census, seen_by)]
        if before is not None and after is not None:
            pairs.append(_embedded_pair(census, before, after, behind))
        if kept is not None:
            pairs += _shipped(census, kept)
            if self._lake is not None:
                pairs.append(self._outcomes(self._lake, census, kept))
        pairs += _cursors(census)
        if sent is not None:
            pairs += _sent(census, sent)
        wrong = [pair.difference for pair in pairs if not pair.explained]
        return Reconciliation(
            whole=not wrong,
            lost=sum(each for each in wrong if each > 0),
            extra=-sum(each for each in wrong if each < 0),
            received=_received(census),
            behind=behind,
            pairs=pairs,
        )

    def _kept(self) -> _Kept | None:
        if self._lake is None:
            return None
        stats = {table: self._lake.stats(table) for table in LAKE_TABLES}
        return _Kept(
            {table: each.rows for table, each in stats.items()}, {table: each.cursor for table, each in stats.items()}
        )

    def _embedded(self) -> int | None:
        """Return how many vectors serve searches, or are about to; None where none are made."""
        found = []
        for project in self._store.projects() if self._vectors is not None else ():
            spaces = self._vectors.spaces(project.id) if self._vectors is not None else []
            serving = next((space for space in spaces if space.current), spaces[-1] if spaces else None)
            if serving is not None and self._vectors is not None:
                found.append(self._vectors.count(project.id, serving.name))
        return sum(found) if found else None

    def _lanes(self) -> dict[str, PurgedKind]:
        """Return what each cursor of a vector space reads."""
        found: dict[str, PurgedKind] = {}
        for project in self._store.projects() if self._vectors is not None else ():
            for space in self._vectors.spaces(project.id) if self._vectors is not None else ():
                found[f"vectorise.{space.mark}.feedback"] = "feedback"
                found[f"vectorise.{space.mark}.outcomes"] = "outcomes"
        return found

    def _outcomes(self, lake: LakeStore, census: Census, kept: _Kept) -> Pair:
        """Look for each judgement that stands: revisions of one judgement are rows of their own in the lake."""
        cursor = kept.cursors["outcomes"]
        there = lake.holds("outcomes", self._store, after=0, upto=cursor)
        count = census.read["outcomes"]
        return Pair(
            name="judgements shipped to the lake",
            count=count,
            found={"in the lake": count if there else count - 1},
            difference=0 if there else 1,
            explained=there,
            note="" if there else "at least one is missing: `trimtab lake verify` says how many",
        )


def _pair(
    name: str,
    count: int,
    found: Mapping[str, int],
    *,
    slack: range = range(1),
    note: str = "",
    ids: Sequence[str] = (),
) -> Pair:
    """Return a pair; a difference within `slack` is explained by `note`."""
    difference = count - sum(found.values())
    within = slack.start <= difference < slack.stop
    told = note if difference and within else ""
    return Pair(
        name=name,
        count=count,
        found=dict(found),
        difference=difference,
        explained=difference == 0 or within,
        note=told,
        ids=list(ids)[:_MOST_NAMED],
    )


def _named(missing: Missing, seen_by: str | None) -> list[str]:
    return [row.record_id for row in missing.rows if seen_by in (None, row.project_id)]


def _streams(census: Census) -> Iterator[Pair]:
    """Set what was counted when it was stored against the rows there are and those that left."""
    for kind in ("inferences", "feedback"):
        yield _pair(
            f"{kind} stored",
            census.counted[kind],
            {
                "held": census.held[kind],
                "left by age": census.purged[kind],
                "erased with a person": census.erased.get(kind, 0),
            },
        )


def _joined(census: Census, seen_by: str | None) -> Pair:
    return _pair(
        "feedback held",
        census.held["feedback"],
        {
            "joined to its answer": census.joined,
            "waits for its answer": census.waiting,
            "set aside": census.astray.aside,
            "not read yet": census.unread,
        },
        ids=_named(census.astray, seen_by),
    )


def _judged(census: Census, seen_by: str | None) -> Iterator[Pair]:
    missing, aside = census.unjudged.rows, census.unjudged.aside
    yield _pair(
        "answers that somebody spoke of",
        census.spoken,
        {"judged": census.spoken - len(missing) - aside, "set aside": aside},
        ids=_named(census.unjudged, seen_by),
    )
    gone = census.purged["outcomes"] + census.erased.get("outcomes", 0)
    yield _pair(
        "judgements that stood, by the counters",
        census.counted["outcomes"],
        {"held": census.held["outcomes"]},
        slack=range(gone + 1),
        note=f"{gone} left by age or with a person, those that were taken back included",
    )


def _embedded_pair(census: Census, before: int, after: int, behind: Mapping[str, int]) -> Pair:
    waiting = sum(rows for name, rows in behind.items() if name.startswith("vectorise."))
    ahead = behind.get("enrich.inferences", 0) + behind.get(_JOINS, 0)
    aside = sum(count for (stage, _), count in census.aside.items() if stage == "vectorise")
    moving = waiting + abs(after - before) + census.erasing * census.worded + aside + ahead
    return _pair(
        "texts that have a meaning to be found by",
        census.worded + census.negative,
        {"vectors": after},
        slack=range(-moving, moving + 1),
        note="not embedded yet, or moving while it was counted",
    )


def _shipped(census: Census, kept: _Kept) -> Iterator[Pair]:
    """Set rows up to the lake's cursor against the lake's; what was erased after it left is in neither."""
    gone = sum(count for table, count in census.erased.items() if table in LAKE_TABLES)
    for table in ("inferences", "feedback"):
        late = census.erasing * census.counted[table]
        yield _pair(
            f"{table} shipped to the lake",
            census.read[table] + census.purged[table],
            {"rows in the lake": kept.rows[table]},
            slack=range(-late, gone + late + 1),
            note="of people who were erased after their rows had left by age, or are being erased",
        )


def _cursors(census: Census) -> Iterator[Pair]:
    """Look for a stage that stands beyond the last row: the database is older than what the stage has seen."""
    for name, kind in _READERS.items():
        if name in census.cursors and kind != "outcomes":
            past = max(0, census.cursors[name] - census.last[kind])
            if past and census.held[kind] + census.purged[kind] + census.erased.get(kind, 0):
                yield Pair(
                    name=f"rows before the cursor of {name}",
                    count=census.cursors[name],
                    found={"the newest row's place": census.last[kind]},
                    difference=past,
                    explained=census.purged[kind] + census.erased.get(kind, 0) > 0,
                    note="the newest rows have left",
                )


def _sent(census: Census, sent: Sent) -> Iterator[Pair]:
    stored = census.counted["inferences"] + census.counted["feedback"]
    duplicates = census.received.get(("duplicate", ""), 0)
    refused = sum(count for (result, _), count in census.received.items() if result == "refused")
    yield _pair(
        "events that the sender counts as accepted",
        sent.accepted,
        {"stored": stored},
        slack=range(-stored, 1),
        note="more is stored: by other senders, or answered to this one and not heard",
    )
    yield _pair(
        "duplicates by the sender's count",
        sent.duplicates,
        {"duplicates answered": duplicates},
        slack=range(-max(duplicates, 1), sent.duplicates + 1),
        note="other senders, or counts of the last two seconds before a kill",
    )
    yield _pair(
        "events refused by the sender's count",
        sent.rejected,
        {"refused": refused},
        slack=range(-max(refused, 1), sent.rejected + 1),
        note="other senders, or counts of the last two seconds before a kill",
    )


def _received(census: Census) -> dict[str, int]:
    found = {"stored": census.counted["inferences"] + census.counted["feedback"]}
    found["duplicates"] = census.received.get(("duplicate", ""), 0)
    for (result, code), count in sorted(census.received.items()):
        if result == "refused":
            found[f"refused: {code}"] = count
    return found


def _behind(census: Census, kept: _Kept | None, lanes: Mapping[str, PurgedKind]) -> dict[str, int]:
    """Return how far each cursor stands behind the newest row, in places."""
    found = {
        name: max(0, census.last[kind] - census.cursors.get(name, 0))
        for name, kind in {**_READERS, **lanes}.items()
        if name in census.cursors or name in lanes
    }
    if kept is not None:
        found |= {f"lake.{table}": max(0, census.last[table] - kept.cursors[table]) for table in LAKE_TABLES}
    return found
