"""A redactor for each project: by the policy of its newest settings, or the installation's where it has none."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from trimtab.errors import ConfigError, Unavailable
from trimtab.records import RedactionSettings
from trimtab.redact.engine import Redactor
from trimtab.redact.ner import SecondLook
from trimtab.redact.policy import LENIENT, STRICT, Policy, policy_of
from trimtab.redact.wall import Cleaner

__all__ = ["Cleaners", "Redactors", "Standing"]

_REMEMBERED_S: Final = 5.0
_MOST_REDACTORS: Final = 64
_MOST_PROJECTS: Final = 10_000


class Cleaners(Protocol):
    """What cleans the records of each project."""

    def of(self, project_id: str) -> Cleaner:
        """Return what cleans this project's words, by its newest policy."""
        ...


class Standing(NamedTuple):
    """What a project's rows should have gone through: the newest `rules`, and all `enough` that take no less."""

    cleaner: Cleaner
    rules: str
    enough: tuple[str, ...]


class _Known(NamedTuple):
    at: float
    revisions: Sequence[RedactionSettings]
    redactor: Redactor


class Redactors:
    """One redactor per policy, shared by the projects that have it; safe for threads.

    `read` returns all revisions of a project's settings, oldest first. It is asked at a project's first text, at the
    first after `forget`, and else every five seconds: settings that another process wrote count from then on.

    Cleaning fails closed: while settings cannot be read, or stand for no policy that works, `of` raises Unavailable,
    and nothing of that project is stored.

        redactors = Redactors(key=key, read=store.redactions)
        seal(redactors.of("default"), inference)

    `second` is what looks at texts again after they are stored (a model that finds names); it belongs to `standing`,
    not to `of`.
    """

    def __init__(
        self,
        *,
        key: bytes,
        read: Callable[[str], Sequence[RedactionSettings]],
        default: Policy = STRICT,
        second: SecondLook | None = None,
        remembered_s: float = _REMEMBERED_S,
    ) -> None:
        self._key = key
        self._read = read
        self._default = default
        self._second = second
        self._remembered_s = remembered_s
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._redactors: OrderedDict[Policy, Redactor] = OrderedDict()
        self._spent = 0  # failures of redactors that were let go
        self._redactor(default)  # a key that is too short is told at the start

    @property
    def failures(self) -> int:
        """How many texts became `<REDACTION_FAILED>` since the start."""
        with self._lock:
            found = sum(redactor.failures for redactor in self._redactors.values())
        return self._spent + found + (self._second.failures if self._second is not None else 0)

    def of(self, project_id: str) -> Redactor:
        """Return the redactor of the project. Raises Unavailable."""
        return self._fresh(project_id).redactor

    def current(self, project_id: str) -> RedactionSettings | None:
        """Return the newest settings of the project as the store has them now, None where it never had any."""
        revisions = self._read(project_id)
        return revisions[-1] if revisions else None

    def trial(self, policy: Policy) -> Redactor:
        """Return a redactor with this installation's key under a policy that is only tried: nothing keeps it."""
        return Redactor(key=self._key, policy=policy)

    def standing(self, project_id: str) -> Standing:
        """Return what the project's stored rows should have gone through. Raises Unavailable."""
        known = self._fresh(project_id)
        newest = known.redactor.policy
        earlier = [STRICT, LENIENT, self._default, *_usable(known.revisions)]
        # A row that went through more than is wanted now is left: what was taken never comes back.
        enough = [f"{policy.name}-{policy.version}" for policy in earlier if policy.covers(newest)]
        cleaner: Cleaner = known.redactor
        if self._second is not None:
            cleaner = self._second.after(known.redactor)
            enough = [self._second.named(rules) for rules in enough]
        return Standing(cleaner, cleaner.version, tuple(dict.fromkeys([cleaner.version, *enough])))

    def forget(self, project_id: str) -> None:
        """Read the project's settings again at its next text: to be called once new ones are stored."""
        with self._lock:
            self._known.pop(project_id, None)

    def _fresh(self, project_id: str) -> _Known:
        held = self._known.get(project_id)
        if held is not None and time.monotonic() - held.at < self._remembered_s:
            return held
        with self._lock:
            held = self._known.get(project_id)
            if held is not None and time.monotonic() - held.at < self._remembered_s:
                return held  # another thread asked at the same time
            at = time.monotonic()
            revisions = self._read(project_id)
            try:
                policy = policy_of(revisions[-1]) if revisions else self._default
            except ConfigError as error:
                raise Unavailable(
                    f"revision {revisions[-1].revision} of the redaction settings of project {project_id!r} cannot be "
                    f"used by this version, so nothing of it is stored: {error.message}; PUT /v1/settings/redaction",
                    param=error.param,
                ) from error
            known = _Known(at, revisions, self._redactor(policy))
            self._known[project_id] = known
            self._known.move_to_end(project_id)
            while len(self._known) > _MOST_PROJECTS:
                self._known.popitem(last=False)
            return known

    def _redactor(self, policy: Policy) -> Redactor:
        redactor = self._redactors.get(policy)
        if redactor is None:
            redactor = self._redactors[policy] = Redactor(key=self._key, policy=policy)
        self._redactors.move_to_end(policy)
        while len(self._redactors) > _MOST_REDACTORS:
            self._spent += self._redactors.popitem(last=False)[1].failures
        return redactor


def _usable(revisions: Sequence[RedactionSettings]) -> list[Policy]:
    found = []
    for settings in revisions:
        try:
            found.append(policy_of(settings))
        except ConfigError:  # an old revision whose patterns this version refuses vouches for nothing
            continue
    return found
