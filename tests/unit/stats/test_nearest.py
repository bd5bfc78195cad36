from __future__ import annotations

import numpy as np
import pytest

from trimtab.stats.nearest import greatest


@pytest.mark.parametrize("count", [1, 7, 40, 60])
def test_the_greatest_of_each_row_come_first_and_ties_in_column_order(count: int) -> None:
    table = np.random.default_rng(4).integers(0, 9, (25, 40)).astype(np.float32)
    places, values = greatest(table.copy(), count)
    expected = np.argsort(-table, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(table, expected, axis=1))


def test_no_rows_have_no_greatest() -> None:
    places, values = greatest(np.zeros((0, 5)), 3)
    assert places.shape == values.shape == (0, 3)
