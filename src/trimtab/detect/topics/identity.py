"""Which of the topics found now were known before: by where they lie, else by the texts they share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Known", "matched", "told_again"]

Vectors = NDArray[np.float32]


class Known(NamedTuple):
    """A topic of a run before: its space, its centroid there (d, unit length) and the ids of its texts."""

    id: str
    space: str
    centroid: Vectors
    members: frozenset[str]


def told_again(
    known: Sequence[Known],
    seen: Collection[str],
    centroids: Vectors,
    members: Sequence[frozenset[str]],
    *,
    space: str,
    same_cosine: float,
    same_members: float,
) -> dict[int, str]:
    """Return which of the topics found now are known: place -> id, each id at most once.

    `seen` are all texts that the run before looked at, outliers too; `centroids` (k x d, unit length) and `members` are
    those found now. Where the space is still the same, topics are matched by their centroids. Vectors of two spaces
    cannot be compared: what is left is matched by the cosine of memberships over the texts that both runs looked at,
    |A and B| / sqrt(|A| |B|) (Ochiai's coefficient), which needs a share of at least `same_members`.
    """
    near = {each.id: each.centroid for each in known if each.space == space}
    found = matched(near, centroids, floor=same_cosine)
    places = [place for place in range(len(members)) if place not in found]
    rest = sorted((each for each in known if each.id not in set(found.values())), key=lambda each: each.id)
    if not places or not rest:
        return found
    both = frozenset(seen) & frozenset().union(*members)
    now = [members[place] & both for place in places]
    before = [each.members & both for each in rest]
    likeness = np.array(
        [[len(a & b) / max(1.0, (len(a) * len(b)) ** 0.5) for b in before] for a in now], dtype=np.float64
    )
    for place, which in _pairs(likeness, same_members):
        found[places[place]] = rest[which].id
    return found


def matched(known: Mapping[str, Vectors], centroids: Vectors, *, floor: float) -> dict[int, str]:
    """Return which of the centroids (k x d) are topics known before, at most one each: place -> id.

    The assignment with the greatest sum of cosines (Kuhn, "The Hungarian method", 1955); pairs below `floor` are no
    pairs.
    """
    if not known or not len(centroids):
        return {}
    ids = sorted(known)
    cosines = centroids @ np.stack([known[each] for each in ids]).T
    return {place: ids[which] for place, which in _pairs(cosines, floor)}


def _pairs(likeness: NDArray[np.floating], floor: float) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415  a second of importing, for one run a night

    # What is below the floor must not pull a pair that is above it apart.
    pairs = linear_sum_assignment(np.where(likeness >= floor, likeness, 0.0), maximize=True)
    return [(int(place), int(which)) for place, which in zip(*pairs, strict=True) if likeness[place, which] >= floor]
