"""The sketch of quantiles against the sorted rows, in orders that are hard for it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from headway.columns.quantiles import ROOM, SAMPLE, Quantiles

ROWS = 300_000
LONG = (
    "BQEPAAgACADQBwAAAAAAAAgACAAAAAAABAAAABQAAAAVAAAAJgAAACwAAAAsAAAAOQAAAB+F61G4HgnAzczMzMzMDEAzMzMzMzPDP4XrUbgehe"
    "O/4XoUrkfh4j8zMzMzMzPDP9ejcD0K1/O/rkfhehSu8797FK5H4Xrkvylcj8L1KNy/CtejcD0K179mZmZmZmbWv8P1KFyPwtW/MzMzMzMzw7+k"
    "cD0K16PAv+xRuB6F67G/mpmZmZmZyT8pXI/C9SjcP+xRuB6F6+E/w/UoXI/C5T/NzMzMzMzsPz0K16NwPQBAw/UoXI/CBcDXo3A9CtcDwHE9Ct"
    "ejcPG/exSuR+F67L+kcD0K16PovzMzMzMzM+O/zczMzMzM3L+4HoXrUbjOvzMzMzMzM8O/uB6F61G4rj/sUbgehevBP2ZmZmZmZtY/j8L1KFyP"
    "4j8K16NwPQrnP/YoXI/C9eg/pHA9Ctej9D8AAAAAAAD4P9ejcD0K1/s/KVyPwvUo9L+4HoXrUbjuvylcj8L1KMy/UrgehetR4D97FK5H4XrsP4"
    "/C9ShcjwBAH4XrUbgeCcAUrkfhehT6v+F6FK5H4fa/9ihcj8L18L+PwvUoXI/qv3sUrkfhetS/mpmZmZmZyb8AAAAAAAAAgLgehetRuM4/9ihc"
    "j8L12D97FK5H4XrsP4/C9Shcj/I/ZmZmZmZm9j8UrkfhehTuv83MzMzMzOS/MzMzMzMzw7/sUbgeheuxP4/C9Shcj+I/AAAAAAAA8D8zMzMzMz"
    "P7Pw=="
)
SHARES = np.linspace(0.001, 0.999, 333)


def orders() -> dict[str, np.ndarray]:
    """Rows in orders that are hard for a sketch."""
    random = np.random.default_rng(5).normal(size=ROWS)
    alternating = np.where(np.arange(ROWS) % 2, 1.0, -1.0) / (1 + np.arange(ROWS))
    return {
        "drawn": random,
        "sorted": np.sort(random),
        "reversed": np.sort(random)[::-1],
        "constant blocks": np.repeat(np.arange(ROWS // 10_000, dtype=float), 10_000),
        "narrowing": alternating,
        "repeating": np.arange(ROWS) % 1000.0,
        "few values": np.random.default_rng(6).integers(0, 3, ROWS).astype(float),
        "heavy tails": np.random.default_rng(7).standard_cauchy(ROWS),
    }


def sketch(values: np.ndarray, block: int) -> Quantiles:
    result = Quantiles()
    for start in range(0, len(values), block):
        result.merge(Quantiles.of(np.sort(values[start : start + block])))
    return result


def rank_error(result: Quantiles, values: np.ndarray) -> float:
    """The largest difference of a rank from the true one, as a share of the rows."""
    ordered = np.sort(values)
    edges = ordered[np.linspace(0, len(ordered) - 1, 1000).astype(int)]
    return float(np.abs(result.below(edges) - np.searchsorted(ordered, edges, side="right")).max() / len(ordered))


@pytest.mark.parametrize("block", [777, 10_000, 131_072])
@pytest.mark.parametrize("order", list(orders()))
def test_ranks_are_within_the_stated_error_in_orders_that_are_hard(order: str, block: int) -> None:
    values = orders()[order]
    result = sketch(values, block)
    assert rank_error(result, values) < 0.002
    ordered = np.sort(values)
    at = result.at(list(SHARES))
    low, high = (np.searchsorted(ordered, at, side=side) / ROWS for side in ("left", "right"))
    assert (low <= SHARES + 0.002).all()
    assert (high >= SHARES - 0.002).all()
    assert sum(map(len, result.levels)) <= ROOM
    assert sum(len(items) << level for level, items in enumerate(result.levels)) == ROWS == result.rows


def test_blocks_of_very_different_sizes_weigh_as_many_rows_as_they_have() -> None:
    rng = np.random.default_rng(8)
    sizes = [1, 5, 200_000, 3, 4096, 4097, 17, 60_000, 2, 100_000] + [7] * 500
    blocks = [rng.normal(loc=number % 7, size=size) for number, size in enumerate(sizes)]
    result = Quantiles()
    for block in blocks:
        result.merge(Quantiles.of(np.sort(block)))
    assert rank_error(result, np.concatenate(blocks)) < 0.002


def test_merges_of_merges_stay_within_the_stated_error() -> None:
    values = orders()["drawn"]
    for groups in (2, 30):
        result = Quantiles()
        for group in np.array_split(values, groups):
            result.merge(sketch(group, 5_000))
        assert rank_error(result, values) < 0.002


def test_few_rows_are_exact() -> None:
    values = np.random.default_rng(9).normal(size=ROOM)
    result = sketch(values, SAMPLE)
    ordered = np.sort(values)
    np.testing.assert_array_equal(result.at(list(SHARES)), ordered[np.floor(SHARES * len(values)).astype(int)])
    assert rank_error(result, values) == 0


def test_the_same_rows_give_the_same_quantiles_to_the_bit() -> None:
    values = orders()["heavy tails"]
    one, other = sketch(values, 20_000), sketch(values, 20_000)
    np.testing.assert_array_equal(one.at(list(SHARES)), other.at(list(SHARES)))
    again = Quantiles.from_json(json.loads(json.dumps(one.to_json())))
    rest = sketch(np.arange(50_000.0), 20_000)
    one.merge(rest)
    again.merge(rest)
    np.testing.assert_array_equal(one.at(list(SHARES)), again.at(list(SHARES)))


def test_without_rows_there_is_no_quantile() -> None:
    assert np.isnan(Quantiles().at([0.0, 0.5, 1.0])).all()
    assert Quantiles.from_json(None).rows == 0


EARLIER = {
    0: ("AgEPAUAGCAA=", [np.nan] * 3),
    1: ("AgIPBEAGCABmZmZmZmbWPw==", [0.35, 0.35, 0.35]),
    3: (
        "BQEPAEAGCAADAAAAAAAAAEAGAQA9BgAAexSuR+F6BMBSuB6F61EAQOF6FK5H4do/exSuR+F6BMBSuB6F61EAQA==",
        [-2.56, 0.42, 2.04],
    ),
    2000: (LONG, [-1.43, 0.0, 1.4]),
}
"""Sketches that datasketches 5.2.0 made of so many rows, and its quantiles .1, .5 and .9."""


@pytest.mark.parametrize("rows", list(EARLIER))
def test_sketches_of_versions_before_are_read_and_can_be_merged(rows: int) -> None:
    text, quantiles = EARLIER[rows]
    result = Quantiles.from_json(text)
    assert result.rows == rows
    np.testing.assert_array_equal(result.at([0.1, 0.5, 0.9]), quantiles)
    result.merge(Quantiles.of(np.linspace(-3, 3, 100)))
    assert result.below([np.inf])[0] == result.rows == rows + 100
