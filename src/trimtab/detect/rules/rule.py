"""What a declared watch says: checked, and told from the settings file or from the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from trimtab.config import WatchRule
from trimtab.errors import InvalidField
from trimtab.records import MonitorRule, Signal

__all__ = ["METRICS", "RESERVED", "Rule", "RuleSource", "checked", "rules_of", "source_of"]

RuleSource = Literal["votes", "answers", "mature"]
"""Where a metric is heard: in judgements as they change, in answers as they come, in answers that had their time."""

METRICS = ("vote", "outcome", "error", "latency", "cost", *(f"feedback.{kind}" for kind in get_args(Signal)))
RESERVED = ("votes", "propensity", "topics")
"""Names of watches that are always there."""

_LIMITED = ("latency", "cost")
_VERSIONED = ("version", "model")


class Rule(NamedTuple):
    """A watch by its name; `declared` says where: in the settings file or through the API."""

    name: str
    spec: WatchRule
    declared: Literal["settings", "api"]

    def covers(self, feature: str) -> bool:
        """Say whether the feature's answers are watched."""
        return self.spec.enabled and self.spec.feature in ("", feature)


def source_of(metric: str) -> RuleSource:
    """Return where the metric is heard."""
    if metric == "vote":
        return "votes"
    return "answers" if metric in ("error", *_LIMITED) else "mature"


def checked(name: str, spec: Mapping[str, Any] | WatchRule) -> WatchRule:
    """Return the watch that `spec` says. Raises InvalidField for what cannot be watched, naming what could be."""
    if not isinstance(spec, WatchRule):
        try:
            spec = msgspec.convert(dict(spec), WatchRule, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidField(f"monitor {name!r}: {error}", param="spec") from None
    if name in RESERVED:
        raise InvalidField(f"expected a name other than {', '.join(RESERVED)}, which are always there", param="name")
    if spec.metric not in METRICS:
        raise InvalidField(
            f"monitor {name!r}: expected metric to be one of {', '.join(METRICS)}, got {spec.metric!r}", param="metric"
        )
    if spec.metric in _LIMITED and spec.limit is None:
        unit = "milliseconds" if spec.metric == "latency" else "USD"
        raise InvalidField(f"monitor {name!r}: metric {spec.metric!r} needs a limit in {unit}", param="limit")
    if spec.kind == "threshold" and spec.above is None:
        raise InvalidField(f"monitor {name!r}: kind 'threshold' needs above, a rate in (0, 1)", param="above")
    below, above = spec.recover_below, spec.above
    if below is not None and above is not None and below > above:
        raise InvalidField(
            f"monitor {name!r}: expected recover_below of at most above ({above!r}), got {below!r}",
            param="recover_below",
        )
    for key in spec.group_by:
        tagged = key.startswith("tags.")
        if source_of(spec.metric) == "answers" and key not in _VERSIONED and not tagged:
            raise InvalidField(
                f"monitor {name!r}: expected group_by of {spec.metric!r} to name version, model or tags.NAME, "
                f"got {key!r}",
                param="group_by",
            )
    return spec


def rules_of(settings: Mapping[str, WatchRule], stored: Sequence[MonitorRule]) -> list[Rule]:
    """Return all watches, by name; the settings file's come before an API's of the same name.

    A stored one that this release no longer takes is left out: what is checked when it is declared was checked then.
    """
    found = {name: Rule(name, checked(name, spec), "settings") for name, spec in settings.items()}
    for rule in stored:
        try:
            found.setdefault(rule.name, Rule(rule.name, checked(rule.name, rule.spec), "api"))
        except InvalidField:
            continue
    return [found[name] for name in sorted(found)]
