"""What people keep saying: topics, and the runs that find them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.records.field import Line, Name, Record, Text, Time, Uuid

__all__ = ["Topic", "TopicDay", "TopicRun", "TopicState", "TopicSurvey"]

Day = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d$(?!\n)", extra={"pii": "none"})]
"""A day in UTC."""

Chance = Annotated[float, Meta(ge=0, le=1)]
TopicState = Literal["live", "gone"]


class TopicDay(Record, frozen=True):
    """What one topic was on one day: texts, and the distinct people who wrote them."""

    day: Day
    events: int
    users: int


class Topic(Record, frozen=True):
    """What people keep saying: a cluster of texts, found anew each run and told again by where it lies.

    A text is feedback in words or the input of an answer judged bad. `words` tell the topic from the others, the most
    telling first; `name` is what a model made of them, empty where none was asked. `examples` are the texts nearest to
    its middle. `size`, `users` and `days` count what was looked at. `emerging`: lately more people than its share of
    all texts explains; `p_value` is one-sided, `p_adjusted` after Holm's correction for all topics of the run. `space`
    is the vector space it was found in; `feature` is null for a topic of the whole project. `gone`: the last run, after
    `found_at`, did not find it.
    """

    id: Uuid
    found_at: Time
    space: Name
    words: list[Line]
    size: int
    users: int
    first_seen_at: Time
    last_seen_at: Time
    days: list[TopicDay]
    p_value: Chance
    p_adjusted: Chance = 1.0
    feature: Name | None = None
    name: Text = ""
    state: TopicState = "live"
    emerging: bool = False
    examples: list[Uuid] = []


class TopicSurvey(Record, frozen=True):
    """What one run found in one feature, or in the whole project (`feature` null).

    `said` texts lay in its span of time, `texts` of them were looked at (all, or a uniform sample), `outliers` of these
    belong to no topic. `new`, `kept` and `gone` compare with the run before; `named` counts names asked of a model.
    """

    space: Name
    said: int
    texts: int
    topics: int
    outliers: int
    outlier_share: Chance
    feature: Name | None = None
    emerging: int = 0
    new: int = 0
    kept: int = 0
    gone: int = 0
    named: int = 0


class TopicRun(Record, frozen=True):
    """One search for topics: in the whole project and each of its features, or in one feature alone.

    `asked` and `running` runs survive a restart: they are begun again. `note` says what did not work in a run that is
    done, such as names that no model gave.
    """

    id: Uuid
    state: Literal["asked", "running", "done", "failed"]
    by: Literal["schedule", "person"]
    asked_at: Time
    feature: Name | None = None
    started_at: Time | None = None
    ended_at: Time | None = None
    surveys: list[TopicSurvey] = []
    error: Line = ""
    note: Line = ""
