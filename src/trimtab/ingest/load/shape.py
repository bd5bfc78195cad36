"""A file's row as the events it stands for: columns to fields, cells to values, ids that stay the same.

A row without an id gets one from its content and the name of its source, so that a file imported twice adds nothing. An
id that is no UUID (of another system) becomes one the same way, and feedback that names it finds its inference.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from trimtab.errors import InvalidField
from trimtab.ids import derived_id, is_uuid
from trimtab.records import Feedback, Inference
from trimtab.store.codec import Codec, Kind

__all__ = ["ImportKind", "Shaper", "checked_mapping"]

ImportKind = Literal["events", "inferences", "feedback", "labelled"]

_CODECS: dict[str, Codec[Any]] = {"inference": Codec(Inference), "feedback": Codec(Feedback)}
_TYPES = {"inferences": "inference", "feedback": "feedback"}
_LABELLED = {
    "text": ("text", "utterance", "question", "query", "input", "message", "sentence", "prompt"),
    "label": ("label", "intent", "category", "answer", "class", "target", "topic", "output"),
}
_OWN = frozenset({"seq", "project_id", "day", "created_us", "input_hash", "type"})
_IDS = {"id", "inference_id"}
_TRUE, _FALSE = frozenset({"true", "1", "yes", "t"}), frozenset({"false", "0", "no", "f"})


class Shaper:
    """Shapes rows of one kind. `typed` says that cells have types of their own (JSON lines), `fields` maps columns."""

    def __init__(
        self,
        kind: ImportKind,
        *,
        source: str,
        fields: Mapping[str, str],
        feature: str | None,
        now: datetime,
        typed: bool,
    ) -> None:
        self._kind = kind
        self._source = source
        self._fields = fields
        self._feature = feature
        self._now = now.isoformat()
        self._typed = typed
        self.ignored: set[str] = set()

    def events(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the events of a row. Raises InvalidField where a cell cannot be what its field holds."""
        if self._kind == "labelled":
            return self._labelled(row)
        kind = _TYPES.get(self._kind) or row.get("type")
        if kind not in _CODECS:
            raise InvalidField(f"expected type 'inference' or 'feedback', got {str(kind)[:40]!r}", param="type")
        codec = _CODECS[kind]
        told: dict[str, Any] = {}
        for column, value in row.items():
            field = self._fields.get(column, column)
            head, _, inner = field.partition(".")
            if head not in codec.names:
                if head not in _OWN:
                    self.ignored.add(column)
                continue
            if value is None:
                continue
            if inner:
                inside = told.get(head)
                told[head] = {**(inside if isinstance(inside, dict) else {}), inner: value}
            else:
                told[head] = self._value(field, codec.kinds[head], value)
        return [self._identified(kind, told)]

    def _identified(self, kind: str, told: dict[str, Any]) -> dict[str, Any]:
        if kind == "inference" and self._feature is not None:
            told.setdefault("feature", self._feature)
        for name in _IDS & told.keys():
            if isinstance(told[name], str) and not is_uuid(told[name]):
                target = kind if name == "id" else "inference"
                told[name] = derived_id("import", self._source, target, told[name])
        if "id" not in told:
            content = msgspec.json.encode(told, order="deterministic").decode()
            told["id"] = derived_id("import", self._source, kind, "", content)
        told.setdefault("created_at", self._now)
        return {"type": kind, **told}

    def _labelled(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Return an inference that asks the text and a reviewer's correction that says the label."""
        text, label = (self._found(row, wanted) for wanted in ("text", "label"))
        if self._feature is None:
            raise InvalidField("labelled texts belong to a feature; name it with --feature", param="feature")
        answer_id = derived_id("import", self._source, "labelled", text, label)
        dated = [column for column, field in self._fields.items() if field == "created_at"]
        said_at = next((row[column] for column in [*dated, "created_at"] if row.get(column)), self._now)
        created_at = self._value("created_at", Kind.TIME, said_at)
        return [
            {
                "type": "inference",
                "id": answer_id,
                "feature": self._feature,
                "created_at": created_at,
                "input": text,
                "tags": {"imported": self._source},
            },
            {
                "type": "feedback",
                "id": derived_id("import", self._source, "label", text, label),
                "kind": "correction",
                "source": "reviewer",
                "created_at": created_at,
                "inference_id": answer_id,
                "text": label,
            },
        ]

    def _found(self, row: dict[str, Any], wanted: str) -> str:
        mapped = [column for column, field in self._fields.items() if field == wanted]
        for column in [*mapped, *_LABELLED[wanted]]:
            value = row.get(column)
            if value is not None and str(value).strip():
                return str(value)
        raise InvalidField(f"expected a {wanted} on this row, found none; name its column with --map", param=wanted)

    def _value(self, field: str, kind: Kind, value: Any) -> Any:
        if kind is Kind.TIME and isinstance(value, str):
            return _time(field, value)
        if self._typed or not isinstance(value, str):
            return value
        if kind is Kind.JSON:
            return _nested(value)
        if kind is Kind.FLAG:
            return _flag(field, value)
        if kind in (Kind.REAL, Kind.WHOLE):
            try:
                number = float(value)
            except ValueError:
                raise InvalidField(f"{field}: expected a number, got {value[:40]!r}", param=field) from None
            return int(number) if kind is Kind.WHOLE and number.is_integer() else number
        return value


def _nested(value: str) -> Any:
    """Return the list or object that a cell holds as JSON text; any other text is meant as it is."""
    if not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return value


def _flag(field: str, value: str) -> bool:
    told = value.strip().lower()
    if told not in _TRUE | _FALSE:
        raise InvalidField(f"{field}: expected true or false, got {value[:40]!r}", param=field)
    return told in _TRUE


def _time(field: str, value: str) -> str:
    try:
        when = datetime.fromisoformat(value.strip())
    except ValueError:
        raise InvalidField(
            f"{field}: expected a time such as 2026-01-31T12:00:00Z, got {value[:40]!r}", param=field
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).isoformat()


def checked_mapping(kind: ImportKind, told: Mapping[str, str]) -> dict[str, str]:
    """Return the mapping of columns to fields. Raises InvalidField for a field that the kind does not have."""
    names = {"text", "label", "created_at"} if kind == "labelled" else set()
    for wanted in [_TYPES[kind]] if kind in _TYPES else list(_CODECS) if kind == "events" else []:
        names |= set(_CODECS[wanted].names)
    for field in told.values():
        if field.partition(".")[0] not in names:
            raise InvalidField(f"map: expected one of {', '.join(sorted(names))}, got {field[:60]!r}", param="map")
    return dict(told)
