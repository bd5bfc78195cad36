from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from trimtab.clock import EPOCH
from trimtab.runtime.kept_clock import FollowedClock, KeptClock


def test_a_followed_clock_is_where_the_kept_one_was_last_set(tmp_path: Path) -> None:
    followed, now = FollowedClock(tmp_path), datetime(2026, 3, 1, tzinfo=UTC)
    assert followed.now() == EPOCH
    kept = KeptClock(tmp_path)
    for hours in range(50):
        kept.set(now + timedelta(hours=hours))
        assert followed.now() == kept.now()
        assert followed.now() == kept.now()
