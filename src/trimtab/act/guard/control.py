"""Which answers a change cannot have touched: those that are shown the same worked examples by both versions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.embed.port import Embedder
from trimtab.records import Version

__all__ = ["is_local", "untouched"]

_ROUNDING = 1e-6
_NEAREST = 7  # more than any prompt shows, and as many as the exemplar memory asks


def untouched(embedder: Embedder, base: Version, candidate: Version, inputs: Sequence[str]) -> list[bool]:
    """Say of each input whether both versions answer it from the same things.

    True where the versions differ in exemplars only, and none that just one of them has is among the seven that are
    nearest to the input, of all that either has, by cosine in the embedder's space. A change of prompt, rules,
    knowledge or model touches everything.
    """
    if not inputs or not is_local(base, candidate):
        return [False] * len(inputs)
    own = {item.id: item for item in (*base.exemplars, *candidate.exemplars)}
    both = {item.id for item in base.exemplars} & {item.id for item in candidate.exemplars}
    if not both:
        return [False] * len(inputs)
    alone: NDArray[np.bool_] = np.array([key not in both for key in own])
    likeness = embedder.embed(list(inputs)) @ embedder.embed([item.input for item in own.values()]).T
    place = max(likeness.shape[1] - _NEAREST, 0)
    least = np.partition(likeness, place, axis=1)[:, place]  # the seventh nearest; what is as near is one of them
    near = likeness[:, alone].max(axis=1, initial=-1.0)
    return [bool(own_near < limit - _ROUNDING) for own_near, limit in zip(near, least, strict=True)]


def is_local(base: Version, candidate: Version) -> bool:
    """Say whether the versions differ in exemplars only."""
    bare = msgspec.structs.replace(candidate, exemplars=base.exemplars).identified()
    return bare.id == base.identified().id
