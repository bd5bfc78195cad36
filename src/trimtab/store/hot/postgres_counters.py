"""How PostgreSQL adds to the counters: all rows of a transaction in one statement, and so in one round trip."""

from __future__ import annotations

from sqlalchemy.dialects import postgresql

from trimtab.store.schema import counters

__all__ = ["COUNT"]


def _value(place: int, name: str) -> str:
    kind = counters.c[name].type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]
    return f"(added ->> {place})::{kind}"


_NAMES = counters.c.keys()
# What is left where nothing is left would be what rounding left.
COUNT = f"""
INSERT INTO counters ({", ".join(_NAMES)})
SELECT {", ".join(_value(place, name) for place, name in enumerate(_NAMES))} FROM json_array_elements(%s::json) AS added
ON CONFLICT ({", ".join(counters.primary_key.columns.keys())}) DO UPDATE SET count = counters.count + excluded.count,
    total = CASE counters.count + excluded.count WHEN 0 THEN 0 ELSE counters.total + excluded.total END
""".encode()
