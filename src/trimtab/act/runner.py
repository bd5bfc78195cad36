"""What the engine asks of a feature when it must know itself how a Version would answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from trimtab.config import Runner as RunnerSettings
from trimtab.config import Settings
from trimtab.errors import ConfigError
from trimtab.ids import content_id
from trimtab.records import CheckKind, Payload, Version

__all__ = ["Runner", "check_of", "fingerprint", "runner_of", "words_check"]

_SAME = ("timeout_s", "parallel", "retries", "reuse_hours", "usd_per_1k_input", "usd_per_1k_output")


class Runner(Protocol):
    """Answers inputs as one Version would. Used by the gate, the study and the demo; safe to call from any thread."""

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        """Return one answer per input, in order. An input the version has no answer for gets "".

        Raises Unavailable where it may work later, ConfigError or Conflict where it will not; never is trouble an
        answer.
        """
        ...


def runner_of(settings: Settings, feature: str) -> RunnerSettings:
    """Return the settings of what answers for a feature. Raises ConfigError where it names a runner that is none."""
    override = settings.features.get(feature)
    name = override.runner if override else None
    if name is None:
        return settings.runner
    if name not in settings.runners:
        known = ", ".join(sorted(settings.runners)) or "none"
        raise ConfigError(
            f"expected features.{feature}.runner to name one of [runners.NAME] ({known}), got {name!r}",
            param=f"features.{feature}.runner",
        )
    return settings.runners[name]


def fingerprint(settings: RunnerSettings) -> str:
    """Return what answers are kept under: who was asked, not how patiently. "" where asking again costs nothing."""
    if settings.kind == "memory":
        return ""
    told = {name: value for name, value in msgspec.to_builtins(settings).items() if name not in _SAME}
    return content_id("r", msgspec.json.encode(told, order="deterministic"))


def check_of(settings: Settings, feature: str) -> CheckKind:
    """Return how a golden case that is made of people's words is checked."""
    if settings.gate.check != "auto":
        return settings.gate.check
    return words_check(settings, feature)


def words_check(settings: Settings, feature: str) -> Literal["exact", "similar"]:
    """Return the check that looks at words alone: all of them where answers are remembered, else most of them."""
    return "exact" if runner_of(settings, feature).kind == "memory" else "similar"
