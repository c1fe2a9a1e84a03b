"""The sides of `bench.profile`, each in a process of its own: `python -m bench.profile_sides SIDE TABLE`.

Prints the seconds without imports, the CPU seconds, the peak of the process's memory, and of each number
mean, smallest, largest, and nulls (of which SUMMARIZE gives a rounded share alone).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from bench.apart import measured
from bench.many_rows import CATEGORIES, NUMBERS, TARGET

Answers = dict[str, list[float]]


def ours(table: Path) -> Callable[[], Answers]:
    """The profile of features and target, as plain values."""
    import pandas as pd

    from headway.data.config import DataConfig
    from headway.data.opening import open_table
    from headway.data.profile import Profile, profile_table

    del pd  # which the profile imports where it hashes
    kinds = {**dict.fromkeys(NUMBERS, "numeric"), **dict.fromkeys(CATEGORIES, "categorical")}
    data = DataConfig.parse({"source": str(table), "target": TARGET, "features": kinds}, "data")

    def work() -> Answers:
        profile: Profile = profile_table(open_table(data, "classification", table.parent))
        profile.to_json()
        columns = profile.columns
        return {name: [getattr(columns[name], key) for key in ("mean", "min", "max", "nulls")] for name in NUMBERS}

    return work


def reading(table: Path) -> Callable[[], Answers]:
    """All columns by pyarrow's threads, a row group at a time; the rows are thrown away."""
    import pyarrow.parquet as pq

    def work() -> Answers:
        for batch in pq.ParquetFile(table).iter_batches(batch_size=131_072, use_threads=True):
            del batch
        return {}

    return work


def duckdb(table: Path) -> Callable[[], Answers]:
    """SUMMARIZE, by all cores."""
    import duckdb

    def work() -> Answers:
        with duckdb.connect() as connection:
            rows = connection.execute(f"SUMMARIZE SELECT * FROM '{table}'").fetchdf().set_index("column_name")
        numbers = rows.loc[list(NUMBERS)]
        return {str(name): [float(row[key]) for key in ("avg", "min", "max")] for name, row in numbers.iterrows()}

    return work


def polars(table: Path) -> Callable[[], Answers]:
    """The same aggregates by the streaming engine."""
    import polars as pl

    aggregates = [
        *(pl.col(NUMBERS).null_count().name.suffix(":nulls"), pl.col(NUMBERS).mean().name.suffix(":mean")),
        *(pl.col(NUMBERS).min().name.suffix(":min"), pl.col(NUMBERS).max().name.suffix(":max")),
        pl.col(NUMBERS).std().name.suffix(":std"),
        *(pl.col(NUMBERS).quantile(share).name.suffix(f":{share}") for share in (0.25, 0.5, 0.75)),
        pl.all().approx_n_unique().name.suffix(":distinct"),
        pl.col([*CATEGORIES, TARGET]).null_count().name.suffix(":nulls"),
    ]

    def work() -> Answers:
        row = pl.scan_parquet(table).select(aggregates).collect(engine="streaming").row(0, named=True)
        return {name: [row[f"{name}:{key}"] for key in ("mean", "min", "max", "nulls")] for name in NUMBERS}

    return work


SIDES = {side.__name__: side for side in (ours, reading, duckdb, polars)}


if __name__ == "__main__":
    measured(SIDES[sys.argv[1]](Path(sys.argv[2])))
