"""A judging model on loopback: scripted, with whatever leaning a test gives it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.answering_app import AnsweringApp

__all__ = ["fair", "judging"]


def fair(data: dict[str, str]) -> str:
    """Judge by whether what is expected stands in the answer; of two, prefer the one in which it does."""
    if "answer" in data:
        return "good" if data["expected"] in data["answer"] else "bad"
    first, second = (data["expected"] in data[name] for name in ("first", "second"))
    return "neither" if first == second else "first" if first else "second"


def judging(lean: Callable[[dict[str, str]], str] = fair) -> AnsweringApp:
    """Return a model endpoint that judges as `lean` does, in the form the engine asks for."""

    def mind(messages: list[dict[str, str]]) -> Any:
        return json.dumps({"verdict": lean(json.loads(messages[-1]["content"]))})

    return AnsweringApp(mind=mind)
