"""A sample product over HTTP: an app with the SDK, whose answers are as good as the model that its version names."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx

from trimtab.client import Client
from trimtab.clock import SystemClock

__all__ = ["Released", "SampleApp"]

_PATIENCE_S = 60.0
_CLOCK = SystemClock()


class Released(NamedTuple):
    """What came of a release. Seconds are since everyone was served it; None: it was not found within the votes.

    `votes` were cast on it until the app served the earlier version again; `heard` of them raised the alarm.
    """

    votes: int
    bad_votes: int
    heard: int | None = None
    found_s: float | None = None
    switched_s: float | None = None
    back_in_app_s: float | None = None
    served: str = ""


class SampleApp:
    """Serves people of one feature, each once; `bad_rate` says by model how often an answer is voted down.

    Everything goes through the SDK and the HTTP API of a running server, by the machine's clock.
    """

    def __init__(
        self, url: str, keys: Mapping[Any, str], feature: str, spool: Path, bad_rate: Mapping[str, float], seed: int
    ) -> None:
        self.feature = feature
        self._bad_rate = bad_rate
        self._dice = random.Random(seed)
        self._people = 0
        self._client = Client(url, keys["ingest"], feature=feature, spool_dir=spool, strict=True, resolve_timeout_s=30)
        admin = {"Authorization": f"Bearer {keys['admin']}"}
        self._admin = httpx.Client(base_url=url, headers=admin, timeout=30, trust_env=False)
        self._admin.put(f"/v1/features/{feature}").raise_for_status()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._admin.close()

    def release(self, model: str) -> str:
        """Serve a version with this model to everyone, as a person would; return its id when the app serves it."""
        answer = self._admin.post(f"/v1/features/{self.feature}/versions", json={"model": model}).raise_for_status()
        self.wait(lambda: self._model("somebody") == model)
        return str(answer.json()["version"]["id"])

    def serve(self) -> tuple[str, bool]:
        """Answer one person, who votes; return the model that answered and whether the vote was good."""
        self._people += 1
        user = f"{self.feature}-user-{self._people}"
        with self._client.inference(input=f"Question {self._dice.randrange(500)}?", user=user) as handle:
            model = self._model(user)
            handle.output = f"An answer of {model}."
        good = self._dice.random() >= self._bad_rate[model]
        self._client.thumb(handle.id, up=good, user=user)
        return model, good

    def learn(self, people: int) -> None:
        """Serve many, as fast as it goes; return when the server has judged their votes."""
        for _ in range(people):
            self.serve()
        self._settled()

    def follow(self, version_id: str, model: str, *, votes: int, per_second: float) -> Released:
        """Serve people at a steady pace until the app serves another model again, or the release has had its votes."""
        began, at = _CLOCK.now(), time.monotonic()
        cast = bad = 0
        while cast < votes:
            time.sleep(max(0.0, at + cast / per_second - time.monotonic()))
            served, good = self.serve()
            if served != model:
                return self._taken_back(version_id, cast, bad, began, time.monotonic() - at, served)
            cast, bad = cast + 1, bad + (not good)
        self._settled()
        return Released(cast, bad, served=self._model("somebody"))

    def incident(self, version_id: str) -> dict[str, Any] | None:
        """Return the incident about a version, if there is one."""
        items = self._admin.get("/v1/incidents", params={"feature": self.feature}).raise_for_status().json()["items"]
        found: dict[str, Any] | None = next((each for each in items if each["version_id"] == version_id), None)
        return found

    def runs(self) -> list[dict[str, Any]]:
        """Return what the engine did about the feature, with its steps."""
        items = self._admin.get("/v1/runs", params={"feature": self.feature}).raise_for_status().json()["items"]
        return [self._admin.get(f"/v1/runs/{each['id']}").raise_for_status().json() for each in items]

    def _taken_back(
        self, version_id: str, cast: int, bad: int, began: datetime, back_in_app_s: float, served: str
    ) -> Released:
        incident = self.incident(version_id)
        assert incident is not None
        rollout = self._admin.get(f"/v1/features/{self.feature}/rollout").raise_for_status().json()["rollout"]
        return Released(
            votes=cast,
            bad_votes=bad,
            heard=int(incident["detail"]["curve"][-1][0]),
            found_s=(datetime.fromisoformat(incident["detected_at"]) - began).total_seconds(),
            switched_s=(datetime.fromisoformat(rollout["updated_at"]) - began).total_seconds(),
            back_in_app_s=back_in_app_s,
            served=served,
        )

    def _model(self, user: str) -> str:
        version = self._client.resolve(user=user).version
        return (version.model if version else None) or ""

    def _settled(self) -> None:
        assert self._client.flush(_PATIENCE_S)
        self.wait(lambda: self._judged() >= self._people)

    def _judged(self) -> int:
        answer = self._admin.get("/v1/outcomes/summary", params={"feature": self.feature}).raise_for_status()
        return sum(each["judged"] for each in answer.json()["items"])

    def wait(self, ready: Callable[[], bool]) -> None:
        """Wait until something is so."""
        turn, until = threading.Event(), time.monotonic() + _PATIENCE_S
        while not ready():
            assert time.monotonic() < until
            turn.wait(0.02)
