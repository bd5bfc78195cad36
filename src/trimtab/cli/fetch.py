"""What `trimtab export --url` does: has a running server build a set and fetches it, or pages through what it holds."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from trimtab.act.datasets.request import DatasetRequest
from trimtab.cli.progress import Tell
from trimtab.errors import AuthError, InputError, NotFound, TrimtabError, Unavailable
from trimtab.records import Dataset, Feedback, Inference, Outcome
from trimtab.store.lake.port import LakeTable

__all__ = ["fetched_rows", "fetched_set"]

_RECORDS: dict[LakeTable, Any] = {"inferences": Inference, "feedback": Feedback, "outcomes": Outcome}
_PAGE = 1000
_POLL_S = 0.5


def fetched_set(client: httpx.Client, request: DatasetRequest, out: Path, tell: Tell) -> Dataset:
    """Order a set, wait for it, and fetch its files into the new folder `out`, which appears when all have arrived.

    Raises Unavailable where it cannot be built or a file arrives other than it was sent.
    """
    record = msgspec.json.decode(_asked(client, "POST", "/v1/datasets", body=request), type=Dataset)
    pause = threading.Event()
    while record.state == "building":
        tell("building on the server", 0, 0)
        pause.wait(_POLL_S)
        record = msgspec.json.decode(_asked(client, "GET", f"/v1/datasets/{record.id}"), type=Dataset)
    if record.state != "done":
        raise Unavailable(f"the server could not build the set: {record.error or record.state}")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for file in record.files:
            if Path(file.name).name != file.name:
                raise Unavailable(f"expected the name of a file, got {file.name!r}; is this a Trimtab server?")
            digest = hashlib.sha256()
            with (draft / file.name).open("wb") as kept:
                for piece in _pieces(client, f"/v1/datasets/{record.id}/files/{file.name}"):
                    kept.write(piece)
                    digest.update(piece)
                    tell(f"fetching {file.name}", kept.tell(), file.size_bytes)
            if digest.hexdigest() != file.sha256:
                raise Unavailable(f"{file.name!r} did not arrive as it was sent; fetch it again")
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return record


def fetched_rows(client: httpx.Client, table: LakeTable, asked: dict[str, str]) -> Iterator[Any]:
    """Yield what the server's database holds of a table, oldest arrival first, page by page."""
    after = ""
    while True:
        query = {**asked, "order": "oldest", "limit": str(_PAGE), **({"after": after} if after else {})}
        page = msgspec.json.decode(_asked(client, "GET", f"/v1/{table}", query=query))
        yield from (msgspec.convert(item, _RECORDS[table]) for item in page["items"])
        if page.get("next") is None:
            return
        after = page["next"]


def _pieces(client: httpx.Client, path: str) -> Iterator[bytes]:
    try:
        with client.stream("GET", path) as answer:
            if answer.status_code != 200:
                answer.read()
                raise _refusal(answer)
            yield from answer.iter_bytes()
    except httpx.TransportError as error:
        raise Unavailable(f"the server does not answer: {type(error).__name__}: {error}") from error


def _asked(
    client: httpx.Client, method: str, path: str, *, body: Any = None, query: dict[str, str] | None = None
) -> bytes:
    content = msgspec.json.encode(body) if body is not None else None
    try:
        answer = client.request(method, path, content=content, params=query)
    except httpx.TransportError as error:
        raise Unavailable(f"the server does not answer: {type(error).__name__}: {error}") from error
    if answer.status_code >= 300:
        raise _refusal(answer)
    return answer.content


def _refusal(answer: httpx.Response) -> TrimtabError:
    try:
        said = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        said = answer.text[:200]
    kinds: dict[int, type[TrimtabError]] = {401: AuthError, 403: AuthError, 404: NotFound, 503: Unavailable}
    return kinds.get(answer.status_code, InputError)(f"the server answered {answer.status_code}: {said}")
