"""Counts the rows that were there before there were counters, in lots, saying how far it is.

Like a migration, this keeps the meaning of its day and never looks at `trimtab.store.schema`.
"""

from __future__ import annotations

import logging

from alembic import op
from sqlalchemy import text

__all__ = ["count_all"]

_LOT = 200_000
_KEY = "project_id, group_key, width, start, metric, feature, version_id, group_value"
_START = "created_at - created_at % 60000000 AS start"
_HERE = "seq > :place AND seq <= :last"
_MEASURES = ("latency_ms", "input_tokens", "output_tokens", "cost_usd")
_SHOWN = r"replace(segments, '\u0000', '\ufffd')"  # counters hold no NUL, which PostgreSQL's text cannot
_GROUPS = {
    "sqlite": f"json_each({_SHOWN}) AS told",
    "postgresql": f"LATERAL json_each_text(CAST({_SHOWN} AS json)) AS told",
}


def _each(lot: str, metrics: dict[str, tuple[str, str]], place: str = "'', 60, start, {}, {}, {}, ''") -> str:
    """Return the statement that adds each metric (name: count and total, as SQL over the rows of `lot`).

    `place` is the key behind the project, with room for the metric, feature and version.
    """
    parts = [
        f"SELECT project_id, {place.format(name, 'feature', 'version_id')}, {count}, {total} FROM lot WHERE {count} > 0"
        for name, (count, total) in metrics.items()
    ]
    return (
        f"WITH lot AS MATERIALIZED ({lot}) INSERT INTO counters ({_KEY}, count, total) {' UNION ALL '.join(parts)} "
        f"ON CONFLICT ({_KEY}) DO UPDATE SET count = counters.count + excluded.count, "
        "total = counters.total + excluded.total"
    )


def _sum(value: str) -> str:
    return f"coalesce(sum(CAST({value} AS DOUBLE PRECISION)), 0.0)"


def _inferences() -> str:
    measured = ", ".join(f"count({name}) AS {name}_n, {_sum(name)} AS {name}_sum" for name in _MEASURES)
    lot = (
        f"SELECT project_id, feature, coalesce(version_id, '') AS version_id, {_START}, count(*) AS n, "
        f"count(error) AS errors, {measured} FROM inferences WHERE {_HERE} GROUP BY 1, 2, 3, 4"
    )
    metrics = {"'inferences'": ("n", "n"), "'errors'": ("errors", "errors")}
    return _each(lot, metrics | {f"'{name}'": (f"{name}_n", f"{name}_sum") for name in _MEASURES})


def _feedback() -> str:
    named = "CASE WHEN retracted THEN 'retracted.' ELSE 'feedback.' END || kind"
    lot = (
        f"SELECT project_id, coalesce(feature, '') AS feature, '' AS version_id, {_START}, {named} AS metric, "
        f"count(*) AS n, {_sum('value')} AS total FROM feedback WHERE {_HERE} GROUP BY 1, 2, 3, 4, 5"
    )
    return _each(lot, {"metric": ("n", "total")})


def _outcomes(groups: str) -> str:
    columns = "project_id, feature, coalesce(version_id, '') AS version_id, p_bad, vote, estimate"
    told = (
        f"SELECT {columns}, 60 AS width, {_START}, '' AS group_key, '' AS group_value FROM outcomes WHERE {_HERE} "
        f"UNION ALL SELECT {columns}, 3600, created_at - created_at % 3600000000, told.key, told.value "
        f"FROM outcomes, {groups} WHERE {_HERE}"
    )
    lot = (
        "SELECT project_id, feature, version_id, width, start, group_key, group_value, count(*) AS n, "
        "count(CASE WHEN p_bad > 0.5 THEN 1 END) AS negative, count(vote) AS voted, "
        f"count(CASE WHEN vote > 0.5 THEN 1 END) AS against, {_sum('vote')} AS votes, count(estimate) AS estimated, "
        f"{_sum('estimate')} AS estimates, {_sum('estimate * estimate')} AS squares "
        f"FROM ({told}) AS told_all GROUP BY 1, 2, 3, 4, 5, 6, 7"
    )
    metrics = {
        "'judged'": ("n", "n"),
        "'negative'": ("negative", "negative"),
        "'voted'": ("voted", "votes"),
        "'vote_negative'": ("against", "against"),
        "'estimate'": ("estimated", "estimates"),
        "'estimate_squared'": ("estimated", "squares"),
    }
    return _each(lot, metrics, "group_key, width, start, {}, {}, {}, group_value")


def _wider(width: int, narrower: int, which: str) -> str:
    micros = width * 1_000_000
    return (
        f"INSERT INTO counters ({_KEY}, count, total) SELECT project_id, group_key, {width}, "
        f"start - start % {micros} AS wide, metric, feature, version_id, group_value, sum(count), sum(total) "
        f"FROM counters WHERE width = {narrower} AND {which} "
        "GROUP BY project_id, group_key, wide, metric, feature, version_id, group_value"
    )


def count_all() -> None:
    """Fill the counters, which are empty, from inferences, feedback and outcomes."""
    connection, log = op.get_bind(), logging.getLogger("trimtab.store")
    groups = _GROUPS[connection.dialect.name]
    for table, statement in (("inferences", _inferences()), ("feedback", _feedback()), ("outcomes", _outcomes(groups))):
        lot = f"SELECT seq FROM {table} WHERE seq > :place ORDER BY seq LIMIT :rows"
        find = text(f"SELECT max(seq), count(*) FROM ({lot}) AS lot")
        place, counted = 0, 0
        while True:
            last, rows = connection.execute(find, {"place": place, "rows": _LOT}).one()
            if last is None:
                break
            connection.execute(text(statement), {"place": place, "last": last})
            place, counted = last, counted + rows
            if counted > _LOT or rows == _LOT:
                log.warning("upgrading the database: counted %s rows of %s", f"{counted:,}", table)
    connection.execute(text(_wider(3_600, 60, "group_key = ''")))
    connection.execute(text(_wider(86_400, 3_600, "true")))
