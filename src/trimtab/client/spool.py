"""Undelivered events on disk: append-only files that outlive the process and that processes may share.

Each file (segment) holds one event per line. Its writer keeps an exclusive `flock` on it while it writes; the kernel
drops the lock when the process dies, however it dies. Whoever gets the lock may deliver the file and then removes it.
An event is sent again, under its own id, if a process dies between the server's answer and the removal.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import TYPE_CHECKING

from trimtab.client.clock import wall

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no flock
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Segment", "Spool"]

_SUFFIX = ".ndjson"
_SEGMENT_BYTES = 1 << 20


class Segment:
    """A file of undelivered events, held by this process alone until `done` or `release`."""

    def __init__(self, path: Path, handle: int, held: set[Segment]) -> None:
        self.path, self._handle, self._held = path, handle, held
        held.add(self)
        self.torn = 0
        """Lines that a crash cut off, known after `lines`."""

    def lines(self) -> list[bytes]:
        """Return the events. A line cut off by a crash was never acknowledged to anyone, and is passed over."""
        pieces: list[bytes] = []
        size = 0
        while piece := os.pread(self._handle, _SEGMENT_BYTES, size):
            pieces.append(piece)
            size += len(piece)
        lines = b"".join(pieces).split(b"\n")
        whole = [line for line in lines[:-1] if line.startswith(b'{"') and line.endswith(b"}")]
        self.torn = len(lines) - 1 - len(whole) + bool(lines[-1])
        return whole

    def done(self) -> None:
        """Remove the file: everything in it has been answered for."""
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let go of the file; it stays for a later attempt."""
        handle, self._handle = self._handle, -1
        self._held.discard(self)
        if handle >= 0:
            os.close(handle)


class Spool:
    """A bounded directory of segments. Safe to use from many threads and many processes at once.

    The bound counts all files in the directory. Processes that share it may each overshoot by one segment (1 MB).
    """

    def __init__(self, directory: Path, *, max_bytes: int, fsync: bool) -> None:
        self._directory, self._max_bytes, self._fsync = directory, max_bytes, fsync
        self._lock = threading.RLock()
        self._handle = -1
        self._active_bytes = 0
        self._others_bytes = 0
        self._counted_at = 0.0
        self._held: set[Segment] = set()

    @staticmethod
    def supported() -> bool:
        """Say whether this system has the locks it needs."""
        return fcntl is not None

    def append(self, events: Sequence[bytes]) -> int:
        """Write `events` in order and return how many found room. Raises OSError when the disk refuses.

        What is written survives the death of the process, and with `fsync` that of the machine.
        """
        with self._lock:
            if self._handle < 0 or self._active_bytes > _SEGMENT_BYTES:
                self._open()
            fitting = self._fitting(events)
            if fitting < len(events) and time.monotonic() - self._counted_at > 1.0:
                self._count()  # others may have delivered some meanwhile
                fitting = self._fitting(events)
            if fitting:
                self._write(b"\n".join(events[:fitting]) + b"\n")
            return fitting

    def seal(self) -> None:
        """End the file being written, so that it can be delivered."""
        with self._lock:
            handle, self._handle = self._handle, -1
            self._others_bytes += self._active_bytes
            self._active_bytes = 0
            if handle >= 0:
                os.close(handle)

    def segments(self) -> Iterator[Segment]:
        """Yield, oldest first, the files of now that nobody holds; each is held until `done` or `release`."""
        for path in self._paths():
            segment = self._claim(path)
            if segment is not None:
                yield segment

    def _claim(self, path: Path) -> Segment | None:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None  # another process has just delivered it
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:
                return Segment(path, handle, self._held)
        except OSError:
            pass  # another process is at it
        os.close(handle)
        return None

    def used_bytes(self) -> int:
        """Return what all files in the directory take."""
        total = 0
        for path in self._paths():
            try:
                total += path.stat().st_size
            except OSError:
                continue
        return total

    def forget(self) -> None:
        """In a forked child: close what the parent holds, which keeps its locks; else they would outlive it in here."""
        handle, self._handle = self._handle, -1
        self._lock = threading.RLock()
        self._active_bytes = 0
        if handle >= 0:
            os.close(handle)
        for segment in list(self._held):
            segment.release()

    def _fitting(self, events: Sequence[bytes]) -> int:
        room = self._max_bytes - self._others_bytes - self._active_bytes
        for at, event in enumerate(events):
            room -= len(event) + 1
            if room < 0:
                return at
        return len(events)

    def _count(self) -> None:
        self._others_bytes = self.used_bytes() - self._active_bytes
        self._counted_at = time.monotonic()

    def _paths(self) -> list[Path]:
        try:
            return sorted(path for path in self._directory.iterdir() if path.name.endswith(_SUFFIX))
        except OSError:
            return []

    def _open(self) -> None:
        self.seal()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            name = f"{wall():017}-{os.getpid()}-{os.urandom(3).hex()}{_SUFFIX}"
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            handle = os.open(self._directory / name, flags, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
            except OSError:
                os.close(handle)
                raise
            # Another process may have found the file empty and removed it before it was locked.
            if os.fstat(handle).st_nlink:
                break
            os.close(handle)
        self._handle = handle
        self._count()
        if self._fsync:
            self._sync_directory()

    def _write(self, data: bytes) -> None:
        before = os.fstat(self._handle).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(self._handle, data[written:])
            if self._fsync:
                os.fsync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, before)
            raise OSError(error.errno or errno.EIO, "cannot write to the spool") from error
        self._active_bytes = before + len(data)

    def _sync_directory(self) -> None:
        handle = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def home_of(directory: str | Path | None, url: str, key: str) -> Path | None:
    """Return where this server's and key's undelivered events lie: nothing recorded for one is ever sent to another."""
    from hashlib import sha256  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415 large; only a client that is made needs it

    if directory is None:
        state = os.environ.get("XDG_STATE_HOME")
        try:
            base = Path(state) if state else Path.home() / ".local" / "state"
        except RuntimeError:  # no home directory
            return None
        directory = base / "trimtab"
    return Path(directory).absolute() / sha256(f"{url}\0{key}".encode()).hexdigest()[:16]
