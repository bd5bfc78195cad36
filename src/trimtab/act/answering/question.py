"""What an app is asked, whoever carries it there: the input, and the Version that is to answer it."""

from __future__ import annotations

from typing import Any

import msgspec

from trimtab.act.prompt import prompt
from trimtab.records import Payload, Version

__all__ = ["output_of", "question"]


def question(version: Version, payload: Payload, key: str) -> dict[str, Any]:
    """Return the question as JSON holds it.

    `messages` are what the SDKs render for this version and input; `version` is whole, for an app that renders itself.
    """
    return {
        "id": key,
        "kind": "answer",
        "feature": version.feature,
        "input": payload,
        "messages": msgspec.to_builtins(prompt(version, payload)),
        "version": msgspec.to_builtins(version),
    }


def output_of(said: Any) -> str:
    """Return an app's answer as text: nothing is "", what is no text is JSON."""
    if said is None:
        return ""
    return said if isinstance(said, str) else msgspec.json.encode(said).decode()
