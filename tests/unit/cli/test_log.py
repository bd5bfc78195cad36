"""The log stops nobody, whatever becomes of the stream it is written to."""

from __future__ import annotations

import io

from trimtab.cli.log import Unbroken


class Disk(io.StringIO):
    """A stream on a disk that can be full."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_line_that_cannot_be_written_is_counted_and_the_next_one_says_so() -> None:
    disk = Disk()
    log = Unbroken(disk)
    log.write("one\n")
    disk.full = True
    log.write("two\n")
    log.write("three\n")
    assert log.lost == 2
    disk.full = False
    log.write("four\n")
    assert disk.getvalue() == "one\n2 lines of this log could not be written\nfour\n"
    assert log.lost == 0


def test_a_closed_stream_is_no_fault_of_who_writes() -> None:
    disk = Disk()
    log = Unbroken(disk)
    disk.close()
    log.write("one\n")
    assert log.lost == 1
