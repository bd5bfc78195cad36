"""Bodies out of their content encoding, piece by piece: never more than a piece beyond the limit exists."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from trimtab.errors import BodyTooLarge, MalformedBody

__all__ = ["Inflater", "inflate"]

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_PIECE = 1 << 16


class Inflater:
    """Takes a body as it arrives and gives it back as it was before its encoding ('' or 'identity', 'gzip').

    Raises MalformedBody for damaged data or another encoding, BodyTooLarge before more than `limit` bytes are made.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        encoding = encoding.strip().lower()
        if encoding not in ("", "identity", "gzip"):
            raise MalformedBody(
                f"expected content-encoding 'gzip' or none, got {encoding[:40]!r}", param="content-encoding"
            )
        self._stream = zlib.decompressobj(_GZIP_WINDOW) if encoding == "gzip" else None
        self._limit = limit
        self._made = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what the next chunk of the body unpacks to, in pieces."""
        if self._stream is None:
            yield self._within(chunk)
            return
        while chunk or not self._stream.eof:
            if self._stream.eof:
                raise _broken("data after its end")
            piece = self._unpacked(self._stream, chunk)
            yield self._within(piece)
            chunk = self._stream.unconsumed_tail or self._stream.unused_data
            if not chunk and len(piece) < _PIECE:
                return

    def end(self) -> None:
        """Say that the body has ended."""
        if self._stream is not None and not self._stream.eof:
            raise _broken("one that ends too early")

    def _unpacked(self, stream: zlib._Decompress, chunk: bytes) -> bytes:
        try:
            return stream.decompress(chunk, _PIECE)
        except zlib.error as error:
            raise MalformedBody(
                f"expected a gzip stream, got damaged data ({error}); compress it again", param="content-encoding"
            ) from None

    def _within(self, piece: bytes) -> bytes:
        self._made += len(piece)
        if self._made > self._limit:
            raise BodyTooLarge(
                f"expected a body of at most {self._limit} bytes, uncompressed, got more; send smaller batches, "
                "or raise server.body_bytes"
            )
        return piece


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a whole body as it was before its encoding; raises what `Inflater` raises."""
    inflater = Inflater(encoding, limit)
    plain = b"".join(inflater.feed(body))
    inflater.end()
    return plain


def _broken(what: str) -> MalformedBody:
    return MalformedBody(f"expected one whole gzip stream, got {what}", param="content-encoding")
