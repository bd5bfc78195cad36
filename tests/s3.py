"""A real S3 server on loopback for the tests of the lake: moto's, in a process of its own."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from trimtab.store.lake.place import Place

_BUCKET = "lake"


@contextmanager
def s3_server() -> Iterator[str]:
    """Start the server with one bucket in it and yield its address; it is gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _make_bucket(server, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def s3_place(address: str, prefix: str) -> Place:
    """Return a lake under that prefix."""
    options = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    return Place(f"s3://{_BUCKET}/{prefix}", options)


def s3_delete(place: Place, uri: str) -> None:
    """Delete one object, as an accident would."""
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260301/us-east-1/s3/aws4_request"}
    answer = httpx.delete(f"{place.options['AWS_ENDPOINT_URL']}/{uri.removeprefix('s3://')}", headers=signed)
    assert answer.status_code == 204


def _make_bucket(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("PUT", f"/{_BUCKET}")
            assert connection.getresponse().status == 200
            return
        except ConnectionRefusedError:
            assert server.poll() is None, "the S3 server ended at its start"
            assert time.monotonic() < end, "the S3 server did not answer within a minute"
            time.sleep(0.05)
        finally:
            connection.close()
