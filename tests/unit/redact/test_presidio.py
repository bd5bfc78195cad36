"""Presidio as a second look, over a real spaCy model that the test writes itself. Nothing here opens a connection."""

from __future__ import annotations

import importlib
import socket
from pathlib import Path
from typing import Any

import pytest

from trimtab.config import Ner
from trimtab.errors import ConfigError, MissingExtra
from trimtab.redact import Redactor
from trimtab.redact import plugin as plugins
from trimtab.redact.ner import SecondLook

try:
    import presidio_analyzer
except ImportError:
    presidio_analyzer = None

needs_presidio = pytest.mark.skipif(
    presidio_analyzer is None, reason="Presidio is not installed; pip install 'trimtab[presidio]' to run these"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write a spaCy model to disk that knows two names by rules: a real engine without trained weights."""
    spacy = importlib.import_module("spacy")  # where Presidio is installed

    made = spacy.blank("en")
    made.add_pipe("entity_ruler").add_patterns(
        [{"label": "PERSON", "pattern": "Jane Doe"}, {"label": "GPE", "pattern": "Oslo"}]
    )
    made.to_disk(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*told: Any, **more: Any) -> None:
        raise AssertionError(f"expected no connection, got {told!r} {more!r}")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@needs_presidio
@pytest.mark.usefixtures("_offline")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_names_and_places_of_the_operators_model_are_taken_offline(strict: Redactor, model: Path) -> None:
    detector = plugins.open_detector(Ner(detector="presidio", model=str(model)))
    assert detector is not None
    cleaner = SecondLook(detector).after(strict)
    clean = cleaner.batch(["Jane Doe of Oslo, jane@example.com, order 77", "nothing"])
    assert clean == [f"<PERSON> of <LOCATION>, {strict.text('jane@example.com')}, order 77", "nothing"]
    assert cleaner.batch(clean) == clean


@needs_presidio
@pytest.mark.usefixtures("_offline")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_recognisers_that_go_online_are_left_out_of_an_engine_made_elsewhere(model: Path) -> None:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # noqa: PLC0415  only where it is installed
    from presidio_analyzer.nlp_engine import SpacyNlpEngine  # noqa: PLC0415
    from presidio_analyzer.predefined_recognizers import (  # noqa: PLC0415
        CreditCardRecognizer,
        EmailRecognizer,
        UrlRecognizer,
    )

    from trimtab.redact.presidio import PresidioDetector  # noqa: PLC0415

    registry = RecognizerRegistry([EmailRecognizer(), UrlRecognizer(), CreditCardRecognizer()])
    engine = SpacyNlpEngine([{"lang_code": "en", "model_name": str(model)}])
    detector = PresidioDetector(
        AnalyzerEngine(registry=registry, nlp_engine=engine), model="m", labels=["CREDIT_CARD"], min_score=0.1
    )
    ((found,),) = detector.detect(["card 4111111111111111 of jane@example.com"])
    assert (found.start, found.end, found.label) == (5, 21, "CREDIT_CARD")


@needs_presidio
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_version_changes_with_model_labels_and_score(model: Path) -> None:
    def version(**more: Any) -> str:
        detector = plugins.open_detector(Ner(detector="presidio", model=str(model), **more))
        assert detector is not None
        return detector.version

    first = version()
    assert version() == first != version(labels=("PERSON",)) != version(min_score=0.9)
    (model / "more.bin").write_bytes(b"x")
    assert version() != first


@needs_presidio
@pytest.mark.usefixtures("_offline")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_model_that_is_none_is_refused_and_nothing_downloaded(tmp_path: Path) -> None:
    for wrong in ("", str(tmp_path)):
        with pytest.raises(ConfigError, match=r"ner\.model"):
            plugins.open_detector(Ner(detector="presidio", model=wrong))


@pytest.mark.skipif(presidio_analyzer is not None, reason="Presidio is installed: nothing is missing")
def test_missing_presidio_names_its_install_line() -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'trimtab\[presidio\]'"):
        plugins.open_detector(Ner(detector="presidio"))
