"""Named views over the lake's tables, in SQL that reads the same on DataFusion, DuckDB, Polars and Spark.

`outcomes_latest` has the newest judgement of each inference, unless that was taken back. `feedback_joined` has each
feedback with the inference it is about (`about_id`; what names an answer that never came is left out).
`opinions_latest` keeps of each person the latest word of a kind on an inference, `votes` counts them,
`corrections_latest` has one correction per inference, and `judged` is one row per inference with all of that beside it,
null where nobody said anything.

A name that several inferences share means the latest of them; a session means the last answer given before the word,
else the first, of the word's own feature where it names one that answered there. The engine joins by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from trimtab.store.lake.port import LAKE_TABLES, LakeTable
from trimtab.store.lake.schema import LAKE_NOUNS

__all__ = ["VIEWS", "with_views"]


def _of(table: LakeTable, alias: str) -> str:
    return ", ".join(f"{alias}.{name} AS {name}" for name in LAKE_NOUNS[table].columns)


_FEEDBACK = ", ".join(LAKE_NOUNS["feedback"].columns)
_OUTCOME = ["p_bad", "confidence", "tier", "judged_at", "vote", "voter_id", "calibrated"]
_VOTES = ["thumbs_up", "thumbs_down", "ratings", "rating", "corrections", "comments", "rejects", "accepts"]


def _latest_name(kind: str, key: str, where: str) -> str:
    return f"""
  SELECT project_id, '{kind}' AS target_kind, {key} AS target_key, id AS about_id,
    ROW_NUMBER() OVER (PARTITION BY project_id, {key} ORDER BY created_us DESC, id DESC) AS place
  FROM inferences WHERE {where}"""


VIEWS: dict[str, str] = {
    "outcomes_latest": f"""
SELECT {_of("outcomes", "o")}
FROM outcomes o
JOIN (SELECT MAX(seq) AS last_seq FROM outcomes GROUP BY project_id, inference_id) n ON o.seq = n.last_seq
WHERE CASE WHEN o.withdrawn THEN 1 ELSE 0 END = 0""",
    "feedback_targets": f"""
SELECT {_FEEDBACK},
  CASE WHEN trace_id IS NOT NULL AND span_id IS NOT NULL THEN 'span'
    WHEN external_id IS NOT NULL THEN 'external' ELSE 'trace' END AS target_kind,
  CASE WHEN trace_id IS NOT NULL AND span_id IS NOT NULL THEN CONCAT(trace_id, '/', span_id)
    WHEN external_id IS NOT NULL THEN external_id ELSE trace_id END AS target_key
FROM feedback
WHERE inference_id IS NULL AND (external_id IS NOT NULL OR trace_id IS NOT NULL)""",
    "inference_names": "SELECT project_id, target_kind, target_key, about_id FROM ("
    + " UNION ALL".join(
        (
            _latest_name("external", "external_id", "external_id IS NOT NULL"),
            _latest_name("trace", "trace_id", "trace_id IS NOT NULL"),
            _latest_name("span", "CONCAT(trace_id, '/', span_id)", "trace_id IS NOT NULL AND span_id IS NOT NULL"),
        )
    )
    + ") named WHERE place = 1",
    "session_words": f"""
SELECT {_FEEDBACK}, about_id FROM (
  SELECT {_FEEDBACK}, about_id,
    ROW_NUMBER() OVER (
      PARTITION BY project_id, id ORDER BY other_feature, later, distance, given_id DESC, later_id
    ) AS place
  FROM (
    SELECT {_of("feedback", "f")}, i.id AS about_id,
      CASE WHEN i.feature = f.feature THEN 0 ELSE 1 END AS other_feature,
      CASE WHEN i.created_us <= f.created_us THEN 0 ELSE 1 END AS later,
      CASE WHEN i.created_us <= f.created_us
        THEN f.created_us - i.created_us ELSE i.created_us - f.created_us END AS distance,
      CASE WHEN i.created_us <= f.created_us THEN i.id ELSE '' END AS given_id,
      CASE WHEN i.created_us <= f.created_us THEN '' ELSE i.id END AS later_id
    FROM feedback f JOIN inferences i ON f.project_id = i.project_id AND f.session_id = i.session_id
    WHERE f.inference_id IS NULL AND f.external_id IS NULL AND f.trace_id IS NULL
  ) near
) told WHERE place = 1""",
    "feedback_joined": f"""
SELECT {_of("feedback", "f")}, i.id AS about_id
FROM feedback f JOIN inferences i ON f.project_id = i.project_id AND f.inference_id = i.id
UNION ALL
SELECT {_of("feedback", "f")}, n.about_id AS about_id
FROM feedback_targets f
JOIN inference_names n
  ON f.project_id = n.project_id AND f.target_kind = n.target_kind AND f.target_key = n.target_key
UNION ALL
SELECT {_FEEDBACK}, about_id FROM session_words""",
    "opinions_latest": f"""
SELECT {_FEEDBACK}, about_id FROM (
  SELECT {_FEEDBACK}, about_id,
    ROW_NUMBER() OVER (
      PARTITION BY project_id, about_id, kind, source, user_id ORDER BY created_us DESC, id DESC
    ) AS place
  FROM feedback_joined
) spoken WHERE place = 1 AND CASE WHEN retracted THEN 1 ELSE 0 END = 0""",
    "corrections_latest": f"""
SELECT {_FEEDBACK}, about_id FROM (
  SELECT {_FEEDBACK}, about_id,
    ROW_NUMBER() OVER (PARTITION BY project_id, about_id ORDER BY created_us DESC, id DESC) AS rank_of
  FROM opinions_latest WHERE kind = 'correction'
) told WHERE rank_of = 1""",
    "votes": """
SELECT project_id, about_id,
  SUM(CASE WHEN kind = 'thumb' AND value = 1 THEN 1 ELSE 0 END) AS thumbs_up,
  SUM(CASE WHEN kind = 'thumb' AND value = 0 THEN 1 ELSE 0 END) AS thumbs_down,
  SUM(CASE WHEN kind = 'rating' THEN 1 ELSE 0 END) AS ratings,
  AVG(CASE WHEN kind = 'rating' THEN (value - 1) / (best - 1) END) AS rating,
  SUM(CASE WHEN kind = 'correction' THEN 1 ELSE 0 END) AS corrections,
  SUM(CASE WHEN kind = 'comment' THEN 1 ELSE 0 END) AS comments,
  SUM(CASE WHEN kind = 'reject' THEN 1 ELSE 0 END) AS rejects,
  SUM(CASE WHEN kind = 'accept' THEN 1 ELSE 0 END) AS accepts
FROM opinions_latest GROUP BY project_id, about_id""",
    "judged": f"""
SELECT {_of("inferences", "i")},
  {", ".join(f"o.{name} AS {name}" for name in _OUTCOME)},
  {", ".join(f"v.{name} AS {name}" for name in _VOTES)},
  c.id AS correction_id, c.text AS correction, c.source AS correction_source, c.user_id AS correction_user_id
FROM inferences i
LEFT JOIN outcomes_latest o ON i.project_id = o.project_id AND i.id = o.inference_id
LEFT JOIN votes v ON i.project_id = v.project_id AND i.id = v.about_id
LEFT JOIN corrections_latest c ON i.project_id = c.project_id AND i.id = c.about_id""",
}
"""The views by name, each after those it reads."""


def with_views(sql: str) -> str:
    """Return the SELECT `sql` behind the definitions of the views it names, directly or through others.

    >>> with_views("SELECT COUNT(*) AS n FROM inferences")
    'SELECT COUNT(*) AS n FROM inferences'

    Raises ValueError for a text that does not begin with SELECT or WITH.
    """
    text = sql.strip()
    word = text.split(None, 1)[0].upper() if text else ""
    if word not in ("SELECT", "WITH"):
        raise ValueError(f"expected a query that begins with SELECT or WITH, got {text[:40]!r}")
    needed = list(_needed(text))
    if not needed:
        return text
    defined = ",\n".join(f"{name} AS ({VIEWS[name]})" for name in VIEWS if name in needed)
    return f"WITH {defined},\n{text.split(None, 1)[1]}" if word == "WITH" else f"WITH {defined}\n{text}"


def _needed(text: str) -> Iterator[str]:
    named = [name for name in VIEWS if name not in LAKE_TABLES and re.search(rf"\b{name}\b", text)]
    for name in named:
        yield from _needed(VIEWS[name])
        yield name
