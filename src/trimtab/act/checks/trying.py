"""What the process that tries patterns imports before its first question: the time to try one does not pay for it."""

from __future__ import annotations

import jsonschema.validators  # noqa: F401  slow to import
import referencing  # noqa: F401

from trimtab.act.checks.pattern import serve

__all__ = ["serve"]
