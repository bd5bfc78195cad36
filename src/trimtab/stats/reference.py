"""What a monitor compares with."""

from typing import Final

from trimtab.stats import expect
from trimtab.stats.interval import clopper_pearson_upper

__all__ = ["MIN_BASELINE_EVENTS", "reference_rate"]

MIN_BASELINE_EVENTS: Final = 500


def reference_rate(bad0: int, n0: int, target: float | None = None, *, ucb: float = 0.8, margin: float = 1.0) -> float:
    """Return p0 for a `RateMonitor`, from a baseline of `bad0` in `n0` events, an absolute target, or both.

    p0 = max(target, margin * upper), upper = the one-sided Clopper-Pearson bound of the baseline at confidence `ucb`.
    A baseline's point estimate is too low half of the time, and a monitor that compares with it finds a rise that is
    not there; the upper bound is what the baseline can vouch for. `margin` 1.2 tolerates a rise of 20% over the
    baseline; a target is absolute and is not scaled.

    With fewer than 500 baseline events only a target can be used, and the baseline is ignored.
    Take whole weeks for the baseline, and freeze it when a version is deployed, or slow decay drags it along.
    Raises ValueError if there are fewer than 500 events and no target, or if p0 would reach 1.
    """
    expect.counts("bad0", bad0, "n0", n0)
    expect.probability("ucb", ucb)
    expect.positive("margin", margin)
    floor = 0.0 if target is None else expect.probability("target", target)
    if n0 < MIN_BASELINE_EVENTS:
        if target is None:
            raise ValueError(
                f"expected a baseline of {MIN_BASELINE_EVENTS} events or more, got n0={n0!r}; "
                "wait for more events or set an absolute target"
            )
        return floor
    p0 = max(floor, margin * clopper_pearson_upper(bad0, n0, ucb))
    if p0 >= 1.0:
        raise ValueError(
            f"expected a reference below 1, got {p0!r} from bad0={bad0!r}, n0={n0!r}, margin={margin!r}; "
            "a stream that is all bad leaves nothing to detect"
        )
    return p0
