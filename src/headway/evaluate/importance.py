"""Permutation importance: how much worse the metric is where one column's values come from other rows.

Breiman 2001, "Random Forests", section 10; Fisher, Rudin and Dominici 2019 (arXiv:1801.01489). A whole column of the table is shuffled,
with all that it becomes. The interval is the paired bootstrap of the difference, over the same units as every other interval: a shuffled
value is a draw of its row, so that the interval covers the luck of shuffling, too. Two columns that say the same stand in for each
other: each alone may then add nothing.

Shapes: N rows, R shuffles.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headway.evaluate.metrics import METRICS, deciding_units, number_text, title_of
from headway.evaluate.resample import Bootstrap, Units, interval
from headway.evaluate.result import ColumnImportance, Importance
from headway.files.atomic import write_atomically
from headway.files.records import Record
from headway.tasks.metric import Combined, mean_of_all

MOST_SHUFFLES = 5
"""Of few rows each column is shuffled so often, until as many rows are predicted as are stated."""

RESAMPLES = 200
"""Five draws lie beyond either end."""

RESAMPLED_SECONDS = 6e-6
"""Processor time of a column's interval, a row; that of predicting the row comes on top."""

NAMED = 5
"""Columns that a sentence names."""

Shuffled = Callable[[str, np.ndarray], np.ndarray]
"""The predictions (N, ...) with a column's values taken from the rows of these numbers (N,)."""


@dataclass(frozen=True)
class ImportanceRequest(Record):
    """The metric that decides, and how many test rows at most."""

    metric: str
    rows: int


def orders_of(rows: int, most: int, seed: int = 0) -> np.ndarray:
    """(R, N) shuffled row numbers, the same for every column."""
    rng = np.random.default_rng([seed, 5])
    shuffles = int(np.clip(most // max(rows, 1), 1, MOST_SHUFFLES))
    return np.stack([rng.permutation(rows) for _ in range(shuffles)])


def permutation_importance(
    metric: str,
    target: np.ndarray,
    prediction: np.ndarray,
    shuffled: Shuffled,
    columns: Sequence[str],
    units: Units,
    orders: np.ndarray,
    of_rows: int,
    seed: int = 0,
) -> Importance | None:
    """Of each of the ``columns``, the largest first; None where the metric is not defined on these rows.

    ``orders`` (R, N): the row numbers from which values are taken. ``of_rows``: how many test rows there are.
    """
    definition = METRICS[metric]
    sign = 1.0 if definition.higher_is_better else -1.0
    statistics = {"": definition.resampled(target, prediction, {})}
    for column in columns:
        statistics[f"of {column}"] = Combined(
            [definition.resampled(target, shuffled(column, order), {}) for order in orders], mean_of_all
        )
    # As scikit-learn's values, without its import, which takes two seconds of the process that predicts.
    values = {name: float(statistic(np.ones((1, len(target))))[0]) for name, statistic in statistics.items()}
    if not np.isfinite(values[""]):
        return None
    draws = Bootstrap(units, RESAMPLES, seed).draws(statistics, values)
    deciding = deciding_units(metric, target, prediction, units)
    measured = [
        ColumnImportance(
            column,
            sign * (values[""] - values[f"of {column}"]),
            *interval(sign * (draws[""] - draws[f"of {column}"]), deciding),
        )
        for column in columns
    ]
    measured.sort(key=lambda one: -one.value)
    text = _sentence(title_of(metric), measured, len(target), of_rows)
    return Importance(metric, len(target), len(orders), tuple(measured), text)


def _sentence(title: str, measured: Sequence[ColumnImportance], rows: int, of_rows: int) -> str:
    """What drives the model, and which columns have no measurable effect."""
    driving = [one for one in measured if one.is_measurable]
    rest = [one.column for one in measured if not one.is_measurable]
    some = f" on {rows:,} of {of_rows:,} test rows" if rows < of_rows else ""
    if not driving:
        return f"what drives it: no column by itself; none changes {title} measurably when it is shuffled{some}"
    names = ", ".join(one.column for one in driving[:NAMED])
    losses = ", ".join(number_text(one.value, one.value) for one in driving[:NAMED])
    text = f"what drives it: {names} ({title} worse by {losses} when {'it is' if len(driving) == 1 else 'each is'} shuffled{some})"
    if rest:
        more = f" and {len(rest) - NAMED} more" if len(rest) > NAMED else ""
        text += f"; no measurable effect of {', '.join(rest[:NAMED])}{more}"
    return text


def write_table(path: Path, importance: Importance) -> None:
    """As CSV, which MLflow's page shows as a table."""
    lines = io.StringIO()
    out = csv.writer(lines, lineterminator="\n")
    out.writerow(["column", f"{importance.metric}_worse_by", "low", "high", "measurable"])
    for one in importance.columns:
        out.writerow([one.column, one.value, one.low, one.high, "yes" if one.is_measurable else "no"])
    write_atomically(path, lines.getvalue())
