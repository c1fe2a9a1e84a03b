"""What `init` tells people of a table beside its decisions."""

from __future__ import annotations

import re

import pandas as pd
import pyarrow as pa

from headway.columns import column_type
from headway.columns.recognition import numbers
from headway.data.canonical import canonical
from headway.draft.plan import Plan, moments_of
from headway.tasks import target_task

FEW_ROWS, RARE_CLASS = 50, 10
"""What users are warned of: tables, and classes, of fewer rows."""


def classes_of(values: pd.Series) -> pd.Series:
    """The target's values, each in its one spelling: 1 and 1.0 are one class."""
    try:
        column = pa.Array.from_pandas(values)
    except pa.ArrowException:  # values of several types
        return values.astype(str).where(values.notna())
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    batch = pa.RecordBatch.from_arrays([column], names=["y"])
    return canonical(batch, {"y": "categorical"}, "the target").column("y").to_pandas()


def about_few(plan: Plan, values: pd.Series) -> list[str]:
    """What cannot be known from a few rows, or of a class with a few. ``values``: of the target, classes in their one spelling."""
    rows = int(values.notna().sum())
    if rows < FEW_ROWS:
        about = f"about {max(1, rows // 5)} of them are the test"
        return [f"only {rows} rows with a target: {about}, too few to measure the quality of a model"]
    counts = values.value_counts()
    rare = counts[counts < RARE_CLASS]
    if not target_task(plan.task).has_classes or not len(rare):
        return []
    what = f"{len(rare)} of {len(counts)} classes have fewer than {RARE_CLASS} rows"
    return [
        f"{what}, such as {rare.index[-1]} with {rare.iloc[-1]}: they can hardly be learnt, and their quality cannot be measured"
    ]


def about_numbers_as_classes(plan: Plan, classes: pd.Series) -> list[str]:
    """A question about more than two classes that are whole numbers: counts and grades have an order, and codes have none."""
    values = pd.to_numeric(classes.dropna().astype(str), errors="coerce")
    if values.nunique() <= 2 or values.isna().any():
        return []
    return [
        f"question: do the numbers of {plan.target} count, measure or grade something? They are read as {values.nunique()} classes "
        "without an order; if a prediction between two of them makes sense: --set task=regression"
    ]


_WEIGHT = re.compile(
    r"((sample|sampling|survey|case|row|instance|obs(ervation)?|person|household|design|final|inverse|expansion|prob(ability)?)[_\W]?)?"
    r"(weights?|wt|wgt)|fnlwgt|pweights?",
    re.IGNORECASE,
)
"""Names of columns that often say how much each row counts."""


def about_weights(plan: Plan, frame: pd.DataFrame) -> list[str]:
    """A question about a column whose name is that of weights, where its numbers may be."""
    names = [name for name, kind in plan.features.items() if _WEIGHT.fullmatch(name) and column_type(kind).adds_up]
    fine = [name for name in names if (values := numbers(frame[name])).notna().all() and (values >= 0).all()]
    return [
        f"question: does {name} say how much each row counts? It is read as a feature; if it does: --set data.weight={name}"
        for name in (fine if plan.weight is None else [])[:1]
    ]


def about_spelling(target: str, classes: pd.Series) -> list[str]:
    """A question about classes that differ only by a full stop at the end, as those of the test file of Adult do."""
    spellings = sorted(map(str, classes.dropna().unique()))
    pairs = [(one, f"{one}.") for one in spellings if f"{one}." in spellings]
    return [
        f"question: are {one} and {other} one class of {target}? They are read as two; if they are one, correct the files"
        for one, other in pairs[:1]
    ]


def about_parts(plan: Plan) -> list[str]:
    """Which rows are the test, where the data says so."""
    if plan.part is not None:
        return [
            f"split: by the column {plan.part}, which says train and test; split.by: stratified draws rows at random instead"
        ]
    if plan.test_files is not None:
        return [
            f"split: the files {plan.test_files} are the test, by their names; split.by: stratified draws rows of all files instead"
        ]
    return []


def about_time(plan: Plan) -> list[str]:
    """What people should know where rows have a time."""
    series, dates = plan.series, moments_of(plan)
    if series is None and plan.split:
        return []
    if series is None:
        return [f"rows have a time, {dates[0]}: if the model is to predict the future, split by it"] if dates else []
    of = f" of each {' and '.join(series.groups)}" if series.groups else ""
    notes = [
        f"rows are a time series{of} in steps of {series.step} ({series.moment}): the newest rows are the test, "
        "and naive forecasts are among the baselines"
    ]
    config = series.config
    lags = ", ".join(map(str, config.usual_lags))
    notes.append(f"features of each row: {plan.target} {lags} steps before, and statistics of its newest known values")
    if series.late:
        names = ", ".join(series.late[:3]) + (" ..." if len(series.late) > 3 else "")
        notes.append(
            f"{names}: read {config.span(config.horizon)} before, because its newest value is not known when {plan.target} "
            "is forecast; list columns that are known in advance in data.series.known"
        )
    return notes
