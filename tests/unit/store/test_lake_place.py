"""Where the settings put the lake, and whose turn it is to change it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract import hot_store_sample as a
from trimtab.clock import SetClock
from trimtab.config import Lake
from trimtab.errors import ConfigError, Conflict
from trimtab.store.lake.place import Place, place_of
from trimtab.store.lake.turn import FileTurn, LeaseTurn, turn_of

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "HOME": "/h"}


def test_without_an_address_the_lake_lies_beside_the_database() -> None:
    assert place_of(Lake(), Path("data"), {}) == Place("data/lake")
    assert place_of(Lake(uri="/srv/lake"), Path("data"), KEYS) == Place("/srv/lake")


def test_a_bucket_is_reached_with_the_keys_of_the_environment() -> None:
    place = place_of(Lake(uri="s3://b/p", endpoint="http://minio:9000", region="r"), Path("data"), KEYS)
    assert place.folder is None
    assert place.table("feedback") == "s3://b/p/feedback"
    assert place.options == {
        "AWS_ENDPOINT_URL": "http://minio:9000",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "r",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected a directory or s3://bucket/prefix in lake\.uri, got 'gs://b'"):
        place_of(Lake(uri="gs://b"), Path("data"), {})


def test_a_place_has_the_lock_that_fits_it(tmp_path: Path) -> None:
    clock = SetClock(a.NOW)
    assert isinstance(turn_of(Place(str(tmp_path)), clock), FileTurn)
    assert isinstance(turn_of(Place("s3://b/p"), clock), LeaseTurn)


def test_a_dead_holders_lease_runs_out_and_the_late_one_learns_of_it(tmp_path: Path) -> None:
    clock = SetClock(a.NOW)
    dead, living = (LeaseTurn(Place(str(tmp_path)), clock) for _ in range(2))
    held = dead.taken()
    held.__enter__()
    with pytest.raises(Conflict), living.taken():
        pass
    clock.advance(timedelta(minutes=10))
    dead.renew()
    clock.advance(timedelta(minutes=10))
    with pytest.raises(Conflict), living.taken():
        pass
    clock.advance(timedelta(minutes=6))
    with living.taken():
        with pytest.raises(Conflict, match="lease ran out"):
            dead.renew()
        held.__exit__(None, None, None)  # what is not its own any more it does not give away
        with pytest.raises(Conflict), LeaseTurn(Place(str(tmp_path)), clock).taken():
            pass
    with LeaseTurn(Place(str(tmp_path)), clock).taken():
        pass


def test_a_lease_is_free_again_when_it_is_given_back(tmp_path: Path) -> None:
    turn = LeaseTurn(Place(str(tmp_path)), SetClock(a.NOW))
    for _ in range(3):
        with turn.taken(), pytest.raises(Conflict), turn.taken():
            pass
