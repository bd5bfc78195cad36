"""Presidio as a second look: an AnalyzerEngine on the operator's own model, without the network.

Its recognisers of e-mail addresses and URLs fetch a list of domain endings when first used; patterns have taken those
long before, so they are left out. Nothing else of it opens a connection once the model is a directory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Final

from trimtab.errors import ConfigError, MissingExtra
from trimtab.redact.ner import Found

__all__ = ["PresidioDetector", "open_presidio"]

_ONLINE: Final = ("EmailRecognizer", "UrlRecognizer")


class PresidioDetector:
    """Turns what a configured AnalyzerEngine finds into spans.

    `labels` are its entity types that count (PERSON, LOCATION, ...), `min_score` its score from which they do. `model`
    names the model and its version: it stands on every row that was looked at.
    """

    def __init__(
        self, analyzer: Any, *, model: str, language: str = "en", labels: Sequence[str], min_score: float = 0.4
    ) -> None:
        for name in _ONLINE:
            analyzer.registry.remove_recognizer(name)
        self._analyzer = analyzer
        self._language = language
        self._labels = list(labels)
        self._min_score = min_score
        told = "\0".join([installed("presidio-analyzer"), model, language, *sorted(labels), str(min_score)])
        self.version = f"presidio-{hashlib.sha256(told.encode()).hexdigest()[:10]}"

    def detect(self, texts: Sequence[str]) -> list[list[Found]]:
        """Return what is found in each text, by position. Raises what Presidio raises."""
        return [self._found(text) for text in texts]

    def _found(self, text: str) -> list[Found]:
        results = self._analyzer.analyze(
            text=text, language=self._language, entities=self._labels, score_threshold=self._min_score
        )
        return [Found(result.start, result.end, result.entity_type) for result in results]


def open_presidio(model: Path | None, *, language: str, labels: Sequence[str], min_score: float) -> PresidioDetector:
    """Return a detector over the spaCy model in the directory `model`.

    Raises MissingExtra when Presidio is not installed, ConfigError without a model directory or for one that is no
    spaCy model.
    """
    try:
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # noqa: PLC0415  optional
        from presidio_analyzer.nlp_engine import SpacyNlpEngine  # noqa: PLC0415  optional
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer  # noqa: PLC0415  optional
    except ImportError as error:
        raise MissingExtra(
            "ner.detector = 'presidio' needs Presidio; install it with: pip install 'trimtab[presidio]'"
        ) from error
    if model is None or not model.is_dir():  # a name that is no directory would be downloaded
        raise ConfigError(
            "expected ner.model to be the directory of a spaCy model, got none; nothing is downloaded",
            param="ner.model",
        )
    engine = SpacyNlpEngine(models=[{"lang_code": language, "model_name": str(model)}])
    try:
        engine.load()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"expected ner.model to be a spaCy model, got {str(model)!r}: {error}", param="ner.model"
        ) from error
    registry = RecognizerRegistry(
        recognizers=[SpacyRecognizer(supported_language=language)], supported_languages=[language]
    )
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])
    return PresidioDetector(analyzer, model=_fingerprint(model), language=language, labels=labels, min_score=min_score)


def _fingerprint(model: Path) -> str:
    """Return what tells this model from another: its files' names and sizes, and what its description says."""
    digest = hashlib.sha256()
    for file in sorted(path for path in model.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(model)}\0{file.stat().st_size}\0".encode())
    description = model / "meta.json"
    if description.is_file():
        digest.update(description.read_bytes())
    return digest.hexdigest()
