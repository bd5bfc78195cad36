"""What redaction makes of known texts: a change of rules has to say so, for rows name the rules they were made by.

After a change that is meant, raise `RULES` in `trimtab.redact.policy` and run this file as a module to write the new
outputs: `python -m tests.contract.test_redaction_golden`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trimtab.redact import LENIENT, STRICT, Redactor
from trimtab.redact.policy import RULES

GOLDEN = Path(__file__).parent / "golden" / "redaction.json"


def _outputs(golden: dict[str, Any]) -> list[dict[str, str]]:
    key = golden["key"].encode()
    strict, lenient = Redactor(key=key, policy=STRICT), Redactor(key=key, policy=LENIENT)
    return [
        {"text": case["text"], "strict": strict.text(case["text"]), "lenient": lenient.text(case["text"])}
        for case in golden["cases"]
    ]


def _written() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return loaded


def test_outputs_change_only_with_the_revision_of_the_rules() -> None:
    golden = _written()
    assert golden["rules"] == RULES, "RULES was raised: write the outputs anew, as this module's docstring says"
    changed = [(was, now) for was, now in zip(golden["cases"], _outputs(golden), strict=True) if was != now]
    assert not changed, (
        "outputs changed under the same RULES: raise it, for stored rows name the rules they were made by"
    )


def _write() -> None:
    golden = _written()
    cases = _outputs(golden)
    if cases != golden["cases"] and golden["rules"] == RULES:
        raise SystemExit(f"expected RULES above {golden['rules']}, because outputs change; got {RULES}: raise it first")
    text = json.dumps({"rules": RULES, "key": golden["key"], "cases": cases}, indent=1)
    GOLDEN.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
