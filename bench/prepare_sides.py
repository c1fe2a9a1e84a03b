"""The sides of `bench.prepare`, each in a process of its own: `python -m bench.prepare_sides SIDE TABLE FOLDER PARTS`.

All three fit on the training rows and write the same arrays of each part: numbers filled by the median and standardised, each beside a
0/1 column for nulls, and categories as codes by frequency. Prints the seconds without imports, and the peak of the process's memory.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.apart import measured
from bench.many_rows import CATEGORIES, NUMBERS, TARGET

PARTS = ("train", "validation", "test")
FIRST, MOST, LEAST = 2, 1000, 3
"""The code of the most frequent value, the most values that get one, and the fewest rows of one: those of `prepare`."""


def ours(table: Path, folder: Path, parts: Path) -> Callable[[], object]:
    """The stage of `headway run` that prepares: the rows' hashes are there, since the stage before it, validation, kept them; by these
    it divides the rows. ``parts`` is written for the others.
    """
    from headway.columns.config import PrepareConfig
    from headway.data.cache import Cache
    from headway.data.config import DataConfig, SplitConfig
    from headway.data.opening import open_table
    from headway.data.split import Division
    from headway.data.storing import make_store

    kinds = {**dict.fromkeys(NUMBERS, "numeric"), **dict.fromkeys(CATEGORIES, "categorical")}
    data = DataConfig.parse({"source": str(table), "target": TARGET, "features": kinds}, "data")
    cache = Cache(folder / "rows")
    _ = Division(open_table(data, "classification", folder), SplitConfig(), cache=cache).rows

    def work() -> None:
        division = Division(open_table(data, "classification", folder), SplitConfig(), cache=cache)
        store, _ = make_store(folder / "prepared", division, data, PrepareConfig(bins=0))
        if not parts.exists():
            np.save(parts, division.parts)
        (folder / "store").symlink_to(store.path)

    return work


def pandas(table: Path, folder: Path, parts: Path) -> Callable[[], object]:
    """As people write it; it is given the parts."""
    import pandas as pd

    def work() -> None:
        part, frame = np.load(parts), pd.read_parquet(table)
        numbers = frame[list(NUMBERS)]
        train = numbers[part == 0]
        numeric = np.empty((len(frame), 2 * len(NUMBERS)), np.float32)
        numeric[:, 0::2] = (numbers.fillna(train.median()) - train.mean()) / train.std(ddof=0)
        numeric[:, 1::2] = numbers.isna()
        codes = np.empty((len(frame), len(CATEGORIES)), np.int32)
        for i, name in enumerate(CATEGORIES):
            counts = frame.loc[part == 0, name].value_counts().rename_axis("value").reset_index(name="n")
            counts = counts[counts["n"] >= LEAST].sort_values(["n", "value"], ascending=[False, True]).head(MOST)
            places = pd.Series(np.arange(FIRST, FIRST + len(counts)), index=counts["value"])
            codes[:, i] = frame[name].map(places).fillna(0)
        target = (frame[TARGET] == "yes").to_numpy(np.int64)
        for number, name in enumerate(PARTS):
            rows = part == number
            _save(folder / name, numeric=numeric[rows], categorical=codes[rows], target=target[rows])

    return work


def polars(table: Path, folder: Path, parts: Path) -> Callable[[], object]:
    """By its streaming engine; it is given the parts."""
    import polars as pl

    def work() -> None:
        part = pl.LazyFrame({"part": np.load(parts)})
        frame = pl.concat([pl.scan_parquet(table), part], how="horizontal")
        train = frame.filter(pl.col("part") == 0)
        names = list(NUMBERS)
        moments = train.select(
            pl.col(names).median().name.suffix("_fill"),
            pl.col(names).mean().name.suffix("_mean"),
            pl.col(names).std(ddof=0).name.suffix("_std"),
        )
        counts = [
            train.group_by(name).agg(pl.len().alias("n")).filter(pl.col("n") >= LEAST)
            .sort(["n", name], descending=[True, False]).head(MOST)
            for name in CATEGORIES
        ]  # fmt: skip
        first, *values = pl.collect_all([moments, *counts], engine="streaming")
        fit = first.row(0, named=True)
        columns: list[pl.Expr] = []
        for name in names:
            filled = pl.col(name).fill_null(fit[f"{name}_fill"])
            columns.append(((filled - fit[f"{name}_mean"]) / fit[f"{name}_std"]).cast(pl.Float32))
            columns.append(pl.col(name).is_null().cast(pl.Float32).alias(f"{name} missing"))
        for name, one in zip(CATEGORIES, values, strict=True):
            codes = pl.Series(range(FIRST, FIRST + len(one)), dtype=pl.Int32)
            columns.append(pl.col(name).replace_strict(one[name], codes, default=0, return_dtype=pl.Int32))
        columns.append((pl.col(TARGET) == "yes").cast(pl.Int64))
        whole = frame.select("part", *columns).collect(engine="streaming")
        for number, name in enumerate(PARTS):
            rows = whole.filter(pl.col("part") == number)
            numeric = rows.select(whole.columns[1 : 1 + 2 * len(names)]).to_numpy()
            _save(
                folder / name,
                numeric=numeric,
                categorical=rows.select(list(CATEGORIES)).to_numpy(),
                target=rows[TARGET].to_numpy(),
            )

    return work


def _save(folder: Path, **arrays: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(values))


def main(side: str, table: str, folder: str, parts: str) -> None:
    """Empty the folder, work, and say how long it took and how much memory it needed."""
    out = Path(folder)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    work = {"ours": ours, "pandas": pandas, "polars": polars}[side](Path(table), out, Path(parts))
    measured(work)


if __name__ == "__main__":
    main(*sys.argv[1:])
