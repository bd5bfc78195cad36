"""A runner that asks a model behind any OpenAI-compatible endpoint, with the messages that the SDKs render."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec

from trimtab.act.answering.patience import AGAIN, Again, patiently
from trimtab.act.prompt import prompt
from trimtab.config import Runner as RunnerSettings
from trimtab.errors import ConfigError, Unavailable
from trimtab.records import Message, Payload, Version

__all__ = ["ChatEndpoint", "LlmRunner"]


class _Said(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Said


class _Completion(msgspec.Struct):
    choices: list[_Choice]


class ChatEndpoint:
    """Asks `POST {base_url}/chat/completions`, again where that fails for now. Redirects are not followed.

    The key is read from the environment once. Raises Unavailable when the endpoint cannot be reached or answers with an
    error; no message holds what was asked.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key_env: str,
        timeout_s: float,
        retries: int = 2,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        key = os.environ.get(api_key_env, "")
        self._retries = retries
        self._closing = threading.Event()
        self._pause = pause or self._closing.wait
        self._client = httpx.Client(
            base_url=base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout_s,
            follow_redirects=False,
        )

    def say(self, model: str, messages: Sequence[Message], parameters: dict[str, Any]) -> str:
        """Return what the model says, "" where it says nothing."""
        body: dict[str, Any] = {**parameters, "model": model, "messages": msgspec.to_builtins(messages)}
        return patiently(lambda: self._sent(body), self._retries, self._pause)

    def close(self) -> None:
        """Try nothing again, and close the connections."""
        self._closing.set()
        self._client.close()

    def _sent(self, body: dict[str, Any]) -> str:
        try:
            answer = self._client.post("chat/completions", json=body)
            answer.raise_for_status()
            completion = msgspec.json.decode(answer.content, type=_Completion)
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            told = f"the model endpoint answered {status}"
            raise (Again(told) if status in AGAIN else Unavailable(told)) from error
        except httpx.HTTPError as error:
            raise Again(f"the model endpoint cannot be reached: {type(error).__name__}") from error
        except msgspec.MsgspecError as error:
            raise Unavailable(f"the model endpoint sent no chat completion: {error}") from error
        return (completion.choices[0].message.content or "") if completion.choices else ""


class LlmRunner:
    """Sends each input with the Version's messages, rules and nearest exemplars to a model, `parallel` at once.

    The model is the Version's own, else that of the settings. Raises ConfigError when neither is set or no endpoint is
    named, Unavailable when the endpoint does not answer.
    """

    def __init__(
        self, settings: RunnerSettings, *, place: str = "runner", pause: Callable[[float], object] | None = None
    ) -> None:
        if not settings.base_url:
            raise ConfigError(
                f"{place}.base_url is empty; an llm runner needs one, such as the URL before /chat",
                param=f"{place}.base_url",
            )
        self._settings = settings
        self._place = place
        self._endpoint = ChatEndpoint(
            settings.base_url,
            api_key_env=settings.api_key_env,
            timeout_s=settings.timeout_s,
            retries=settings.retries,
            pause=pause,
        )
        self._pool = ThreadPoolExecutor(settings.parallel, thread_name_prefix="trimtab-llm")

    def answer(self, version: Version, inputs: Sequence[Payload]) -> list[str]:
        """Return one answer per input, in order."""
        model = version.model or self._settings.model
        if not model:
            raise ConfigError(f"no model: set {self._place}.model, or the version's own", param=f"{self._place}.model")
        return list(
            self._pool.map(
                lambda payload: self._endpoint.say(model, prompt(version, payload), version.parameters), inputs
            )
        )

    def close(self) -> None:
        """Ask nothing more, and close the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._endpoint.close()
