"""Ranks and counts of streams against sorted arrays and pandas, whatever the order and the blocks."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.columns import counts as counts_module
from headway.columns.counts import Counts, counts_of
from headway.columns.spread import Spread

SHARES = [0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0]


def spread_of(values: np.ndarray, block: int) -> Spread:
    whole = Spread()
    for at in range(0, len(values), block):
        whole.merge(Spread.of(pa.array(values[at : at + block], from_pandas=True)))
    return whole


ORDERS = {
    "random": lambda x: x,
    "sorted": np.sort,
    "reversed": lambda x: np.sort(x)[::-1],
    "constant blocks": lambda x: np.sort(x)[np.arange(len(x)) // 5000 * 5000 % len(x)],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("block", [977, 70_001])
def test_ranks_are_within_the_stated_error_of_a_sorted_array(order: str, block: int) -> None:
    values = ORDERS[order](np.random.default_rng(1).lognormal(size=300_000))
    spread, ordered = spread_of(values, block), np.sort(values)
    for share, value in zip(SHARES, spread.quantiles(SHARES), strict=True):
        low, high = (np.searchsorted(ordered, value, side=side) / len(values) for side in ("left", "right"))
        assert low - 0.002 <= share <= high + 0.002
    assert (spread.low, spread.high) == (ordered[0], ordered[-1])
    np.testing.assert_allclose([spread.mean, spread.std], [values.mean(), values.std()], rtol=1e-12)


def test_a_few_values_are_ranked_exactly_and_nulls_and_infinities_are_left_out() -> None:
    values = np.array([3.0, np.nan, 1.0, np.inf, 2.0, -np.inf, 4.0])
    spread = Spread.of(pa.array(values, from_pandas=True))
    assert (spread.rows, spread.nulls, spread.count) == (7, 1, 4)
    assert spread.quantiles([0.0, 0.5, 1.0]).tolist() == [1.0, 3.0, 4.0]
    assert np.isnan(Spread.of(pa.nulls(3, pa.float64())).ranks.at([0.5])).all()


def test_a_spread_kept_as_json_goes_on_as_if_it_had_not_been() -> None:
    values = np.random.default_rng(3).normal(size=150_000)
    whole, part = spread_of(values, 20_000), spread_of(values[:100_000], 20_000)
    part = Spread.from_json(json.loads(json.dumps(part.to_json())))
    for at in range(100_000, 150_000, 20_000):
        part.merge(Spread.of(pa.array(values[at : at + 20_000])))
    assert part.quantiles(SHARES).tolist() == whole.quantiles(SHARES).tolist()
    assert (part.mean, part.squares) == (whole.mean, whole.squares)


def test_counts_are_pandas_own_with_ties_by_name() -> None:
    texts = pd.Series(np.random.default_rng(4).zipf(1.3, 50_000) % 30_000).astype(str)
    texts[::11] = None
    counts = Counts()
    for at in range(0, len(texts), 3000):
        counts.add(counts_of(pa.array(texts[at : at + 3000], pa.string())))
    truth = texts.value_counts().rename_axis("value").reset_index(name="n")
    truth = truth[truth["n"] >= 3].sort_values(["n", "value"], ascending=[False, True])
    assert counts.most_common(3, 500) == truth["value"].head(500).tolist()
    whole = counts.whole().to_pandas().set_index("value")["count"]
    assert whole.to_dict() == texts.value_counts().to_dict()


def test_of_too_many_values_the_frequent_ones_stay_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts_module, "MOST", 20_000)
    monkeypatch.setattr(counts_module, "WAITING", 5_000)
    counts, often = Counts(), np.array([f"often {i}" for i in range(50)])
    for block in range(40):
        texts = np.concatenate([np.repeat(often, 20), [f"{block} {i}" for i in range(2_000)]])
        counts.add(counts_of(pa.array(texts)))
    assert counts.whole().num_rows <= 20_000
    assert counts.most_common(800, 100) == sorted(often.tolist())
