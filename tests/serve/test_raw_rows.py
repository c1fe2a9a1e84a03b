"""Rows as a user reads them become what training saw: no skew from how a file was read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headway.columns.config import PrepareConfig
from headway.data.config import DataConfig, SplitConfig
from headway.data.opening import open_table
from headway.data.split import Division, assign
from headway.data.storing import make_store
from headway.errors import DataError
from headway.models.mlp import MLP
from headway.serve.bundle import Predictor


def test_a_csv_read_by_pandas_is_prepared_as_in_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = 500
    numbers = [f"{x:.3f}" if x > -1 else "?" for x in rng.normal(size=rows)]
    words = rng.choice(["Private", "State gov", "?", "true"], rows)
    truths = rng.choice(["True", "False"], rows)
    target = rng.choice(["yes", "no"], rows)
    lines = [", ".join(values) for values in zip(numbers, words, truths, target, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["n, w, t, y", *lines]) + "\n")
    features = {"n": "numeric", "w": "categorical", "t": "categorical"}
    csv = {"strip": True, "null_values": ["?"]}
    data = DataConfig.parse({"source": "rows.csv", "target": "y", "features": features, "csv": csv}, "data")
    table = open_table(data, "classification", tmp_path)
    split = SplitConfig()
    store, _ = make_store(tmp_path / "prepared", Division(table, split), data, PrepareConfig())
    preparation = store.preparation
    truth = [preparation.apply(chunk.batch) for chunk in table.chunks()]
    predictor = Predictor(preparation, preparation.inputs(), None)  # pyrefly: ignore

    ways: list[dict[str, Any]] = [
        {},
        {"skipinitialspace": True},
        {"dtype": str},
        {"skipinitialspace": True, "na_values": "?"},
    ]
    for options in ways:
        frame = pd.read_csv(tmp_path / "rows.csv", **options).rename(columns=str.strip)
        arrays = preparation.apply(predictor.canonical(frame))
        for name in ("numeric", "categorical"):
            np.testing.assert_array_equal(
                arrays[name],
                np.concatenate([e[name] for e in truth]),
                err_msg=str(options),
            )


def test_rows_of_which_most_are_unknown_are_warned_of(tmp_path: Path) -> None:
    table = pd.DataFrame({"c": ["a", "b"] * 50, "y": ["yes", "no"] * 50, "id": range(100)})
    table.to_parquet(tmp_path / "rows.parquet")
    settings = {"source": "rows.parquet", "target": "y", "features": {"c": "categorical"}}
    with pytest.raises(
        DataError, match="equal rows stay together, and 2 are different; name the columns that identify a row"
    ):
        assign(open_table(DataConfig.parse(settings, "data"), "classification", tmp_path), SplitConfig())
    data = DataConfig.parse({**settings, "keys": ["id"]}, "data")
    opened, split = open_table(data, "classification", tmp_path), SplitConfig()
    store, _ = make_store(tmp_path / "prepared", Division(opened, split), data, PrepareConfig())
    inputs = store.preparation.inputs()
    predictor = Predictor(store.preparation, inputs, MLP(width=4, depth=1).build(inputs))
    predictor.answer(pd.DataFrame({"c": ["a", "b", "z"] * 10}), {})
    with pytest.warns(UserWarning, match="most values of c are not in the training data, for example 'A'"):
        predictor.answer(pd.DataFrame({"c": ["A", "B", "a"] * 10}), {})
