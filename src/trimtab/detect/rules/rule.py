"""What a declared watch says: checked, and told from the settings file or from the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from trimtab.config import Monitoring, WatchRule
from trimtab.errors import InvalidField
from trimtab.records import MonitorRule, Signal

__all__ = [
    "METRICS",
    "MOST_DRIFT_GROUPS",
    "RESERVED",
    "Rule",
    "RuleSource",
    "care_of",
    "checked",
    "rules_of",
    "source_of",
]

RuleSource = Literal["votes", "answers", "mature", "inputs"]
"""Where a metric is heard: in judgements as they change, in answers as they come, in answers that had their time, in
what was asked."""

METRICS = ("vote", "outcome", "error", "latency", "cost", "input", *(f"feedback.{kind}" for kind in get_args(Signal)))
RESERVED = ("votes", "propensity", "topics")
"""Names of watches that are always there."""

MOST_DRIFT_GROUPS = 100
"""Of a watch on inputs: each keeps what is normal there, some 20 KB."""

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
    if metric == "input":
        return "inputs"
    return "answers" if metric in ("error", *_LIMITED) else "mature"


def care_of(spec: WatchRule, alpha: float) -> Monitoring:
    """Return how a watch on a rate is to be carried out."""
    return Monitoring(
        reference_rate=spec.reference_rate,
        false_alarm_rate=alpha,
        horizon_votes=spec.horizon_events,
        window_hours=spec.window_hours,
        min_users=spec.min_users,
        min_votes=spec.min_events,
        baseline_votes=spec.baseline_events,
        baseline_bound=spec.baseline_bound,
        baseline_margin=spec.baseline_margin,
    )


def checked(name: str, spec: Mapping[str, Any] | WatchRule) -> WatchRule:
    """Return the watch that `spec` says. Raises InvalidField for what cannot be watched, naming what could be."""
    if not isinstance(spec, WatchRule):
        try:
            spec = msgspec.convert(dict(spec), WatchRule, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidField(f"monitor {name!r}: {error}", param="spec") from None
    if name in RESERVED:
        raise InvalidField(f"expected a name other than {', '.join(RESERVED)}, which are always there", param="name")
    if spec.kind == "drift":
        spec = _on_inputs(name, spec)
    elif spec.metric == "input":
        raise InvalidField(f"monitor {name!r}: metric 'input' needs kind 'drift'", param="kind")
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
        if source_of(spec.metric) in ("answers", "inputs") and key not in _VERSIONED and not tagged:
            raise InvalidField(
                f"monitor {name!r}: expected group_by of {spec.metric!r} to name version, model or tags.NAME, "
                f"got {key!r}",
                param="group_by",
            )
    return spec


def _on_inputs(name: str, spec: WatchRule) -> WatchRule:
    """Return a watch on inputs: whichever version answers, and never one that may change something by itself."""
    if spec.metric not in ("vote", "input"):
        raise InvalidField(
            f"monitor {name!r}: kind 'drift' watches metric 'input', got {spec.metric!r}", param="metric"
        )
    if spec.act:
        raise InvalidField(
            f"monitor {name!r}: act = true is not for kind 'drift': what is new is for people", param="act"
        )
    keys = tuple(key for key in spec.group_by if key != "version")
    most = min(spec.max_groups, MOST_DRIFT_GROUPS)
    return msgspec.structs.replace(spec, metric="input", group_by=keys, max_groups=most)


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
