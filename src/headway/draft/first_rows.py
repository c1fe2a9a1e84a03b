"""The first rows of a table, as its layout says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

import pandas as pd
import pyarrow as pa

from headway.config import suggest
from headway.data.config import CsvOptions
from headway.data.formats import read_batches, read_schema
from headway.draft.layout import Layout
from headway.errors import DataError

SAMPLE = 100_000


def check_one_table(files: list[str], layout: Layout) -> None:
    """Raises DataError when a column name occurs twice, or when the files are not of one table."""
    first: set[str] | None = None
    for file in files:
        names = read_schema(file, layout.form, CsvOptions.parse(layout.csv, "csv")).names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(
                f"{PurePath(file).name}: column names must differ, but {', '.join(twice)} occurs more than once"
            )
        if first is not None and set(names) != first:
            other, odd = PurePath(files[0]).name, ", ".join(sorted(set(names) ^ first)[:3])
            fact = f"{PurePath(file).name} and {other} differ in {odd}"
            raise DataError(f"the files must be of one table, but {fact}; give --data one of them")
        first = set(names)


def read_first(files: list[str], layout: Layout) -> pd.DataFrame:
    """The first rows of every file, columns as objects: texts, numbers, dates as the format gives them."""

    def batches() -> Iterator[pa.RecordBatch]:
        for file in files:
            rest = max(1, SAMPLE // len(files))
            for batch in read_batches(file, layout.form, CsvOptions.parse(layout.csv, "csv"), None, rest):
                yield batch.slice(0, rest)
                rest -= batch.num_rows
                if rest <= 0:
                    break

    frames = [batch.to_pandas(date_as_object=False) for batch in batches()]
    if not frames or not sum(len(f) for f in frames):
        raise DataError(f"the data must have rows, but {PurePath(files[0]).name} has none")
    return pd.concat(frames, ignore_index=True)


def no_column(target: str, names: list[str], layout: Layout, frame: pd.DataFrame) -> str:
    """The message for a target that is no column."""
    if "column_names" in layout.csv:
        examples = ", ".join(f"{name} ({', '.join(frame[name].head(2).astype(str))}, ...)" for name in names[:6])
        fix = "name them with --header a,b,c, or set the line of names with --header N"
        return (
            f"--target must be a column, but the file seems to have no line of names: the columns are {examples}; {fix}"
        )
    several = target.split(",")
    if len(several) > 1 and set(several) <= set(names):
        return f"--target must be one column, but is {len(several)}: {target}; draft a project for each"
    fix = "" if layout.form != "csv" else "; --header N sets the line of names, --delimiter the character between them"
    return f"--target must be a column, but {target} is none{suggest(target, names)}{fix if len(names) < 2 else ''}"
