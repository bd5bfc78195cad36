"""Fine-tuning behind an OpenAI-compatible interface: files, a job, its model, in steps that may be repeated.

What a step made is looked for before it is made again, so that neither a kill nor a lost answer makes two: an upload by
its file's name, which holds our job's id, and a job by the file it trains on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from trimtab.act.outgoing import Outgoing, OutgoingError, Resolve, resolved
from trimtab.config import Finetune
from trimtab.errors import TrimtabError, Unavailable
from trimtab.records import Name

__all__ = ["HostedTraining", "Order", "Refused", "is_over"]

_MOST_ANSWER = 4 << 20
_MOST_FILE = 512 << 20
_PAGE, _PAGES = 100, 20
_UPLOAD_BYTES_PER_S = 1 << 20
_LATER = (408, 409, 425, 429)
_NO_SUCH_ROUTE = (404, 405, 501)
_OVER = ("succeeded", "failed", "cancelled")
_KEPT = 1000

Progress = dict[str, Any]
"""What is known of a job there: `train_file`, `validation_file`, `creating`, `job`, `status`, tokens, cost, model."""


class Refused(TrimtabError):
    """The endpoint will not do it, however often it is asked."""


class Order(NamedTuple):
    """What is to be trained: our name for it, the files, the model it begins from, and on what kind of rows."""

    name: str
    train: Path
    validation: Path | None
    base: str
    kind: Literal["sft", "dpo"]


class _Made(msgspec.Struct):
    id: str


class HostedTraining:
    """The endpoint. Its verbs raise Refused for good, and Unavailable when it may be otherwise in a moment."""

    def __init__(
        self, settings: Finetune, environ: Mapping[str, str] | None = None, *, resolve: Resolve = resolved
    ) -> None:
        self._settings = settings
        self._environ = os.environ if environ is None else environ
        self._resolve = resolve

    def advance(self, order: Order, progress: Progress, *, first: bool) -> Progress:
        """Take the next step and return what is known then: upload, upload, announce, create, or ask how it stands.

        `first` says that nobody can have created the job yet.
        """
        if "train_file" not in progress:
            return {**progress, "train_file": self._uploaded(f"{order.name}-train.jsonl", order.train)}
        if order.validation is not None and "validation_file" not in progress:
            made = self._uploaded(f"{order.name}-validation.jsonl", order.validation)
            return {**progress, "validation_file": made}
        if "creating" not in progress:
            return {**progress, "creating": True}
        if "job" not in progress:
            found = self._found(progress["train_file"], first=first)
            return self._told(progress, found if found is not None else self._created(order, progress))
        job = quote(progress["job"], safe="")
        return self._told(progress, self._call("GET", f"/fine_tuning/jobs/{job}"))

    def close(self, progress: Progress) -> Progress:
        """Call off what still runs there and delete the files; what is gone already is as good."""
        job = progress.get("job")
        if job is None and "creating" in progress:
            found = self._found(progress["train_file"], first=True)
            job = found["id"] if found is not None else None
        if job is not None and progress.get("status") not in _OVER:
            self._best_effort("POST", f"/fine_tuning/jobs/{quote(job, safe='')}/cancel")
        for key in ("train_file", "validation_file"):
            if key in progress:
                self._best_effort("DELETE", f"/files/{quote(progress[key], safe='')}")
        return {**progress, **({"job": job} if job else {}), "closed": True}

    def _uploaded(self, name: str, path: Path) -> str:
        """Return the id of the file of this name, uploaded now if it is not there."""
        try:
            for each in self._listed("/files", purpose="fine-tune"):
                if each.get("filename") == name:
                    return str(each["id"])
        except Refused as refused:
            if not isinstance(refused, _Unknown):
                raise
        content = path.read_bytes()
        if len(content) > _MOST_FILE:
            raise Refused(f"the set has {len(content) >> 20} MB; endpoints take at most {_MOST_FILE >> 20} MB")
        boundary = "trimtab" + hashlib.sha256(content).hexdigest()[:40]
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        answer = self._call("POST", "/files", body, f"multipart/form-data; boundary={boundary}")
        return _converted(answer, _Made, "a file with an id").id

    def _found(self, train_file: str, *, first: bool) -> dict[str, Any] | None:
        """Return the job that trains on our file, if there is one."""
        try:
            jobs = self._listed("/fine_tuning/jobs")
            return next((each for each in jobs if each.get("training_file") == train_file), None)
        except _Unknown:
            if first:
                return None
            raise Refused(
                "the engine was stopped while it created the job, and the endpoint does not list jobs: whether there "
                "is one is not known. Look there, then order another"
            ) from None

    def _created(self, order: Order, progress: Progress) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "model": order.base,
            "training_file": progress["train_file"],
            "suffix": order.name[:18],
            "metadata": {"trimtab_job": order.name},
        }
        if "validation_file" in progress:
            asked["validation_file"] = progress["validation_file"]
        if order.kind == "dpo":
            asked["method"] = {"type": "dpo"}
        return self._call("POST", "/fine_tuning/jobs", msgspec.json.encode(asked), "application/json")

    def _told(self, progress: Progress, job: Mapping[str, Any]) -> Progress:
        """Add what the endpoint says of the job. Its price is only known where the settings name one."""
        told = {**progress, "job": _converted(job, _Made, "a job with an id").id, "status": str(job.get("status"))[:40]}
        tokens = job.get("trained_tokens")
        if isinstance(tokens, int):
            price = self._settings.usd_per_million_tokens
            told["trained_tokens"] = tokens
            told["cost_usd"] = round(tokens * price / 1e6, 4) if price else None
        if told["status"] == "succeeded":
            model = job.get("fine_tuned_model")
            try:
                told["model"] = msgspec.convert(model, Name)
            except msgspec.ValidationError:
                raise Refused(f"the job succeeded, but names no model: got {str(model)[:100]!r}") from None
        return told

    def why(self, progress: Progress) -> str:
        """Return why a job there ended without a model, in the endpoint's words."""
        job = self._call("GET", f"/fine_tuning/jobs/{quote(progress['job'], safe='')}")
        error = job.get("error")
        said = error.get("message") if isinstance(error, Mapping) else None
        return f"the endpoint's job is {progress['status']}: {str(said or 'it gives no reason')[:_KEPT]}"

    def _listed(self, path: str, **asked: str) -> Iterator[dict[str, Any]]:
        after: dict[str, str] = {}
        for _ in range(_PAGES):
            page = self._call("GET", f"{path}?{urlencode({**asked, 'limit': str(_PAGE), **after})}")
            rows = page.get("data")
            if not isinstance(rows, list):
                raise _Unknown(f"expected a list of {path.rpartition('/')[2]}, got {str(page)[:100]!r}")
            yield from (row for row in rows if isinstance(row, dict))
            if not page.get("has_more") or not rows or "id" not in rows[-1]:
                return
            after = {"after": str(rows[-1]["id"])}

    def _best_effort(self, method: Literal["POST", "DELETE"], path: str) -> None:
        try:
            self._call(method, path)
        except Refused:
            return  # it is over, or gone, or this endpoint has no such verb

    def _call(
        self, method: Literal["GET", "POST", "DELETE"], path: str, body: bytes = b"", content_type: str = ""
    ) -> dict[str, Any]:
        key = self._environ.get(self._settings.api_key_env, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= {"Content-Type": content_type} if content_type else {}
        outgoing = Outgoing(
            timeout_s=self._settings.timeout_s + len(body) / _UPLOAD_BYTES_PER_S,
            allow_private=self._settings.allow_private,
            most=_MOST_ANSWER,
            resolve=self._resolve,
        )
        try:
            answer = outgoing.send(method, self._settings.base_url.rstrip("/") + path, body, headers)
        except OutgoingError as error:
            if error.kind.startswith("refused"):
                raise Refused(f"finetune.base_url: {error.message}; see finetune.allow_private") from None
            raise
        what = f"{method} {path.partition('?')[0]}"
        if (answer.status >= 500 and answer.status not in _NO_SUCH_ROUTE) or answer.status in _LATER:
            raise Unavailable(f"{what} was answered {answer.status}: {_said(answer.body)}")
        if not 200 <= answer.status < 300:
            kind = _Unknown if method == "GET" and answer.status in _NO_SUCH_ROUTE else Refused
            raise kind(f"{what} was answered {answer.status}: {_said(answer.body)}")
        if method == "DELETE":
            return {}
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except msgspec.MsgspecError:
            raise Unavailable(f"{what} was answered with no JSON object: {answer.body[:100]!r}") from None


class _Unknown(Refused):
    """The endpoint has no such route, or nothing there."""


def is_over(progress: Progress) -> bool:
    """Say whether the job there has ended."""
    return progress.get("status") in _OVER


def _converted(answer: Mapping[str, Any], kind: type[_Made], what: str) -> _Made:
    try:
        return msgspec.convert(dict(answer), kind)
    except msgspec.ValidationError:
        raise Refused(f"expected {what}, got {str(dict(answer))[:200]!r}") from None


def _said(body: bytes) -> str:
    """Return what an error says: its message where there is one, else its beginning."""
    try:
        error = msgspec.json.decode(body)["error"]
        said = error["message"] if isinstance(error, dict) else error
    except (msgspec.MsgspecError, KeyError, TypeError):
        said = body[:_KEPT].decode("utf-8", "replace")
    return str(said)[:_KEPT]
