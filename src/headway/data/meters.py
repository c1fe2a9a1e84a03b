"""What metrics are computed from, each measured once a table: ends, moments, the rows that break a condition.

A meter measures some rows apart, by any thread, and adds the results in the rows' order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.moments import merged
from headway.data.cache import as_text, of_text
from headway.data.chunks import Chunk
from headway.data.conditions import measurable, plain_number, rows_at_stake, violations

EXAMPLES = 5
"""So many of the rows that break a condition are kept."""


class Column:
    """One column of some rows. What several meters ask of it is computed once."""

    def __init__(self, chunk: Chunk, name: str) -> None:
        self._chunk, self._name = chunk, name

    @cached_property
    def array(self) -> pa.Array:
        """The values; NaN is a missing value."""
        array = measurable(self._chunk.column(self._name))
        if pa.types.is_floating(array.type) and pc.any(pc.is_nan(array)).as_py():
            return pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
        return array

    @cached_property
    def coded(self) -> pa.Array:
        """Texts as codes, on which a condition costs no more than on their different values; other values as they are."""
        column = self._chunk.coded(self._name)
        return column if pa.types.is_dictionary(column.type) else self.array

    @property
    def type(self) -> pa.DataType:
        """That of the values."""
        kind = self.coded.type
        return kind.value_type if pa.types.is_dictionary(kind) else kind

    @cached_property
    def ends(self) -> tuple[Any, Any]:
        """The least and the greatest value; nothing where all are missing."""
        ends = pc.min_max(self.coded.dictionary if pa.types.is_dictionary(self.coded.type) else self.array)
        return plain_number(ends["min"].as_py()), plain_number(ends["max"].as_py())


class Columns:
    """The columns of some rows, by name."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._columns: dict[str, Column] = {}

    @property
    def start(self) -> int:
        """The number of the first row."""
        return self._chunk.start

    def __getitem__(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = Column(self._chunk, name)
        return self._columns[name]


class Meter(ABC):
    """Measures something of some columns."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns

    @abstractmethod
    def measure(self, columns: Columns) -> Any:
        """What some rows come to; leaves the meter as it is."""

    @abstractmethod
    def add(self, partial: Any) -> None:
        """Add what ``measure`` returned for the next rows."""

    def to_json(self) -> dict[str, object] | None:
        """What was added so far, as plain values; None where that is too much to keep."""
        return None

    def take(self, values: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Go on from what `to_json` gave, before anything is added."""
        raise AssertionError(f"{type(self).__name__} keeps nothing")


class Ends(Meter):
    """The least and the greatest value."""

    low: Any = None
    high: Any = None

    def measure(self, columns: Columns) -> tuple[Any, Any]:
        """The ends of some rows."""
        return columns[self.columns[0]].ends

    def add(self, partial: tuple[Any, Any]) -> None:
        """Add rows; those without a value change nothing."""
        low, high = partial
        if low is not None:
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)

    def to_json(self) -> dict[str, object]:
        return {"ends": as_text(pa.table({"end": [self.low, self.high]}))}

    def take(self, values: Mapping[str, Any]) -> None:
        self.low, self.high = of_text(values["ends"])["end"].to_pylist()


class Moments(Meter):
    """Sum, mean, standard deviation (the sample's). Infinite where squares are beyond a double, as in numpy."""

    n, sum, _mean, _squares = 0, 0.0, 0.0, 0.0

    def measure(self, columns: Columns) -> tuple[int, float, float, float]:
        """Count, sum, mean, sum of squares about the mean."""
        array = columns[self.columns[0]].array.drop_null()
        values = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        if not len(values):
            return 0, 0.0, 0.0, 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            mean = values.mean()
            apart = values - mean
            return len(values), float(values.sum()), float(mean), float(apart @ apart)

    def add(self, partial: tuple[int, float, float, float]) -> None:
        """Add rows."""
        n, total, mean, squares = partial
        if not n:
            return
        self.sum += total
        self.n, self._mean, self._squares = merged((self.n, self._mean, self._squares), (n, mean, squares))

    @property
    def mean(self) -> float | None:
        """None without values. With infinite values it is that of the sum: a difference of infinite means says nothing."""
        if not self.n:
            return None
        return self._mean if np.isfinite(self._mean) else self.sum / self.n

    def to_json(self) -> dict[str, object]:
        return {"n": self.n, "sum": self.sum, "mean": self._mean, "squares": self._squares}

    def take(self, values: Mapping[str, Any]) -> None:
        self.n, self.sum = values["n"], values["sum"]
        self._mean, self._squares = values["mean"], values["squares"]

    @property
    def deviation(self) -> float | None:
        """The sample's standard deviation, which needs two values."""
        return float(np.sqrt(self._squares / (self.n - 1))) if self.n > 1 else None


class Condition(Meter):
    """Counts the rows that break a condition, and keeps the first of them: (row number from 1, value)."""

    def __init__(self, name: str, columns: tuple[str, ...], parameters: Mapping[str, Any]) -> None:
        super().__init__(*columns)
        self.name, self.parameters = name, parameters
        self.count = 0
        self.examples: list[tuple[int, Any]] = []

    def measure(self, columns: Columns) -> tuple[int, list[tuple[int, Any]]]:
        """The count and the first examples of some rows."""
        parts = [columns[name] for name in self.columns]
        if self._holds(parts[0]):
            return 0, []
        mask = violations(self.name, [part.coded if len(parts) == 1 else part.array for part in parts], self.parameters)
        count = pc.sum(mask).as_py() or 0
        rows = np.flatnonzero(mask.to_numpy(zero_copy_only=False))[:EXAMPLES] if count else ()
        return count, [(columns.start + int(row) + 1, self._value(parts, int(row))) for row in rows]

    def _holds(self, column: Column) -> bool:
        """Whether a look at the column's ends, or its number of missing values, tells that every row fulfils the condition."""
        if self.name == "column_values.nonnull":
            return column.coded.null_count == 0
        if self.name != "column_values.between":
            return False
        low, high = column.ends
        kind = pa.float64() if pa.types.is_decimal(column.type) else column.type
        return low is None or violations(self.name, [pa.array([low, high], kind)], self.parameters).true_count == 0

    @staticmethod
    def _value(columns: list[Column], row: int) -> Any:
        values = tuple(column.coded[row].as_py() for column in columns)
        return values[0] if len(values) == 1 else values

    def add(self, partial: tuple[int, list[tuple[int, Any]]]) -> None:
        """Add rows."""
        count, examples = partial
        self.count += count
        self.examples += examples[: EXAMPLES - len(self.examples)]

    def to_json(self) -> dict[str, object]:
        values = [value if isinstance(value, tuple) else (value,) for _, value in self.examples]
        columns = {str(place): list(column) for place, column in enumerate(zip(*values, strict=True))}
        rows = [row for row, _ in self.examples]
        return {"count": self.count, "rows": rows, "values": as_text(pa.table(columns))}

    def take(self, values: Mapping[str, Any]) -> None:
        columns = [column.to_pylist() for column in of_text(values["values"]).columns]
        examples = list(zip(*columns, strict=True)) if len(columns) > 1 else columns[0] if columns else []
        self.count, self.examples = values["count"], list(zip(values["rows"], examples, strict=True))


class AtStake(Meter):
    """Counts the rows of a pair of columns that are not ignored for missing values."""

    def __init__(self, columns: tuple[str, ...], parameters: Mapping[str, Any]) -> None:
        super().__init__(*columns)
        self.parameters = parameters
        self.count = 0

    def measure(self, columns: Columns) -> int:
        """The count of some rows."""
        return rows_at_stake([columns[name].array for name in self.columns], self.parameters)

    def add(self, partial: int) -> None:
        """Add rows."""
        self.count += partial

    def to_json(self) -> dict[str, object]:
        return {"count": self.count}

    def take(self, values: Mapping[str, Any]) -> None:
        self.count = values["count"]
