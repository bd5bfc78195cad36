"""The report is one list of sections, whole in every format, and its page stands alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from tests.contract import hot_store_sample as a
from trimtab.config import Settings
from trimtab.measure.report.chart import svg
from trimtab.measure.report.parts import Asked, Band, Chart, Grid, Line, Mark, Section
from trimtab.measure.report.sections import SECTIONS, report
from trimtab.measure.report.shown import as_html, as_json, as_markdown
from trimtab.records import Feature, Project
from trimtab.store.hot.sqlite import open_sqlite
from trimtab.store.ports import HotStore, Writes

DAY = timedelta(days=1)
BEGIN = a.NOW - 20 * DAY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HotStore]:
    opened = open_sqlite(tmp_path / "hot.db")
    opened.commit({
        a.P: Writes(
            projects=[Project(id=a.P, created_at=BEGIN)],
            features=[a.sealed(Feature(name="answer", created_at=BEGIN))],
        )
    })  # fmt: skip
    yield opened
    opened.close()


def live(store: HotStore) -> None:
    """Write votes of two weeks, an incident that was mended and one that is open."""
    outcomes = []
    for place in range(40):
        moment = BEGIN + place * DAY / 2
        served = a.inference(created_at=moment, version_id="v1")
        outcomes.append(a.outcome(served, vote=float(place % 4 == 0), voter_id=f"u{place}", voted_at=moment))
    mended = a.incident(
        state="resolved", resolution="verified", first_signal_at=BEGIN, onset_at=BEGIN,
        detected_at=BEGIN + DAY, resolved_at=BEGIN + 6 * DAY,
    )  # fmt: skip
    change = a.change(
        incident_id=mended.id, created_at=BEGIN + DAY, exposed_at=BEGIN + 2 * DAY, verified_at=BEGIN + 6 * DAY,
        state="verified", rolled_back_at=None, promoted_at=BEGIN + 5 * DAY,
    )  # fmt: skip
    still = a.incident(first_signal_at=BEGIN, onset_at=BEGIN, detected_at=BEGIN + 3 * DAY, segment={"plan": "<b>|x"})
    store.commit({a.P: Writes(outcomes=outcomes, incidents=[mended, still], changes=[change])})


def asked(store: HotStore) -> Asked:
    return Asked(store, Settings(), a.P, BEGIN, a.NOW, None)


class Page(HTMLParser):
    """Collects the tags of a page, what they load, and whether each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_holds_every_chart(store: HotStore) -> None:
    live(store)
    sections = report(asked(store))
    page = Page(as_html(asked(store), sections))
    assert page.open == []
    assert page.loads == []
    assert "script" not in page.tags
    assert page.tags.count("svg") == sum(len(section.charts) for section in sections) == 3
    assert page.tags.count("section") == len(SECTIONS)


def test_every_format_tells_the_same_numbers(store: HotStore) -> None:
    live(store)
    sections = report(asked(store))
    data = msgspec.json.decode(as_json(asked(store), sections))
    assert data["velocity"]["verified"] == 1
    assert data["velocity"]["time_to_verified_fix"]["seconds"] == 6 * 86_400
    assert sum(week["fixes_verified"] for week in data["weeks"]) == 1
    assert [event["what"] for event in data["events"]] == [
        "incident",
        "change served",
        "incident",
        "promoted",
        "verified",
    ]
    words = as_markdown(asked(store), sections)
    assert "| first bad signal to verified fix | 6.0 days |" in words
    assert "<td>6.0 days</td>" in as_html(asked(store), sections)


def test_a_report_of_nothing_is_whole(store: HotStore) -> None:
    sections = report(asked(store))
    assert [section.key for section in sections] == ["velocity", "weeks", "digest", "events"]
    assert [chart for section in sections for chart in section.charts] == []
    assert Page(as_html(asked(store), sections)).open == []
    assert as_markdown(asked(store), sections).startswith("# Trimtab report, 2026-02-09 to 2026-03-01\n")


def test_words_cannot_break_out_of_a_page_or_a_table() -> None:
    grid = Grid(columns=["a|b"], rows=[["<script>x</script>"], ["c|d\ne"]])
    section = Section(key="x", title="<i>", data=None, lead=["<b>"], grids=[grid])
    told: Any = Asked(None, None, "p", BEGIN, a.NOW, "<u>")  # type: ignore[arg-type]
    page = Page(as_html(told, [section]))
    assert not {"script", "i", "b", "u"} & set(page.tags)
    words = as_markdown(told, [section])
    assert "| a\\|b |" in words
    assert "| c\\|d e |" in words
    assert "<script>" not in words


def test_charts_are_well_formed_whatever_is_in_them() -> None:
    points = [(0.0, 1.0), (3.0, 0.5)]
    band = [Band(0.0, 1.0, 1.0), Band(3.0, 0.2, 0.9)]
    steps = Line(name="s", points=points, shape="steps", band=band)
    for line in (steps, Line(name="l", points=points), Line(name="b", points=[(0.0, 2.0)], shape="bars")):
        for kind in ("share", "count"):
            for axis in ("time", "days"):
                chart = Chart(title='<"&', lines=[line], x=axis, y=kind, marks=[Mark(1.0, "<&", "bad")])
                root = ET.fromstring(svg(chart))  # noqa: S314  our own
                assert root.tag.endswith("svg")
                assert "nan" not in svg(chart)
    ET.fromstring(svg(Chart(title="", lines=[], x="days", y="count")))  # noqa: S314  our own
