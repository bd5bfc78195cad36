"""The app's worker brings patches into its own index, and says what became of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trimtab.client.ledger import Ledger
    from trimtab.client.transport import Transport

    Handler = Callable[["Patch"], "Iterable[str] | str | None"]
    Retrieve = Callable[[str, int], Iterable[str]]

__all__ = ["Indexer", "Patch", "work_off"]

_LOT = 50
_TOP = 20


class Patch(NamedTuple):
    """One document to write to the index under `entry_id` (kind "upsert"), or to take out of it ("delete").

    `source_id` is the chunk of the app's own that it corrects. `chunk_ids` are, for a delete, what was written before.
    """

    id: str
    feature: str
    kind: str
    entry_id: str
    question: str
    text: str
    source_id: str | None
    expires_at: str | None
    chunk_ids: tuple[str, ...]

    @property
    def document(self) -> str:
        """The text to index: the question, then its answer, so that the question finds it."""
        return f"{self.question}\n{self.text}" if self.question else self.text

    @property
    def metadata(self) -> dict[str, str]:
        """What to keep beside the text."""
        told = {"trimtab_id": self.entry_id, "trimtab_feature": self.feature}
        more = {"supersedes": self.source_id, "valid_to": self.expires_at}
        return told | {name: value for name, value in more.items() if value}


class Indexer:
    """A handler with the loop around it: calling it works off what waits, `run` does so until `stop` is set."""

    def __init__(self, work: Callable[[], int], handler: Handler) -> None:
        self._work = work
        self.handler = handler

    def __call__(self) -> int:
        """Carry out the patches that wait; return how many were."""
        return self._work()

    def run(self, stop: Any, *, every_s: float = 5.0) -> None:
        """Work off what waits every `every_s` seconds, until `stop` (a threading.Event) is set."""
        while not stop.is_set():
            self._work()
            stop.wait(every_s)


def work_off(
    transport: Transport,
    ledger: Ledger,
    handler: Handler,
    *,
    feature: str | None = None,
    retrieve: Retrieve | None = None,
) -> int:
    """Fetch what waits, oldest first, hand each to the handler and say what became of it; return how many were done.

    A patch comes again, under the same id, until its acknowledgement arrived: the handler must bear that. One whose
    handler raises stays, and so do those behind it that are about the same entry. Raises Unreachable.
    """
    from urllib.parse import urlencode  # noqa: PLC0415 the app's own imports stay light

    asked = {"state": "waiting", "order": "oldest", "limit": str(_LOT), **({"feature": feature} if feature else {})}
    done, stuck = 0, set[str]()
    after: str | None = None
    while True:
        told = {**asked, **({"after": after} if after else {})}
        answer = transport.request("GET", f"/v1/knowledge/patches?{urlencode(told)}")
        if answer.status != 200:
            ledger.warn(f"patches:{answer.status}", f"cannot fetch patches (http_{answer.status})")
            return done
        page = json.loads(answer.body)
        for item in page["items"]:
            patch = _patch_from(item)
            if patch.entry_id not in stuck:
                if _done(transport, ledger, handler, retrieve, patch):
                    done += 1
                else:
                    stuck.add(patch.entry_id)
        after = page.get("next")
        if not after:
            return done


def _done(transport: Transport, ledger: Ledger, handler: Handler, retrieve: Retrieve | None, patch: Patch) -> bool:
    try:
        written = handler(patch)
        ids = [written] if isinstance(written, str) else list(written or ())
        body: dict[str, Any] = {"chunk_ids": [str(each) for each in ids]}
        if retrieve is not None and patch.kind == "upsert":
            body["retrieved"] = [str(each) for each in retrieve(patch.question or patch.text, _TOP)][:_TOP]
    except Exception as error:  # noqa: BLE001 one patch that cannot be written holds up no other
        ledger.warn(f"index:{type(error).__name__}", f"a patch could not be written ({type(error).__name__}); it stays")
        return False
    answer = transport.request(
        "POST",
        f"/v1/knowledge/patches/{patch.id}/ack",
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    if answer.status not in (200, 409):  # 409: withdrawn meanwhile, and a delete follows
        ledger.warn(f"ack:{answer.status}", f"a patch was written but not acknowledged (http_{answer.status})")
    return answer.status == 200


def _patch_from(told: dict[str, Any]) -> Patch:
    return Patch(
        id=str(told["id"]),
        feature=str(told["feature"]),
        kind=str(told["kind"]),
        entry_id=str(told["entry_id"]),
        question=str(told.get("question", "")),
        text=str(told.get("text", "")),
        source_id=told.get("source_id"),
        expires_at=told.get("expires_at"),
        chunk_ids=tuple(str(chunk["id"]) for chunk in told.get("chunks", ())),
    )
