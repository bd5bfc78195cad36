"""One redactor per policy for all tests of this folder: it keeps no state but its count of failures."""

from __future__ import annotations

import pytest

from trimtab.redact import LENIENT, Redactor

KEY = b"a test key of 32 bytes, not real"


@pytest.fixture(scope="session")
def strict() -> Redactor:
    return Redactor(key=KEY)


@pytest.fixture(scope="session")
def lenient() -> Redactor:
    return Redactor(key=KEY, policy=LENIENT)
