"""The process that runs one query: told on its standard input, answers on its standard output, and ends."""

from __future__ import annotations

import math
import signal
import sys

import msgspec
from deltalake import DeltaTable, QueryBuilder

from trimtab.store.lake.query import Request

__all__ = ["main"]

_GRACE_S = 10
_FORMATS = {"parquet": "PARQUET", "arrow": "ARROW", "jsonl": "JSON"}


def main() -> None:
    """Run the query of the request on standard input and print `{"rows": n}` or `{"error": text}`."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    # A parent that was killed cannot end its child: the system does, whatever the query is doing.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(math.ceil(request.timeout_s) + _GRACE_S)
    try:
        answer: dict[str, object] = {"rows": run(request)}
    except Exception as error:  # noqa: BLE001  the parent tells whoever asked
        answer = {"error": " ".join(str(error).split())[:2000]}
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def run(request: Request) -> int:
    """Write the query's rows to the request's file and return how many there are."""
    # A ceiling for memory holds with one partition only: several would each take a share and starve.
    query = QueryBuilder({"datafusion.execution.target_partitions": "1"})
    _each(query, f"SET datafusion.runtime.memory_limit = '{request.memory_bytes >> 20}M'")
    _each(query, f"SET datafusion.runtime.temp_directory = '{_quoted(request.scratch)}'")
    for name, uri in request.tables.items():
        query.register(name, DeltaTable(uri, storage_options=request.options or None))
    return _each(query, f"COPY ({request.sql}) TO '{_quoted(request.out)}' STORED AS {_FORMATS[request.form]}")


def _each(query: QueryBuilder, sql: str) -> int:
    """Run a statement to its end; return the number in its last row, 0 where it has none."""
    count = 0
    for batch in query.execute(sql):
        if batch.num_rows and batch.num_columns:
            count = int(str(batch.column(0).to_pylist()[-1]))
    return count


def _quoted(text: str) -> str:
    return text.replace("'", "''")
