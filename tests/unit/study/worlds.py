"""A small labelled world for tests: words enough to tell its labels apart, few enough to run in seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from trimtab.study.data import Labelled, Table

_FRAMES = ("how do i {}", "please help with {}", "tell me about {} now", "what about {}", "i have a problem with {}")
_PLACES = ("today", "in the app", "on my phone", "at home", "this week", "for my sister", "again", "in berlin")


def small_table(labels: int = 12, per_label: int = 36, *, timed: bool = False) -> Table:
    """Return texts of `labels` topics, each with three words of its own."""
    random = np.random.default_rng(5)
    letters = np.array(list("bdfgklmnprstvz"))
    vowels = np.array(list("aeiou"))
    rows: dict[str, Labelled] = {}
    for number in range(labels):
        own = ["".join(random.choice(letters) + random.choice(vowels) for _ in range(3)) for _ in range(3)]
        made = 0
        while made < per_label:
            words = " ".join(random.choice(own, 2, replace=False))
            text = f"{random.choice(_FRAMES).format(words)} {random.choice(_PLACES)} {int(random.integers(100))}"
            if text not in rows:
                hours = float(random.uniform(0, 1000)) + (600 if number >= labels - 3 else 0)
                at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=hours) if timed else None
                rows[text] = Labelled(text, f"label-{number:02d}", at)
                made += 1
    return Table(list(rows.values()), {"text": "text", "label": "label"} | ({"time": "time"} if timed else {}), 0)
