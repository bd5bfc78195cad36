"""Training commands as processes that outlive the engine: started once, found again, stopped as a group.

The first process of each holds a lock on a file of its job as long as it lives; the kernel lets go of it however that
ends. So after a restart it is known whether one still works, with no process id that another may have taken over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trimtab.records import Name

__all__ = ["LocalTraining", "filled"]

_TAIL_BYTES = 64 * 1024
_LOCK, _SAID, _LOG = "lock", "stdout.log", "train.log"


class _Told(msgspec.Struct):
    """What the last line of a command that succeeded says."""

    model: Name


def filled(command: str, values: Mapping[str, str]) -> list[str]:
    """Return the words of a command with {name} replaced in each; no shell reads them.

    >>> filled("python train.py --data {train}", {"train": "a set/train.jsonl"})
    ['python', 'train.py', '--data', 'a set/train.jsonl']
    """
    words = shlex.split(command)
    for name, value in values.items():
        words = [word.replace(f"{{{name}}}", value) for word in words]
    return words


class LocalTraining:
    """Processes by job id, each in a folder of its own under `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def folder(self, job_id: str) -> Path:
        """Return where a job's logs lie, and what it makes."""
        return self._root / job_id

    def clear(self, job_id: str) -> None:
        """Forget what an earlier attempt said, so that it is never taken for the next one's word."""
        (self.folder(job_id) / _SAID).unlink(missing_ok=True)

    def start(self, job_id: str, words: list[str]) -> int:
        """Start the command in the job's folder and return its process group. Raises OSError where it cannot be."""
        folder = self.folder(job_id)
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with (folder / _SAID).open("wb") as said, (folder / _LOG).open("ab") as log:
                child = subprocess.Popen(
                    words,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(lock,),
                )
        finally:
            os.close(lock)  # the child holds it from here on
        self._children[job_id] = child
        return child.pid

    def is_running(self, job_id: str) -> bool:
        """Say whether the job's first process still lives, also one that an earlier engine started."""
        child = self._children.get(job_id)
        if child is not None and child.poll() is None:
            return True
        try:
            lock = os.open(self.folder(job_id) / _LOCK, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def result(self, job_id: str) -> tuple[str | None, str]:
        """Return the model that the last line of an ended command names, or None and why there is none.

        Of a command that an earlier engine started the exit code is not known: its last line alone counts.
        """
        child = self._children.pop(job_id, None)
        if child is not None and child.returncode != 0:
            return None, f"the command ended with code {child.returncode}; see {_LOG} in the job's folder"
        lines = _tail(self.folder(job_id) / _SAID).strip().splitlines()
        try:
            return msgspec.json.decode(lines[-1] if lines else b"", type=_Told).model, ""
        except msgspec.MsgspecError:
            return None, 'the last line of the command\'s output does not name a model: expected {"model": "..."}'

    def stop(self, job_id: str, group: int, *, hard: bool = False) -> None:
        """End the processes of a job that still runs: asked first, then (`hard`) killed."""
        if group > 1 and self.is_running(job_id):  # the lock is held, so the group is still the job's
            try:
                os.killpg(group, signal.SIGKILL if hard else signal.SIGTERM)
            except ProcessLookupError:
                return

    def sweep(self, group: int) -> None:
        """Kill what a process that was just seen to end has left behind in its group."""
        if group > 1:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

    def known(self) -> list[str]:
        """Return the ids of jobs that have a folder."""
        return sorted(path.name for path in self._root.glob("*") if path.is_dir())

    def close(self) -> None:
        """Let go of what runs: it goes on, and the next engine finds it."""
        for child in self._children.values():
            if child.poll() is None:
                child.returncode = 0  # or Python would warn that we do not wait for it
        self._children.clear()


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read()
    except FileNotFoundError:
        return b""
