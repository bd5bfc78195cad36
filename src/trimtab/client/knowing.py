"""What the app gets to know beyond its prompt: facts for its own retrieval, and patches for its index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from trimtab.client.facts import nearest_facts
from trimtab.client.indexer import Indexer, known_questions, work_off
from trimtab.client.transport import Transport, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from trimtab.client.facts import Fact
    from trimtab.client.indexer import Handler, Retrieve
    from trimtab.client.ledger import Ledger
    from trimtab.client.version import Resolved

__all__ = ["Knowing"]


class Knowing(ABC):
    """The client's verbs about knowledge, given what it is connected to."""

    _on: bool
    _now: Callable[[], int]
    _ledger: Ledger
    _address: tuple[str, str, float]

    @abstractmethod
    def _broke(self, error: Exception) -> None:
        """Count what failed here; raise it where the client is strict."""

    @abstractmethod
    def resolve(self, feature: str | None = None, *, user: str | None = None, session: str | None = None) -> Resolved:
        """Return the Version this user is served."""

    def knowledge(
        self,
        feature: str | None = None,
        *,
        input: str,  # noqa: A002 the word of the record
        user: str | None = None,
        session: str | None = None,
        limit: int = 3,
        found: Collection[str] = (),
    ) -> list[Fact]:
        """Return what the Version this user is served knows about an input, the nearest first.

        For apps that put the prompt together themselves: show these beside what retrieval found, and leave out the
        chunks that they correct (`source_id`). Name them in the inference's `context` by their ids. `found` are the ids
        of the chunks that retrieval gave: what corrects one of them comes too, however the question is put.
        """
        resolved = self.resolve(feature, user=user, session=session)
        try:
            facts = resolved.version.knowledge if resolved.version else ()
            return nearest_facts(facts, input, now=self._now(), limit=limit, found=found)
        except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
            self._broke(error)
            return []

    def index(self, handler: Handler, *, feature: str | None = None, retrieve: Retrieve | None = None) -> int:
        """Carry out the patches that wait for the app's index; return how many were. For a worker: it waits.

        `handler(patch)` writes the patch's `document` under its `entry_id`, or takes that out again, and returns the
        ids of the chunks it wrote. It may be called again with the same patch. `retrieve(question, k)` returns the ids
        of what the index gives now: so it is seen whether the patch is found.
        """
        if not self._on:
            return 0
        url, key, timeout_s = self._address
        transport = Transport(url, key, timeout_s)
        try:
            return work_off(transport, self._ledger, handler, feature=feature, retrieve=retrieve)
        except Unreachable as error:
            self._ledger.warn(f"patches:{error.cause}", f"cannot fetch patches ({error.cause}); they wait")
            return 0
        except Exception as error:  # noqa: BLE001 nothing of ours may reach the app
            self._broke(error)
            return 0
        finally:
            transport.close()

    def known_questions(self, feature: str | None = None) -> list[tuple[str, frozenset[str]]]:
        """Return what Trimtab has seen the index find: questions, each with the ids of which one must be found.

        For a `Rebuild` of the index. Raises ConnectionError where they cannot be fetched: a rebuild that was judged by
        nothing must not look like one that was.
        """
        url, key, timeout_s = self._address
        transport = Transport(url, key, timeout_s)
        try:
            return known_questions(transport, feature)
        except Unreachable as error:
            raise ConnectionError(f"cannot fetch the known questions ({error.cause})") from error
        finally:
            transport.close()

    def indexer(self, feature: str | None = None, *, retrieve: Retrieve | None = None) -> Callable[[Handler], Indexer]:
        """Make a function the handler of patches: `@client.indexer()`, then call it, or `run` it, in a worker."""
        return lambda handler: Indexer(lambda: self.index(handler, feature=feature, retrieve=retrieve), handler)
