"""Opening what looks at stored texts a second time: Presidio, or a detector of the operator's own."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from trimtab.config import Ner
from trimtab.errors import ConfigError
from trimtab.redact.ner import Detector

__all__ = ["open_detector"]


def open_detector(settings: Ner) -> Detector | None:
    """Return the detector that `[ner]` names, opened on its model directory; None where it names none.

    A detector of one's own is "module:function"; the function is called with the model's directory (None without one)
    and returns a `Detector`. Raises ConfigError when there is no such model, module or function, or when the detector
    cannot read a plain sentence; MissingExtra when Presidio is not installed.
    """
    if not settings.detector:
        return None
    model = Path(settings.model) if settings.model else None
    if model is not None and not model.is_dir():
        raise ConfigError(
            f"expected ner.model to be the directory of a model, got {settings.model!r}; nothing is downloaded: "
            "put the model there, or correct the path",
            param="ner.model",
        )
    if settings.detector == "presidio":
        from trimtab.redact.presidio import open_presidio  # noqa: PLC0415  seconds of importing, only where asked for

        detector: Detector = open_presidio(
            model, language=settings.language, labels=settings.labels, min_score=settings.min_score
        )
    else:
        detector = _own(settings.detector, model)
    _try(detector, settings.detector)
    return detector


def _own(name: str, model: Path | None) -> Detector:
    module, _, function = name.partition(":")
    if not module or not function:
        raise ConfigError(
            f"expected ner.detector to be 'presidio' or 'module:function', got {name!r}", param="ner.detector"
        )
    try:
        return cast("Detector", getattr(importlib.import_module(module), function)(model))
    except Exception as error:
        raise ConfigError(
            f"expected ner.detector to name a function that takes a model directory and returns a detector, got "
            f"{name!r}: {type(error).__name__}: {error}",
            param="ner.detector",
        ) from error


def _try(detector: Detector, name: str) -> None:
    """Let it read a sentence: a detector that cannot is told at the start, not at the first row."""
    try:
        found = detector.detect(["The order arrived on time."])
        told = bool(detector.version) and len(found) == 1
    except Exception as error:
        raise ConfigError(
            f"the detector {name!r} cannot read a plain sentence: {type(error).__name__}: {error}", param="ner.detector"
        ) from error
    if not told:
        raise ConfigError(
            f"expected the detector {name!r} to have a version and to answer one list per text; see docs/redaction.md",
            param="ner.detector",
        )
