"""What the sample product asks of Trimtab's HTTP API beside what its SDK does: serving, time, news."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import httpx
import msgspec

from trimtab.client import Client
from trimtab.errors import Unavailable
from trimtab.records import Change, Incident, Version

__all__ = ["DeskApi"]

_PATIENCE_S = 20.0
_STATES = {
    "awaiting": "waits for approval",
    "blocked": "blocked",
    "canary": "tried on a few",
    "empty": "nothing to build from",
    "paused": "paused, undecided",
    "promoted": "served to everyone",
    "rolled_back": "rolled back",
    "superseded": "superseded",
    "verified": "VERIFIED by votes",
}


class DeskApi:
    """A thin caller with an admin key. Raises Unavailable when the server cannot be reached or refuses."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60.0)
        self._versions: dict[tuple[str, str], Version] = {}

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def serve(self, feature: str, examples: list[dict[str, str]], *, note: str) -> None:
        """Make a version with these examples by hand and serve it to everyone; the feature is made when it is new."""
        self._call("PUT", f"/v1/features/{feature}", {"description": "Answers of Brisk's support desk"})
        exemplars = [
            {"id": f"x{place}", "input": item["input"], "output": item["output"], **_since(item)}
            for place, item in enumerate(examples)
        ]
        template = [
            {"role": "system", "content": "You answer for the support desk of Brisk, which rents out bicycles."}
        ]
        self._call(
            "POST", f"/v1/features/{feature}/versions", {"messages": template, "exemplars": exemplars, "note": note}
        )

    def examples(self, feature: str, fresh: list[dict[str, str]], now: datetime) -> list[dict[str, str]]:
        """Return what is served as examples, with `fresh` ones put in the place of those with the same words."""
        said = {item["input"] for item in fresh}
        kept = [
            {"input": item.input, "output": item.output, **({"at": item.added_at.isoformat()} if item.added_at else {})}
            for item in self.served(feature).exemplars
            if item.input not in said
        ]
        unique = {item["input"]: item for item in fresh}
        return kept + [{**item, "at": now.isoformat()} for item in unique.values()]

    def set_clock(self, now: datetime) -> None:
        """Set the server's clock, which never runs backwards."""
        self._call("PUT", "/v1/clock", {"now": now.isoformat()})

    def tick(self) -> None:
        """Let the server's stages do all there is to do at its time."""
        self._call("POST", "/v1/tick", None)

    def until_current(self, client: Client, feature: str) -> None:
        """Wait until the SDK serves what the server says now, as every SDK does within its refresh time."""
        rollout = self._call("GET", f"/v1/features/{feature}/rollout", None)["rollout"]
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            served = client.resolve(feature, user="nobody")
            if served.rollout is not None and served.rollout.revision >= rollout["revision"]:
                return
            if time.monotonic() > deadline:
                raise Unavailable(f"the SDK did not see revision {rollout['revision']} of {feature!r} in time")
            time.sleep(0.005)

    def version(self, feature: str, version_id: str) -> Version:
        """Return a version that the rollout names; versions never change, so each is asked for once."""
        held = self._versions.get((feature, version_id))
        if held is None:
            body = self._call("GET", f"/v1/features/{feature}/rollout", None)
            for known_id, version in body["versions"].items():
                self._versions[feature, known_id] = msgspec.convert(version, Version)
            held = self._versions[feature, version_id]
        return held

    def served(self, feature: str) -> Version:
        """Return the version that most users of a feature get."""
        rollout = self._call("GET", f"/v1/features/{feature}/rollout", None)["rollout"]
        return self.version(feature, rollout["stable_version_id"])

    def undecided(self, feature: str) -> list[Change]:
        """Return the changes that a person is asked to decide."""
        items = self._call("GET", f"/v1/changes?feature={feature}&state=paused&order=oldest", None)["items"]
        return [msgspec.convert(item, Change) for item in items]

    def promote(self, change: Change) -> None:
        """Decide for a change as a person would."""
        self._call("POST", f"/v1/changes/{change.id}/promote", None)

    def news(self, feature: str, told: set[str]) -> list[str]:
        """Return, in words, what became of incidents and changes since the last look (`told` remembers)."""
        lines = []
        for item in self._call("GET", f"/v1/incidents?feature={feature}&order=oldest&limit=1000", None)["items"]:
            incident = msgspec.convert(item, Incident)
            if _first(told, incident.id, incident.state):
                lines.append(_of_incident(incident))
        for item in self._call("GET", f"/v1/changes?feature={feature}&order=oldest&limit=1000", None)["items"]:
            change = msgspec.convert(item, Change)
            share = change.canary.get("steps", [[None, 0.0]])[-1][1]
            if _first(told, change.id, f"{change.state}/{share}"):
                lines.append(_of_change(change, share))
        return lines

    def velocity(self, feature: str) -> dict[str, Any]:
        """Return the learning velocity of a feature."""
        answer: dict[str, Any] = self._call("GET", f"/v1/velocity?feature={feature}", None)
        return answer

    def _call(self, method: str, path: str, body: Any) -> Any:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"the server does not answer {method} {path}: {type(error).__name__}") from error
        if answer.status_code >= 400:
            raise Unavailable(f"the server refused {method} {path}: {answer.status_code} {answer.text[:300]}")
        return msgspec.json.decode(answer.content) if answer.content else None


def _since(item: dict[str, str]) -> dict[str, str]:
    return {"added_at": item["at"]} if "at" in item else {}


def _first(told: set[str], noun_id: str, state: str) -> bool:
    mark = f"{noun_id}/{state}"
    if mark in told:
        return False
    told.add(mark)
    return True


def _of_incident(incident: Incident) -> str:
    if incident.state == "firing":
        return (
            f"incident: {incident.negatives} of {incident.events} votes since {incident.onset_at:%d %b} say no, "
            f"normal is {incident.reference:.0%}; {incident.users} people"
        )
    if incident.state == "recovering":
        return "incident: recovering, the change is served to everyone"
    return f"incident: resolved ({incident.resolution})"


def _of_change(change: Change, share: float) -> str:
    told = _STATES.get(change.state, change.state)
    gate = ""
    if change.gate is not None and change.state in ("canary", "blocked") and not change.reason:
        gate = (
            f"; gate {change.gate.verdict} on {change.gate.cases} cases "
            f"({change.gate.fixed} fixed, {change.gate.broken} broken, rules out drops above "
            f"{100 * change.gate.rules_out:.1f} points)"
        )
    share_told = f" ({share:.0%} of users)" if change.state == "canary" else ""
    reason = f": {change.reason}" if change.reason else ""
    return f"change: {told}{share_told}{gate}{reason}"
