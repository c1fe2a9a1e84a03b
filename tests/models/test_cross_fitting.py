"""Rows that are dealt into parts: equal ones together, and none where few rows differ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from headway.models.cross_fitting import dealt_parts


def test_equal_rows_are_in_one_part_and_parts_are_of_about_one_size() -> None:
    numeric = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    categorical = np.arange(200, dtype=np.int32)[:, None] % 4
    rows = {
        name: np.concatenate([array, array, array[:50]])
        for name, array in {"numeric": numeric, "categorical": categorical}.items()
    }
    parts, others = (dealt_parts(rows, 5, seed=seed) for seed in (0, 1))
    assert parts is not None
    assert others is not None
    assert (parts[:200] == parts[200:400]).all()
    assert (parts[:50] == parts[400:]).all()
    assert np.bincount(parts[:200]).tolist() == [40] * 5
    assert (others != parts).any()


@pytest.mark.parametrize("distinct", [1, 2, 60])
def test_rows_of_few_kinds_are_not_dealt(distinct: int) -> None:
    rows = {
        "numeric": (np.arange(2000) % distinct).astype(np.float32)[:, None],
        "categorical": np.empty((2000, 0), np.int32),
    }
    assert dealt_parts(rows, 5, seed=0) is None


def test_rows_that_are_mostly_equal_are_not_dealt() -> None:
    numbers = np.where(np.arange(2000) < 1200, 0, np.arange(2000)).astype(np.float32)
    assert dealt_parts({"numeric": numbers[:, None], "categorical": np.empty((2000, 0), np.int32)}, 5, seed=0) is None


def test_rows_with_equal_texts_are_equal_and_with_other_texts_are_not() -> None:
    rows = {"numeric": np.zeros((600, 1), np.float32), "categorical": np.empty((600, 0), np.int32)}
    assert dealt_parts(rows, 5, seed=0) is None
    texts = sparse.random(300, 1000, 0.01, "csr", np.float32, random_state=0)
    parts = dealt_parts(rows, 5, seed=0, texts=sparse.vstack([texts, texts], format="csr"))
    assert parts is not None
    assert (parts[:300] == parts[300:]).all()
    assert np.bincount(parts).min() > 100
