"""The bench's own server: it answers each SDK as its product would, at once, and keeps what came to count it later.

Run: `python sink.py`; it prints its port. Not a product: nothing is checked or stored while a round runs, so that no
SDK is measured with its server's speed. What each SDK asks for was found by running it. A request that is not known
here is answered 404 and told by `GET /_seen`, so that nobody is measured while failing.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import zlib
from collections.abc import Callable, Mapping

_INFERENCE = re.compile(rb"#q\d{6}#")
_EVENT = re.compile(rb'"type":"(?:inference|feedback)"')
Reply = tuple[int, str, bytes]

PROTOBUF, JSON = "application/x-protobuf", "application/json"
EXPERIMENT = {
    "experiment_id": "1",
    "name": "bench",
    "lifecycle_stage": "active",
    "artifact_location": "mlflow-artifacts:/1",
}


def _told(status: int, body: object) -> Reply:
    return status, JSON, json.dumps(body).encode()


def _receipt(body: bytes) -> Reply:
    return _told(200, {"accepted": len(_EVENT.findall(body)), "duplicates": 0, "rejected": []})


def _ingestion(body: bytes) -> Reply:
    told = json.loads(body)["batch"]
    return _told(207, {"successes": [{"id": each["id"], "status": 201} for each in told], "errors": []})


def _trace_made(body: bytes) -> Reply:
    return _told(200, {"trace": json.loads(body)["trace"]})


def _assessed(body: bytes) -> Reply:
    return _told(200, {"assessment": {**json.loads(body)["assessment"], "assessment_id": "a-1"}})


def _spans(_body: bytes) -> Reply:
    return 200, PROTOBUF, b""


def _empty(_body: bytes) -> Reply:
    return 204, JSON, b""


ROUTES: Mapping[str, Callable[[bytes], Reply]] = {
    r"POST /v1/events": _receipt,
    r"POST /v1/traces": _spans,
    # Spans and scores of Langfuse.
    r"POST /api/public/otel/v1/traces": _spans,
    r"POST /api/public/scores": lambda _: _told(200, {"id": "s-1"}),
    r"POST /api/public/ingestion": _ingestion,
    # Phoenix
    r"POST /v1/span_annotations": lambda _: _told(200, {"data": [{"id": "a-1"}]}),
    # MLflow
    r"GET /version": lambda _: (200, "text/plain", b"3.17.2"),
    r"GET /api/2.0/mlflow/experiments/get": lambda _: _told(200, {"experiment": EXPERIMENT}),
    r"POST /api/3.0/mlflow/traces": _trace_made,
    r"POST /api/3.0/mlflow/traces/[^/]+/assessments": _assessed,
    # Opik
    r"GET /api/is-alive/ping": lambda _: _told(200, {}),
    r"POST /api/v1/private/traces/batch": _empty,
    r"PUT /api/v1/private/traces/feedback-scores": _empty,
}
_ROUTES = [(re.compile(pattern), reply) for pattern, reply in ROUTES.items()]


class Sink:
    """Counts by distinct marker in the texts, and by the name of the thumb; the same for every protocol."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.unknown: list[str] = []

    def answer(self, request: str, body: bytes, packing: str) -> Reply:
        """Answer `request` (method and path) and keep its body."""
        if request == "GET /_seen":
            return _told(200, self.seen())
        if packing in ("gzip", "deflate"):
            body = zlib.decompress(body, 47)  # either wrapping
        self.bodies.append(body)
        for pattern, reply in _ROUTES:
            if pattern.fullmatch(request):
                return reply(body)
        if not request.startswith("GET /v1/features/"):  # a feature nobody made: 404 is the product's own answer
            self.unknown.append(request)
        return _told(404, {"error": {"code": "not_found", "message": request, "param": None, "doc": ""}})

    def seen(self) -> dict[str, object]:
        """Return what has come since this was last asked."""
        found = {mark for body in self.bodies for mark in _INFERENCE.findall(body)}
        thumbs = sum(body.count(b'"thumb"') for body in self.bodies)
        told = {
            "inferences": len(found),
            "feedback": thumbs,
            "requests": len(self.bodies),
            "unknown": sorted(set(self.unknown)),
        }
        self.bodies.clear()
        self.unknown.clear()
        return told

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, as long as it stays open."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ", 2)
                fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                body = await _body(reader, fields)
                request = f"{method} {path.partition('?')[0]}"
                status, kind, told = self.answer(request, body, fields.get("content-encoding", ""))
                writer.write(
                    f"HTTP/1.1 {status} Told\r\nContent-Type: {kind}\r\nContent-Length: {len(told)}\r\n\r\n".encode()
                    + told
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _body(reader: asyncio.StreamReader, fields: Mapping[str, str]) -> bytes:
    if fields.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(fields.get("content-length", "0")))
    pieces = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        pieces.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(pieces)


async def main() -> None:
    server = await asyncio.start_server(Sink().serve, "127.0.0.1", 0, limit=1 << 20)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
