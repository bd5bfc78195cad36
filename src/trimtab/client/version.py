"""What the server says a feature shall do: the Version, the Rollout, and what one user is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from trimtab.client.assignment import in_candidate, in_holdback
from trimtab.client.facts import Fact, fact_from

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Arm", "Resolved", "Rollout", "Served", "Version", "served_from"]

Arm = Literal["stable", "candidate", "holdback"]


class Version(NamedTuple):
    """What decides a feature's behaviour. Never changes: another behaviour is another Version with another id."""

    id: str
    feature: str
    messages: tuple[dict[str, str], ...] = ()
    model: str | None = None
    parameters: Mapping[str, Any] = {}
    rules: tuple[str, ...] = ()
    exemplars: tuple[tuple[str, str], ...] = ()
    """Worked examples, oldest first: (input, right output)."""
    knowledge: tuple[Fact, ...] = ()
    audiences: tuple[str, ...] = ()
    """Who each exemplar is for ("": everyone); none at all where all are for everyone."""


class Rollout(NamedTuple):
    """What is served now: the stable Version and, while one is tried, a candidate for a share of the users.

    A share of them may be held back: they keep an earlier Version whatever changes.
    """

    id: str
    revision: int
    stable_version_id: str
    candidate_version_id: str | None = None
    share: float = 0.0
    feature: str = ""
    holdback_version_id: str | None = None
    holdback_share: float = 0.0


class Resolved(NamedTuple):
    """What one user is served. All three are None when nothing was ever heard of the feature."""

    version: Version | None = None
    arm: Arm | None = None
    rollout: Rollout | None = None


class Served(NamedTuple):
    """One answer of the server about a feature."""

    rollout: Rollout
    versions: Mapping[str, Version]

    def to(self, unit: str | None) -> Resolved:
        """Return what `unit` (a user, else a session) is served; without one, the stable Version."""
        rollout, candidate_id = self.rollout, self.rollout.candidate_version_id
        held = self.versions.get(rollout.holdback_version_id) if rollout.holdback_version_id else None
        if held is not None and unit and in_holdback(rollout.feature, unit, rollout.holdback_share):
            return Resolved(held, "holdback", rollout)
        candidate = self.versions.get(candidate_id) if candidate_id else None
        if candidate is not None and unit and in_candidate(rollout.id, unit, rollout.share):
            return Resolved(candidate, "candidate", rollout)
        return Resolved(self.versions.get(rollout.stable_version_id), "stable", rollout)


def served_from(body: Any) -> Served:
    """Read the body of GET /v1/features/{feature}/rollout. Fields not known here are passed over.

    Raises KeyError, TypeError, ValueError or AttributeError when it is something else.
    """
    told = body["rollout"]
    rollout = Rollout(
        id=str(told["id"]),
        revision=int(told.get("revision", 0)),
        stable_version_id=str(told["stable_version_id"]),
        candidate_version_id=told.get("candidate_version_id"),
        share=float(told.get("share", 0.0)),
        feature=str(told.get("feature", "")),
        holdback_version_id=told.get("holdback_version_id"),
        holdback_share=float(told.get("holdback_share", 0.0)),
    )
    versions = {str(key): _version_from(str(key), value) for key, value in body["versions"].items()}
    if rollout.stable_version_id not in versions:
        raise KeyError(rollout.stable_version_id)
    return Served(rollout, versions)


def _version_from(version_id: str, told: Mapping[str, Any]) -> Version:
    exemplars = told.get("exemplars", ())
    audiences = tuple(str(item.get("audience", "")) for item in exemplars)
    return Version(
        id=version_id,
        feature=str(told["feature"]),
        messages=tuple({"role": str(m["role"]), "content": str(m["content"])} for m in told.get("messages", ())),
        model=told.get("model"),
        parameters=dict(told.get("parameters", {})),
        rules=tuple(str(rule["text"]) for rule in told.get("rules", ())),
        exemplars=tuple((str(item["input"]), str(item["output"])) for item in exemplars),
        knowledge=tuple(fact_from(item) for item in told.get("knowledge", ())),
        audiences=audiences if any(audiences) else (),
    )
