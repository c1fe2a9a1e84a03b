"""A made-up table of any length for the benchmarks of data: ten numbers with nulls, five categories of up to 20,000 values, a class.

Written by row groups of a million rows, the same on every machine, kept below `data/bench/`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.samples import FOLDER

GROUP = 1_000_000
NUMBERS = tuple(f"x{i}" for i in range(10))
CATEGORIES = {"c0": 4, "c1": 20, "c2": 300, "c3": 5_000, "c4": 20_000}
TARGET = "y"
SCHEMA = pa.schema(
    [(name, pa.float64()) for name in NUMBERS] + [(name, pa.string()) for name in CATEGORIES] + [(TARGET, pa.string())]
)


def many_rows(rows: int, folder: Path = FOLDER) -> Path:
    """The file of ``rows`` rows, written where there is none yet."""
    path = folder / f"many-{rows}.parquet"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with pq.ParquetWriter(partial, SCHEMA) as writer:
        for number, start in enumerate(range(0, rows, GROUP)):
            writer.write_batch(rows_of_group(number, min(GROUP, rows - start)))
    partial.rename(path)
    return path


def rows_of_group(number: int, rows: int) -> pa.RecordBatch:
    """Rows whose class depends on two of the numbers and one of the categories; a twentieth of the numbers is null."""
    random = np.random.default_rng([number, 20])
    numbers = [random.normal(size=rows) * 10.0**i for i in range(len(NUMBERS) // 2)]
    numbers += [np.round(random.lognormal(3.0, 1.0, rows), 2) for _ in range(len(NUMBERS) - len(numbers))]
    codes = {name: (count * random.random(rows) ** 2).astype(np.int32) for name, count in CATEGORIES.items()}
    logit = numbers[0] + 0.02 * (numbers[5] - 33.0) + (codes["c1"] < 3) - 0.5
    target = random.random(rows) < 1 / (1 + np.exp(-logit))
    columns = [pa.array(values, mask=random.random(rows) < 0.05) for values in numbers]
    columns += [
        pa.DictionaryArray.from_arrays(codes[name], [f"{name}-{i}" for i in range(count)]).cast(pa.string())
        for name, count in CATEGORIES.items()
    ]
    columns.append(pa.DictionaryArray.from_arrays(target.astype(np.int32), ["no", "yes"]).cast(pa.string()))
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
