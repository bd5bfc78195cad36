"""LangChain: a callback handler that records each model call of a chain, with what was retrieved for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from trimtab.client.wrap.recording import Asked, Reading, begin, guarded, slim

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from langchain_core.callbacks import BaseCallbackHandler

    from trimtab.client.client import Client
    from trimtab.client.wrap.recording import Recording

__all__ = ["handler"]

_MOST_RUNS = 10_000
_NAMES = ("user_id", "session_id", "feature")


def handler(client: Client, *, feature: str | None = None) -> BaseCallbackHandler:
    """Return a handler to pass in `config={"callbacks": [...]}` or to a model's constructor; one serves all threads.

    The run's metadata may name `user_id`, `session_id` and `feature`. The inference id of a model call is its run id.
    """
    from langchain_core.callbacks import BaseCallbackHandler  # noqa: PLC0415 only the app that uses it has it

    runs = _Runs(client, feature)
    methods = {name: runs.method(verb) for name, verb in _VERBS.items()}
    # Run inline: in order, and in the context that knows session and user.
    made = type("TrimtabHandler", (BaseCallbackHandler,), {"run_inline": True, **methods})
    return cast("BaseCallbackHandler", made())


class _Runs:
    """The model calls that are open, and what was retrieved in the chains that are."""

    def __init__(self, client: Client, feature: str | None) -> None:
        self._client, self._feature = client, feature
        self._open: dict[UUID, tuple[Recording, list[Any]]] = {}
        self._roots: dict[UUID, UUID] = {}
        self._documents: dict[UUID, list[Any]] = {}

    def method(self, verb: Callable[..., None]) -> Callable[..., None]:
        """Return the handler's method for `verb`, which can neither fail nor stop a chain."""
        return lambda _, *told, **options: guarded(self._client, lambda: verb(self, *told, **options))

    def chain_start(self, *_: Any, run_id: UUID, parent_run_id: UUID | None = None, **__: Any) -> None:
        """Remember which chain a step belongs to."""
        if len(self._roots) < _MOST_RUNS:  # a chain that never ends must not fill the memory
            self._roots[run_id] = self._root(run_id, parent_run_id)

    def chain_end(self, *_: Any, run_id: UUID, **__: Any) -> None:
        """Forget it."""
        self._roots.pop(run_id, None)
        self._documents.pop(run_id, None)

    def retriever_end(self, documents: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any) -> None:
        """Keep what was retrieved, for the model calls of the same chain."""
        current = self._client.current()
        if current is not None:
            _add(current, documents)
        root = self._root(run_id, parent_run_id)
        if root in self._roots:
            self._documents.setdefault(root, []).extend(documents)

    def chat_start(self, _: Any, messages: Any, **told: Any) -> None:
        """Begin a call of a chat model."""
        self._start([_message(message) for message in messages[0]] if messages else None, **told)

    def llm_start(self, _: Any, prompts: list[str], **told: Any) -> None:
        """Begin a call of a completion model."""
        self._start(prompts[0] if len(prompts) == 1 else prompts, **told)

    def token(self, token: Any, *, chunk: Any = None, run_id: UUID, **_: Any) -> None:
        """Note a piece of a streamed answer."""
        if run_id in self._open:
            recording, pieces = self._open[run_id]
            pieces.append(token)
            recording.mark(getattr(chunk, "message", chunk))

    def llm_end(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        """Record the answer."""
        found = self._open.pop(run_id, None)
        if found is not None:
            made = response.generations[0][0] if response.generations and response.generations[0] else None
            found[0].mark(getattr(made, "message", made))
            found[0].done(_tells(made, response.llm_output or {}))

    def llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Record the failure, with what had come."""
        found = self._open.pop(run_id, None)
        if found is not None:
            recording, pieces = found
            text = "".join(piece for piece in pieces if isinstance(piece, str)) or None
            recording.done(Reading(text), None if isinstance(error, GeneratorExit) else error)

    def _start(
        self, asked: Any, *, run_id: UUID, parent_run_id: UUID | None = None, metadata: Any = None, **told: Any
    ) -> None:
        known = metadata or {}
        options = told.get("invocation_params") or {}
        model = known.get("ls_model_name") or options.get("model") or options.get("model_name")
        named = {name: known[name] for name in _NAMES if known.get(name)}
        recording = begin(self._client, self._feature, Asked(asked, model, None, named, str(run_id)))
        if recording is None:
            return
        if len(self._open) < _MOST_RUNS:
            self._open[run_id] = (recording, [])
        if recording.handle is not self._client.current():
            _add(recording.handle, self._documents.get(self._root(run_id, parent_run_id), []))

    def _root(self, run_id: UUID, parent_run_id: UUID | None) -> UUID:
        return self._roots.get(parent_run_id, parent_run_id) if parent_run_id else run_id


_VERBS: dict[str, Callable[..., None]] = {
    "on_chain_start": _Runs.chain_start,
    "on_chain_end": _Runs.chain_end,
    "on_chain_error": _Runs.chain_end,
    "on_retriever_end": _Runs.retriever_end,
    "on_chat_model_start": _Runs.chat_start,
    "on_llm_start": _Runs.llm_start,
    "on_llm_new_token": _Runs.token,
    "on_llm_end": _Runs.llm_end,
    "on_llm_error": _Runs.llm_error,
}
_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}


def _message(message: Any) -> dict[str, Any]:
    role = getattr(message, "role", None) or _ROLES.get(message.type, message.type)
    told: dict[str, Any] = {"role": role, "content": slim(message.content)}
    if getattr(message, "tool_calls", None):
        told["tool_calls"] = [dict(call) for call in message.tool_calls]
    if getattr(message, "tool_call_id", None):
        told["tool_call_id"] = message.tool_call_id
    return told


def _tells(made: Any, whole: dict[str, Any]) -> Reading:
    message = getattr(made, "message", None)
    if message is None:
        usage = whole.get("token_usage") or {}
        spent = usage.get("prompt_tokens"), usage.get("completion_tokens")
        return Reading(getattr(made, "text", None), whole.get("model_name"), *spent)
    about, usage = message.response_metadata or {}, getattr(message, "usage_metadata", None) or {}
    output = _message(message)
    return Reading(
        output=output if "tool_calls" in output else output["content"],
        model=about.get("model_name") or about.get("model"),
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        external_id=message.id,
    )


def _add(handle: Any, documents: Any) -> None:
    """Add documents as retrieved: under their id, or where they come from, or their place in the list."""
    for at, document in enumerate(documents):
        about = document.metadata or {}
        name = getattr(document, "id", None) or about.get("id") or about.get("source") or str(at)
        score = about.get("score", about.get("relevance_score"))
        handle.chunk(str(name), text=document.page_content, score=score if isinstance(score, float) else None)
