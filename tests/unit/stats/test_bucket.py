import pytest

from trimtab.stats.bucket import bucket, in_candidate, split_part

# The SDKs in every language are held to these same numbers.
GOLDEN_BUCKETS = [
    ("rollout-1", "user-1", 0.2718150716325581),
    ("rollout-1", "user-2", 0.7243851543283016),
    ("rollout-2", "user-1", 0.37231685449653695),
    ("", "", 0.9049687102438428),
    ("r", "ä€😀", 0.24514915400888768),
    ("0190a5b2-7c1e-7d3a-9f00-000000000001", "tenant/42", 0.6514540829466426),
]
GOLDEN_PARTS = [
    ("user-1", "build"),
    ("user-2", "build"),
    ("user-3", "judge"),
    ("user-4", "judge"),
    ("ä€😀", "build"),
]


@pytest.mark.parametrize(("salt", "unit_id", "place"), GOLDEN_BUCKETS)
def test_bucket_is_the_same_in_every_language_for_ever(salt: str, unit_id: str, place: float) -> None:
    assert bucket(salt, unit_id) == place


@pytest.mark.parametrize(("unit_id", "part"), GOLDEN_PARTS)
def test_split_part_is_the_same_for_ever(unit_id: str, part: str) -> None:
    assert split_part(unit_id) == part


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_candidate_gets_its_share_of_units(share: float) -> None:
    units = 20_000
    got = sum(in_candidate("rollout-7", f"user-{index}", share) for index in range(units)) / units
    assert abs(got - share) < 4 * (share * (1 - share) / units) ** 0.5


def test_nobody_at_zero_and_everyone_at_one() -> None:
    assert not any(in_candidate("s", f"u{index}", 0.0) for index in range(1000))
    assert all(in_candidate("s", f"u{index}", 1.0) for index in range(1000))


def test_seventy_percent_build() -> None:
    units = 20_000
    build = sum(split_part(f"user-{index}") == "build" for index in range(units)) / units
    assert abs(build - 0.7) < 4 * (0.7 * 0.3 / units) ** 0.5


def test_another_salt_is_another_draw() -> None:
    both = sum(in_candidate("a", f"u{i}", 0.5) and in_candidate("b", f"u{i}", 0.5) for i in range(10_000))
    assert abs(both / 10_000 - 0.25) < 0.02


def test_canary_and_split_are_unrelated() -> None:
    chosen = [f"u{i}" for i in range(20_000) if in_candidate("rollout-7", f"u{i}", 0.2)]
    assert abs(sum(split_part(unit) == "build" for unit in chosen) / len(chosen) - 0.7) < 0.03


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan"), 5])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="expected share to be between 0 and 1"):
        in_candidate("s", "u", share)
