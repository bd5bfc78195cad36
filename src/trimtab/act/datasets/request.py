"""What somebody may ask of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from trimtab.errors import InvalidField
from trimtab.records import DatasetFormat, DatasetKind, Name, Text, Time

__all__ = ["DatasetRequest", "checked"]

_WORDS: dict[str, tuple[str, ...]] = {
    "sft": ("correction",),
    "dpo": ("correction", "edit"),
    "kto": ("thumb", "correction", "edit"),
    "cases": (),
}
_MOST_NAMES = 100

Names = Annotated[tuple[Name, ...], Meta(max_length=_MOST_NAMES)]
Share = Annotated[float, Meta(ge=0, le=0.5)]


class DatasetRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be built: its kind and format, from which answers, and how it is split.

    `since` and `until` are about when an answer was given. `min_confidence` and `segments` ask its judgement. Words of
    reviewers and users count unless `sources` says otherwise; those of the app itself or of a model never do.
    `validation_share` is a share of people, `test_share` a share of rows: the newest. With `part` "build"
    the people who judge changes are left out.
    """

    kind: DatasetKind
    format: DatasetFormat = "trl"
    features: Names = ()
    version_ids: Names = ()
    since: Time | None = None
    until: Time | None = None
    min_confidence: Annotated[float, Meta(ge=0, le=1)] = 0.0
    segments: Annotated[dict[Name, Text], Meta(max_length=20)] = {}
    sources: Annotated[tuple[Literal["user", "reviewer"], ...], Meta(min_length=1, max_length=2)] = (
        "reviewer",
        "user",
    )
    validation_share: Share = 0.1
    test_share: Share = 0.1
    seed: Name = "trimtab"
    part: Literal["all", "build"] = "all"

    @property
    def words(self) -> Sequence[str]:
        """The kinds of feedback that rows of this kind are made from."""
        return _WORDS[self.kind]

    @property
    def judged(self) -> bool:
        """Whether the judgement of an answer has a say in it."""
        return self.min_confidence > 0 or bool(self.segments)


def checked(request: DatasetRequest) -> DatasetRequest:
    """Return the request in its one form: lists sorted, each value once. Raises InvalidField for what has no format."""
    if request.format == "openai" and request.kind not in ("sft", "dpo"):
        raise InvalidField(
            f"format: expected 'trl' for kind {request.kind!r}, got 'openai', which knows 'sft' and 'dpo' only",
            param="format",
        )
    if request.since is not None and request.until is not None and request.since >= request.until:
        raise InvalidField("until: expected a time after `since`, got one that is not", param="until")
    return msgspec.structs.replace(
        request,
        features=tuple(sorted(set(request.features))),
        version_ids=tuple(sorted(set(request.version_ids))),
        sources=tuple(sorted(set(request.sources))),
        segments=dict(sorted(request.segments.items())),
    )
