"""What a feature is: who owns it, what decides its behaviour, what it serves now."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from trimtab.ids import content_id
from trimtab.records.event import Message
from trimtab.records.field import Identifier, KeyKind, Line, Name, Origin, Pattern, Record, Text, Time, Uuid

__all__ = [
    "ApiKey",
    "Exemplar",
    "Feature",
    "Knowledge",
    "Project",
    "RedactionPattern",
    "RedactionSettings",
    "Rollout",
    "Rule",
    "Version",
]


class Project(Record, frozen=True):
    """A tenant: its keys, features and data."""

    id: Name
    created_at: Time


class ApiKey(Record, frozen=True):
    """A key as it is kept: the secret itself is shown once and only its SHA-256 stays.

    Only pages of `origins` may use it: a public key itself, an ingest or admin key the tokens that were made with it.
    """

    id: Uuid
    project_id: Name
    kind: KeyKind
    label: Text
    hint: Name
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", extra={"pii": "none"})]
    created_at: Time
    revoked_at: Time | None = None
    origins: list[Origin] = []


class RedactionPattern(Record, frozen=True):
    """A pattern of the project's own: `name` is for people, whatever `pattern` matches becomes `<CUSTOM>`."""

    name: Text
    pattern: Pattern


class RedactionSettings(Record, frozen=True):
    """What a project wants redacted. Written once per `revision`, all of which are kept: rows name theirs.

    `disabled` are kinds of findings that are left alone, `allow` patterns whose whole match is left alone, `extra`
    patterns that are taken too. `updated_by` is the id of the key it was set with.
    """

    revision: Annotated[int, Meta(ge=1)]
    updated_at: Time
    mode: Literal["strict", "lenient"] = "strict"
    disabled: list[Name] = []
    allow: list[Pattern] = []
    extra: list[RedactionPattern] = []
    updated_by: Uuid | None = None


class Feature(Record, frozen=True):
    """One named AI capability of the product."""

    name: Name
    created_at: Time
    description: Text = ""


class Exemplar(Record, frozen=True):
    """A worked example shown to the model: an input and its right output.

    `audience` names who is shown it ("": everyone), as `stats.bucket.audience` makes it of a user's or tenant's id.
    """

    id: Name
    input: Text
    output: Text
    audience: Line = ""
    source_feedback_id: Uuid | None = None
    added_at: Time | None = None


class Rule(Record, frozen=True):
    """One line of the playbook that a Version carries in its prompt.

    `source_feedback_ids` are what people wrote that it was drafted from: it goes when one of them is erased.
    """

    id: Name
    text: Text
    helpful: int = 0
    harmful: int = 0
    source_feedback_ids: list[Uuid] = []


class Knowledge(Record, frozen=True):
    """What the app's documents should say: a corrected passage, or the answer to a question, on trial with its Version.

    `source_id` is the chunk it takes the place of (None: it is new). A reader of the Version shows it beside what
    retrieval found; once the Version is everyone's, it is delivered to the app's index.
    """

    id: Name
    text: Text
    question: Text = ""
    source_id: Identifier | None = None
    source_feedback_id: Uuid | None = None
    added_at: Time | None = None
    expires_at: Time | None = None


class Version(Record, frozen=True):
    """Immutable snapshot that decides a feature's behaviour. Its id is the hash of what it does, not of its history."""

    feature: Name
    created_at: Time
    messages: list[Message] = []
    model: Name | None = None
    parameters: Annotated[dict[str, Any], Meta(extra={"pii": "value"})] = {}
    rules: list[Rule] = []
    exemplars: list[Exemplar] = []
    knowledge: list[Knowledge] = []
    parent_id: Name | None = None
    incident_id: Uuid | None = None
    change_id: Uuid | None = None
    note: Text = ""
    id: Name = ""

    def identified(self) -> Version:
        """Return this version with `id` set from its behaviour: equal behaviour, equal id."""
        told: dict[str, Any] = {
            "feature": self.feature,
            "messages": self.messages,
            "model": self.model,
            "parameters": self.parameters,
            "rules": [(rule.id, rule.text) for rule in self.rules],
            "exemplars": [
                (item.input, item.output, item.audience) if item.audience else (item.input, item.output)
                for item in self.exemplars
            ],
        }
        if self.knowledge:  # left out while there is none, so that versions from before it keep their ids
            told["knowledge"] = [(item.question, item.text, item.source_id) for item in self.knowledge]
        content = msgspec.json.encode(told, order="deterministic")
        return msgspec.structs.replace(self, id=content_id("v", content))


class Rollout(Record, frozen=True):
    """What a feature serves now: the stable Version and, while one is tried, a candidate with its share of users.

    `id` salts the sticky assignment, so it is new for each candidate; `revision` rises with every switch. While
    `holdback_version_id` is set, `holdback_share` of the users keep being served that version whatever changes.
    """

    feature: Name
    stable_version_id: Name
    updated_at: Time
    id: Uuid
    revision: int = 0
    candidate_version_id: Name | None = None
    share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    change_id: Uuid | None = None
    holdback_version_id: Name | None = None
    holdback_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
