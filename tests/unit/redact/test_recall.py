"""Recall on labelled text of others: presidio-research's generated set, read from TRIMTAB_DATA, never copied."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from trimtab.redact import Redactor

_DATA = Path(os.environ.get("TRIMTAB_DATA") or Path(__file__).parents[4] / "shared" / "data")
_LABELLED = _DATA / "pii" / "synth_dataset_v2.json"
_BARS = {
    "EMAIL_ADDRESS": 1.0, "CREDIT_CARD": 1.0, "IBAN_CODE": 1.0, "IP_ADDRESS": 1.0, "US_SSN": 1.0, "PHONE_NUMBER": 0.978,
}  # fmt: skip


def test_labelled_structured_personal_data_is_gone(strict: Redactor) -> None:
    if not _DATA.is_dir():
        pytest.skip(f"RECALL NOT MEASURED: no folder {_DATA}; set TRIMTAB_DATA to the folder that holds pii/")
    seen: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    for sample in json.loads(_LABELLED.read_text()):
        clean = strict.text(sample["full_text"])
        for span in sample["spans"]:
            if span["entity_type"] in _BARS:
                seen[span["entity_type"]] += 1
                gone[span["entity_type"]] += span["entity_value"] not in clean
    assert set(seen) == set(_BARS)
    assert {kind: gone[kind] / seen[kind] for kind in _BARS if gone[kind] / seen[kind] < _BARS[kind]} == {}
