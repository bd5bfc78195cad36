"""To which groups an answer belongs, for monitors and reports; each grouping has a bounded number of values.

A grouping is named `plan`, `locale`, `tenant` or `model`, `tags.NAME` for a tag of the inference, `user.NAME` for a
property of its user. What the event itself says of its user counts before what is known of the user.
"""

from __future__ import annotations

from trimtab.config import Segments as Settings
from trimtab.records import Inference, User

__all__ = ["OVERFLOW", "Segmenter"]

OVERFLOW = "(other)"
"""The value of all answers whose own came when the grouping was full."""

_MOST_CHARS = 128


class Segmenter:
    """Names the groups of one feature's answers; `known` are the values that each grouping has so far.

    Values are admitted in order of arrival, up to `values` of each grouping; what comes later is the overflow. `fresh`
    are those that were admitted here and are still to be stored, as (key, value).
    """

    def __init__(self, settings: Settings, known: dict[str, list[str]]) -> None:
        self._settings = settings
        self._known = {key: set(values) for key, values in known.items()}
        self.fresh: list[tuple[str, str]] = []

    def of(self, inference: Inference, user: User | None) -> dict[str, str]:
        """Return the value of each grouping that the answer has one for."""
        found = {}
        for key in self._settings.keys:
            value = _value(key, inference, user)
            if value:
                found[key] = self._admitted(key, value[:_MOST_CHARS])
        return found

    def _admitted(self, key: str, value: str) -> str:
        held = self._known.setdefault(key, set())
        if value in held:
            return value
        if len(held - {OVERFLOW}) >= self._settings.values:
            value = OVERFLOW
        if value not in held:
            held.add(value)
            self.fresh.append((key, value))
        return value


def _value(key: str, inference: Inference, user: User | None) -> str | None:
    if key.startswith("tags."):
        return inference.tags.get(key.removeprefix("tags."))
    if key.startswith("user."):
        return user.properties.get(key.removeprefix("user.")) if user else None
    if key == "model":
        return inference.model
    told: str | None = getattr(inference.profile, key, None)
    return told or getattr(user, key, None)
