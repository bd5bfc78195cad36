"""How the process writes its log: lines for people or JSON for machines, to stderr."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TextIO, cast

import structlog

from trimtab.config import Logging

__all__ = ["Unbroken", "configure_log"]


def configure_log(settings: Logging) -> None:
    """Set up structlog, and the standard library's log of the packages below, as the settings say."""
    level = getattr(logging, settings.level.upper())
    stream = Unbroken(sys.stderr)
    renderer = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", stream)),  # write and flush are all it needs
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=stream, level=max(level, logging.WARNING), format="%(levelname)s %(name)s %(message)s")


class Unbroken:
    """A stream that takes text whatever becomes of it: a log on a full disk must stop neither request nor stage.

    What cannot be written is counted, and said by the first line that can be.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.lost = 0

    def write(self, text: str) -> int:
        """Write `text`, or count it as lost."""
        with self._lock:
            told = f"{self.lost} lines of this log could not be written\n" if self.lost else ""
            try:
                self._stream.write(told + text)
                self._stream.flush()
            except (OSError, ValueError):  # no space, a pipe that nobody reads, a stream that was closed
                self.lost += text.count("\n")
            else:
                self.lost = 0
        return len(text)

    def flush(self) -> None:
        """Do nothing: every write is flushed."""
