"""Which runner answers for which feature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from trimtab.act.memory import FittedMemory
from trimtab.act.runner import Runner, runner_of
from trimtab.config import Runner as RunnerSettings
from trimtab.config import Settings
from trimtab.records import Payload, Version

__all__ = ["FeatureRunners", "open_one", "opened"]


class Closing(Runner, Protocol):
    """A runner that holds something open."""

    def close(self) -> None:
        """Let go of it."""
        ...


class FeatureRunners:
    """Answers with the runner that the settings name for the Version's feature, else with that of `[runner]`.

    All are made at once, so that a setting of no use is met at the start. Raises what making one raises.
    """

    def __init__(self, settings: Settings, made: Callable[[RunnerSettings, str], Runner]) -> None:
        self._settings = settings
        self._default = made(settings.runner, "runner")
        self._named = {name: made(told, f"runners.{name}") for name, told in settings.runners.items()}
        for feature in settings.features:
            runner_of(settings, feature)

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        """Return one answer per input, in order."""
        override = self._settings.features.get(version.feature)
        name = override.runner if override else None
        runner = self._default if name is None else self._named[name]
        return runner.answer(version, inputs)


def open_one(settings: RunnerSettings, place: str = "runner") -> tuple[Runner, Callable[[], object]]:
    """Return the runner that these settings name, and what closes it. `place` is where they stand.

    Raises ConfigError for settings of no use.
    """
    if settings.kind == "memory":
        return FittedMemory(), lambda: None
    made: Closing
    if settings.kind == "webhook":
        from trimtab.act.answering.webhook import WebhookRunner  # noqa: PLC0415  an HTTP client, only where it is used

        made = WebhookRunner(settings, place=place)
    elif settings.kind == "python":
        from trimtab.act.answering.python import PythonRunner  # noqa: PLC0415

        made = PythonRunner(settings, place=place)
    else:
        from trimtab.act.llm import LlmRunner  # noqa: PLC0415  an HTTP client, only where an endpoint is named

        made = LlmRunner(settings, place=place)
    return made, made.close


def opened(settings: Settings, closes: Callable[[Callable[[], object]], object]) -> Runner:
    """Return what answers for all features; `closes` is given what closes each of them."""

    def made(told: RunnerSettings, place: str) -> Runner:
        runner, close = open_one(told, place)
        closes(close)
        return runner

    return FeatureRunners(settings, made) if settings.runners or settings.features else made(settings.runner, "runner")
