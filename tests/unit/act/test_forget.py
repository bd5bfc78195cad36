"""What was made of an erased person's words leaves every version; what others said stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trimtab.act.actions.rule import rule_of
from trimtab.act.forget import ForgetExemplars
from trimtab.clock import SetClock
from trimtab.ids import derived_id
from trimtab.records import Exemplar, Feature, Knowledge, Project, Rollout, Version
from trimtab.redact.engine import Redactor
from trimtab.redact.project import Redactors
from trimtab.redact.wall import seal
from trimtab.store.erasing import Gone
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Switch, Writes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
P, FEATURE = "default", "desk"
THEIRS, OTHERS = derived_id("feedback", "theirs"), derived_id("feedback", "others")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "trimtab.db")
    opened.commit({P: Writes(projects=[Project(id=P, created_at=NOW)])})
    yield opened
    opened.close()


def test_exemplars_knowledge_and_rules_from_their_words_go_and_apps_hear_of_it(store: HotStore) -> None:
    cleaners = Redactors(key=bytes(32), read=store.redactions)
    made = Version(
        feature=FEATURE,
        created_at=NOW,
        rules=[
            rule_of("Name the price with it.", [THEIRS, OTHERS]),
            rule_of("Be brief and kind.", [OTHERS]),
            rule_of("By hand: no dates."),
        ],
        exemplars=[
            Exemplar(id="x_1", input="a", output="b", source_feedback_id=THEIRS),
            Exemplar(id="x_2", input="c", output="d", source_feedback_id=OTHERS),
        ],
        knowledge=[
            Knowledge(id="k_1", text="Within 14 days.", source_feedback_id=THEIRS),
            Knowledge(id="k_2", text="Paid by card.", source_feedback_id=OTHERS),
        ],
    )
    sealed = seal(Redactor(key=bytes(32)), made)
    rollout = Rollout(
        feature=FEATURE, stable_version_id=sealed.record.id, updated_at=NOW, id=derived_id("r"), revision=1
    )
    feature = seal(Redactor(key=bytes(32)), Feature(name=FEATURE, created_at=NOW))
    store.commit({P: Writes(features=[feature], versions=[sealed], switches=[Switch(rollout, 0)])})

    removed = ForgetExemplars(store, cleaners, SetClock(NOW)).erase(P, Gone(["u-1"], [], [THEIRS]))

    assert removed is not None
    assert removed.counts == {"versions": 1, "exemplars": 1, "knowledge": 1, "rules": 1}
    left = store.version(P, FEATURE, sealed.record.id)
    assert left is not None
    assert [rule.text for rule in left.rules] == ["Be brief and kind.", "By hand: no dates."]
    assert [item.id for item in left.exemplars] == ["x_2"]
    assert [item.id for item in left.knowledge] == ["k_2"]
    now = store.rollout(P, FEATURE)
    assert now is not None
    assert now.revision == rollout.revision + 1
