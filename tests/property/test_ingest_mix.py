"""Whatever mix of good and bad events comes, in whatever shape: each good one is stored once, each bad one named."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.intake import PROJECT, body, desk, feedback, inference
from trimtab.ingest.inflate import inflate

good = st.one_of(
    st.builds(inference, st.integers(0, 40), input=st.text(max_size=40).filter(bool)),
    st.builds(feedback, st.integers(0, 40), value=st.sampled_from([0, 1])),
)
bad: st.SearchStrategy[Any] = st.one_of(
    st.builds(inference, st.integers(0, 40), feature=st.sampled_from(["", "two words", 3, "x" * 200])),
    st.builds(inference, st.integers(0, 40), created_at=st.sampled_from(["2030-01-01T00:00:00Z", "now", 0])),
    st.builds(feedback, st.integers(0, 40), value=st.sampled_from([2, -1, "1", True])),
    st.builds(feedback, st.integers(0, 40), surprise=st.integers()),
    st.sampled_from([3, None, "text", [], {}, {"type": "inference"}]),
    st.builds(inference, st.integers(0, 40), input=st.just("\ud83d")),
)
events = st.lists(st.one_of(good.map(lambda e: (True, e)), bad.map(lambda e: (False, e))), max_size=30)


@settings(max_examples=60, deadline=None)
@given(mix=events, lines=st.booleans(), packed=st.booleans())
def test_every_good_event_is_stored_once_and_every_bad_one_named(
    mix: list[tuple[bool, Any]], *, lines: bool, packed: bool
) -> None:
    raw = "\n".join(json.dumps(event) for _, event in mix).encode() if lines else body(*(event for _, event in mix))
    if packed:
        raw = inflate(gzip.compress(raw), "gzip", 1 << 20)
    with tempfile.TemporaryDirectory() as folder, desk(Path(folder)) as front:
        for repeat in range(2):
            receipt = front.intake.accept_now(
                PROJECT, raw, content_type="application/x-ndjson" if lines else "application/json"
            )
            fine = [event["id"] for is_good, event in mix if is_good]
            assert [r.index for r in receipt.rejected] == [n for n, (is_good, _) in enumerate(mix) if not is_good]
            assert all(r.code and r.message for r in receipt.rejected)
            assert front.stored() == set(fine)
            assert receipt.accepted == (0 if repeat else len(set(fine)))
            assert receipt.accepted + receipt.duplicates == len(fine)
