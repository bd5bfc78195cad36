"""Help pages that go stale, small and loud: left alone they lose, the loop gains, and noise mends nothing."""

from __future__ import annotations

import msgspec
import pytest

from trimtab.client import Patch
from trimtab.errors import InputError
from trimtab.records import Knowledge, Version
from trimtab.study.arms import Labour
from trimtab.study.knowledge.app import HelpDesk
from trimtab.study.knowledge.arms import make_desk_arm
from trimtab.study.knowledge.pages import Page, becomes, pages, table
from trimtab.study.markdown import as_markdown
from trimtab.study.preset import Cell, Preset, read_preset
from trimtab.study.run import Study, load, run
from trimtab.study.stream import FEATURE
from trimtab.study.world import START, Dials, build

DIALS = Dials(
    weeks=9,
    per_week=150,
    policy_changes=12,
    launch_labels_share=1.0,
    launch_texts_per_label=1,
    golden_texts_per_label=1,
    fresh_texts_per_label=2,
    votes_if_bad=0.9,
    votes_if_good=0.5,
    vote_right_if_bad=0.95,
    vote_right_if_good=0.98,
    corrects=0.8,
    correction_wrong=0.05,
)
CELLS = [
    Cell(name="static", arm="static"),
    Cell(name="human", arm="human"),
    Cell(name="closed", arm="closed"),
    Cell(name="oracle", arm="oracle"),
    Cell(name="closed-shuffled", arm="closed", dials={"shuffled": True}),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("knowledge")
    run(None, Preset(worlds=1, cells=CELLS, dials=DIALS, product="documents"), folder, jobs=0)
    return load(folder)


def test_stale_pages_lose_and_patches_win_most_of_it_back(study: Study) -> None:
    static, closed, oracle = (study.cells[name][0] for name in ("static", "closed", "oracle"))
    assert static.live_loss > 15
    assert closed.live_loss < static.live_loss / 2
    assert abs(oracle.live_loss) < 4
    told = closed.documents
    assert told is not None
    assert told.entries >= 5
    assert told.wrong < told.entries / 4
    assert told.patches["upsert verified"] >= 5
    assert sum(mend.days is not None for mend in told.mends) >= 4


def test_somebody_who_reads_complaints_mends_pages_at_a_cost(study: Study) -> None:
    human, static = study.cells["human"][0], study.cells["static"][0]
    assert human.live_loss < static.live_loss
    assert human.documents is not None
    assert human.documents.entries == 0
    assert human.hours["label"] == pytest.approx(human.labels * 20 / 60, abs=0.01)
    assert human.hours["review"] > 0


def test_shuffled_votes_patch_nothing(study: Study) -> None:
    shuffled = study.cells["closed-shuffled"][0]
    assert shuffled.documents is not None
    assert shuffled.documents.entries == 0
    assert shuffled.live_loss == pytest.approx(study.cells["static"][0].live_loss, abs=3)


def test_report_tells_what_became_of_the_documents(study: Study) -> None:
    page = as_markdown(study, command="trimtab study")
    assert "## What became of the documents" in page
    assert "the pages stay as they were at launch" in page


def test_every_page_is_found_and_has_something_to_become() -> None:
    world = build(table(), DIALS, becomes=becomes())
    launched = pages(world)
    assert len(launched) == 30
    assert set(becomes()) == {page.answer for page in launched.values()}
    assert len(set(becomes().values()) | set(becomes())) == 60
    desk, version = HelpDesk(launched), Version(feature=FEATURE, created_at=START).identified()
    asked = [ask for week in world.weeks[:1] for ask in week]
    assert sum(desk.say(version, ask.text).output == ask.right for ask in asked) > 0.9 * len(asked)


def test_world_changes_policies_in_drawn_weeks_and_nothing_else() -> None:
    world = build(table(), DIALS, becomes=becomes())
    assert {drift.kind for drift in world.drifts} == {"policy"}
    assert len(world.drifts) == 12
    assert all(drift.answer == becomes()[drift.label] for drift in world.drifts)
    other = build(table(), msgspec.structs.replace(DIALS, seed=1), becomes=becomes())
    assert [drift.week for drift in other.drifts] != [drift.week for drift in world.drifts]


OLD, NEW = "Refunds take 14 days.", "Refunds take 5 working days."
SHELF = {
    "refund": Page(
        "Refund", OLD, ("when do I get my money back", "is the deposit paid out soon", "waiting for a refund")
    ),
    "helmet": Page(
        "Helmet", "Helmets cost 39 euros.", ("do I need a helmet", "which sizes are there", "lost my helmet")
    ),
}


def patch(entry_id: str, question: str, kind: str = "upsert") -> Patch:
    return Patch("p", FEATURE, kind, entry_id, question, NEW, "refund", None, ())


def said(desk: HelpDesk, question: str, *knowledge: Knowledge) -> str:
    return desk.answer(Version(feature=FEATURE, created_at=START, knowledge=list(knowledge)).identified(), [question])[
        0
    ]


def test_one_entry_answers_its_question_and_two_replace_the_page() -> None:
    desk = HelpDesk(SHELF)
    assert said(desk, "when do I get my money back") == OLD
    desk.bring(patch("k_1", "when do I get my money back"))
    assert said(desk, "when do I get my money back") == NEW
    assert said(desk, "is the deposit paid out soon") == OLD
    desk.bring(patch("k_2", "how long does my money take"))
    assert said(desk, "is the deposit paid out soon") == NEW
    assert said(desk, "do I need a helmet") == "Helmets cost 39 euros."
    for name in ("k_1", "k_2"):
        desk.bring(patch(name, "", kind="delete"))
    assert said(desk, "when do I get my money back") == OLD


def test_what_a_candidate_knows_answers_before_it_is_in_the_index() -> None:
    entry = Knowledge(id="k_1", question="when do I get my money back", text=NEW, source_id="refund")
    desk = HelpDesk(SHELF)
    assert said(desk, "when do I get my money back", entry) == NEW
    assert desk.retrieve("when do I get my money back", 2)[0] == "refund"


def test_an_arm_that_documents_do_not_have_is_refused() -> None:
    with pytest.raises(InputError, match="expected one of static, human, closed, oracle"):
        make_desk_arm("unreviewed", Labour())


def test_preset_reports_worlds_that_nothing_was_tuned_on() -> None:
    assert min(read_preset("knowledge").seeds) >= 1000
