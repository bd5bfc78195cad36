"""A feature that answers three kinds of questions wrongly among many that it answers rightly, for the review queue."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.intake import feedback, inference

__all__ = ["BAD", "FEATURE", "GOOD", "answered", "events", "is_wrong"]

FEATURE = "support"
BAD = {
    "refund": "How long does a refund to my card take for order {n}?",
    "garage": "Can the parcel robot leave box {n} in my garage?",
    "invoice": "Please send invoice {n} with the company's tax number",
}
GOOD = {
    "hours": "When does shop number {n} open on Sunday morning?",
    "colour": "Is the helmet model {n} sold in green as well?",
    "tyres": "Which tyre pressure is right for bicycle {n}?",
    "service": "Book me a yearly service on day {n} of the month",
}


def events(
    before: datetime, *, good: int = 240, bad: int = 60, seed: int = 0, votes: float = 0.15, days: float = 6.5
) -> list[dict[str, Any]]:
    """Return answers of the days before `before`, the wrong ones with a low confidence, and some people's votes."""
    draw = random.Random(seed)
    made: list[dict[str, Any]] = []
    for place in range(good + bad):
        wrong = place < bad
        kind, text = draw.choice(list((BAD if wrong else GOOD).items()))
        at = before - timedelta(days=draw.uniform(0, days))
        sure = draw.uniform(0.2, 0.6) if wrong else draw.uniform(0.4, 0.95)
        name = f"{seed}-{place}"
        made.append(
            inference(
                name,
                feature=FEATURE,
                created_at=at.isoformat(),
                input=text.format(n=draw.randrange(1000)),
                output=f"about {kind}, wrongly" if wrong else f"about {kind}",
                user_id=f"u-{name}",
                tags={"confidence": f"{sure:.3f}"},
            )
        )
        if draw.random() < votes:
            vote = {"value": 0 if wrong else 1, "user_id": f"u-{name}", "created_at": at.isoformat()}
            made.append(feedback(name, **vote))
    return made


def is_wrong(output: object) -> bool:
    """Say what a reviewer who is always right says of an answer."""
    return "wrongly" in str(output)


def answered(made: Sequence[dict[str, Any]]) -> bytes:
    """Return the events as a body."""
    return json.dumps(list(made)).encode()
