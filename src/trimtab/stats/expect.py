"""Argument checks with one grammar: expected X to be Y, got Z."""

import math
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["count", "counts", "fraction", "keys", "numbers", "odds_ratios", "positive", "probability"]


def probability(name: str, value: float) -> float:
    """Return `value` if it lies strictly between 0 and 1, else raise ValueError."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"expected {name} to be strictly between 0 and 1, got {value!r}")
    return value


def fraction(name: str, value: float) -> float:
    """Return `value` if it lies in [0, 1] (NaN does not), else raise ValueError."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"expected {name} to be between 0 and 1, got {value!r}")
    return value


def positive(name: str, value: float) -> float:
    """Return `value` if it is finite and above 0, else raise ValueError."""
    if not 0.0 < value < math.inf:
        raise ValueError(f"expected {name} to be a finite number above 0, got {value!r}")
    return value


def count(name: str, value: int, *, least: int = 0) -> int:
    """Return `value` if it is a whole number >= `least`, else raise ValueError."""
    if type(value) is not int or value < least:
        raise ValueError(f"expected {name} to be a whole number >= {least}, got {value!r}")
    return value


def counts(part: str, part_value: int, whole: str, whole_value: int) -> tuple[int, int]:
    """Return both counts if 0 <= part <= whole, else raise ValueError."""
    count(whole, whole_value)
    count(part, part_value)
    if part_value > whole_value:
        raise ValueError(f"expected {part} to be at most {whole} ({whole_value!r}), got {part_value!r}")
    return part_value, whole_value


def odds_ratios(name: str, values: Iterable[float], *, above_one: bool) -> tuple[float, ...]:
    """Return `values` as a tuple if there is one or more and all lie on the stated side of 1."""
    ratios = tuple(values)
    side = "finite and above 1" if above_one else "strictly between 0 and 1"
    if not ratios or not all((1.0 < r < math.inf) if above_one else (0.0 < r < 1.0) for r in ratios):
        raise ValueError(f"expected {name} to be one or more numbers {side}, got {ratios!r}")
    return ratios


def keys(state: object, shape: type) -> None:
    """Raise ValueError unless `state` is a mapping with every key of the TypedDict `shape`."""
    wanted = sorted(shape.__annotations__)
    if not isinstance(state, Mapping) or not set(wanted) <= set(state):
        got = sorted(map(str, state)) if isinstance(state, Mapping) else state
        raise ValueError(f"expected a state with the keys {wanted}, got {got!r}; rebuild it from its events")


def numbers(name: str, values: Sequence[float], *, size: int) -> list[float]:
    """Return `values` as a list if it is `size` finite numbers, else raise ValueError."""
    taken = [float(value) for value in values]
    if len(taken) != size or not all(map(math.isfinite, taken)):
        raise ValueError(f"expected {name} to be {size} finite numbers, got {values!r}")
    return taken
