"""How much a sender may send, with a clock in the test's hand."""

from __future__ import annotations

import pytest

from trimtab.config import Limits
from trimtab.errors import RateLimited
from trimtab.server.limits import Buckets, Meter


class Hand:
    """A clock of seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def metered(**settings: float) -> tuple[Meter, Hand]:
    hand = Hand()
    return Meter(Limits(**settings), now=hand), hand  # type: ignore[arg-type]


def test_an_address_gets_its_burst_and_then_its_rate() -> None:
    meter, hand = metered(address_events_per_s=2, address_burst=5)
    for _ in range(5):
        meter.open("public", "k", "192.0.2.1")
    with pytest.raises(RateLimited) as refused:
        meter.open("public", "k", "192.0.2.1")
    assert refused.value.retry_after_s == 1
    hand.now += 1
    for _ in range(2):
        meter.open("public", "k", "192.0.2.1")
    with pytest.raises(RateLimited):
        meter.open("public", "k", "192.0.2.1")
    meter.open("public", "k", "192.0.2.2")


def test_a_key_is_limited_over_all_its_addresses() -> None:
    meter, _ = metered(key_events_per_s=1, key_burst=3)
    for host in range(3):
        meter.open("public", "k", f"192.0.2.{host}")
    with pytest.raises(RateLimited, match="this key"):
        meter.open("public", "k", "192.0.2.9")
    meter.open("public", "other", "192.0.2.9")


def test_a_batch_larger_than_what_is_left_is_paid_for_by_waiting() -> None:
    meter, hand = metered(address_events_per_s=10, address_burst=5)
    meter.open("public", "k", "a")(100)
    with pytest.raises(RateLimited) as refused:
        meter.open("public", "k", "a")
    assert refused.value.retry_after_s == 10  # 95 in debt, and the one to come, at 10 a second
    hand.now += refused.value.retry_after_s
    meter.open("public", "k", "a")


def test_of_many_large_batches_let_in_together_one_is_taken() -> None:
    meter, _ = metered(address_events_per_s=10, address_burst=50)
    opened = [meter.open("public", "k", "a") for _ in range(20)]
    opened[0](1000)
    for charge in opened[1:]:
        with pytest.raises(RateLimited):
            charge(1000)


def test_the_apps_own_keys_have_no_limit_unless_one_is_set() -> None:
    meter, _ = metered()
    for _ in range(100):
        meter.open("ingest", "k", "a")(5000)
    meter, hand = metered(ingest_events_per_s=100, ingest_burst=100)
    meter.open("ingest", "k", "a")(300)
    with pytest.raises(RateLimited):
        meter.open("ingest", "k", "b")
    meter.open("ingest", "other", "a")
    meter.open("admin", "k", "a")(5000)
    hand.now += 3
    meter.open("ingest", "k", "a")


def test_addresses_are_forgotten_so_that_memory_is_bounded() -> None:
    hand = Hand()
    buckets = Buckets(1, 10, 100, hand)
    for name in range(10_000):
        buckets.take("kept", 0)
        buckets.take(str(name), 1)
    assert len(buckets) == 100
    buckets.take("kept", 4)
    buckets.take("one more", 1)
    assert buckets.level("kept") == 6
    assert buckets.level("5") == 10
