"""A runner that asks a model behind any OpenAI-compatible endpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec

from trimtab.act.knowledge.facts import nearest_facts
from trimtab.act.render import render
from trimtab.config import Runner as RunnerSettings
from trimtab.errors import ConfigError, Unavailable
from trimtab.records import Exemplar, Version

__all__ = ["LlmRunner"]

_PARALLEL = 8

Nearest = Callable[[Version, str], Sequence[Exemplar]]


class _Said(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Said


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class LlmRunner:
    """Sends each input with the Version's messages, rules and nearest exemplars to `POST {base_url}/chat/completions`.

    The model is the Version's own, else `runner.model`. Raises ConfigError when neither is set or the key is missing,
    Unavailable when the endpoint cannot be reached or answers with an error.
    """

    def __init__(self, settings: RunnerSettings, nearest: Nearest) -> None:
        if not settings.base_url:
            raise ConfigError("runner.base_url is empty; an llm runner needs one, such as the URL before /chat")
        self._settings = settings
        self._nearest = nearest
        key = os.environ.get(settings.api_key_env, "")
        self._client = httpx.Client(
            base_url=settings.base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=settings.timeout_s,
        )

    def answer(self, version: Version, inputs: Sequence[str]) -> list[str]:
        """Return one answer per input, in order, several asked at once."""
        with ThreadPoolExecutor(max_workers=_PARALLEL, thread_name_prefix="trimtab-llm") as pool:
            return list(pool.map(lambda text: self._ask(version, text), inputs))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, version: Version, text: str) -> str:
        model = version.model or self._settings.model
        if not model:
            raise ConfigError("no model: set runner.model, or the version's own", param="runner.model")
        facts = nearest_facts(version.knowledge, text)
        messages = render(version, text, self._nearest(version, text), facts)
        body: dict[str, Any] = {**version.parameters, "model": model, "messages": msgspec.to_builtins(messages)}
        try:
            answer = self._client.post("chat/completions", json=body)
            answer.raise_for_status()
            completion = msgspec.json.decode(answer.content, type=_Completion)
        except httpx.HTTPStatusError as error:
            raise Unavailable(f"the model endpoint answered {error.response.status_code}") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"the model endpoint cannot be reached: {type(error).__name__}") from error
        except msgspec.MsgspecError as error:
            raise Unavailable(f"the model endpoint sent no chat completion: {error}") from error
        return (completion.choices[0].message.content or "") if completion.choices else ""
