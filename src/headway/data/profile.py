"""A summary of each column from one streaming pass; summaries of parts can be merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headway.columns import Kind, column_type
from headway.columns.summary import Summary
from headway.data.passes import run

if TYPE_CHECKING:
    from headway.data.source import Chunk, Table


WIDE = 1000
"""Columns of more than this are kept as an outline."""

_MERGED_BY = ("heavy", "hashes", "sketch")


@dataclass(frozen=True)
class Profile:
    """All columns of a table."""

    rows: int
    columns: dict[str, Summary]

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {"rows": self.rows, "columns": {name: column.to_json() for name, column in self.columns.items()}}

    @property
    def is_wide(self) -> bool:
        """Whether its JSON would be too large to be looked at: of 20,000 columns, 400 MB."""
        return len(self.columns) > WIDE

    def outline(self) -> dict[str, object]:
        """As people read it: each column's tenths, and not what profiles are merged by, which takes 20 kB a column."""
        columns = {name: _outline(column) for name, column in self.columns.items()}
        return {"rows": self.rows, "outline": True, "columns": columns}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Profile:
        """What to_json gave."""
        return cls(values["rows"], {name: read_summary(column) for name, column in values["columns"].items()})


def _outline(column: Summary) -> dict[str, object]:
    values = {key: value for key, value in column.to_json().items() if key not in _MERGED_BY}
    edges, _ = column.bins(10, 0)
    return {**values, "tenths": list(edges)} if edges else values


def read_summary(values: Mapping[str, Any]) -> Summary:
    """A column's summary from what its to_json gave."""
    return column_type(values["kind"]).summary_class.from_json(values)


class Profiler:
    """Builds a profile from batches, or from other profiles of the same columns; a `Pass` over a table."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._columns = {name: column_type(kind).summary(name) for name, kind in kinds.items()}
        self._rows = 0

    def apart(self, batch: pa.RecordBatch) -> Profile:
        """The profile of these rows alone, to be merged; canonical types. Any thread may call it, at any time."""
        return Profile(
            batch.num_rows, {name: column.apart(batch.column(name)) for name, column in self._columns.items()}
        )

    def columns_of(self, file: int) -> Sequence[str]:
        """All of its columns, of every file."""
        del file
        return list(self._columns)

    def block(self, chunk: Chunk) -> Profile:
        """The profile of a block of a table."""
        return Profile(chunk.rows, {name: column.apart(chunk.coded(name)) for name, column in self._columns.items()})

    def add(self, partial: Profile) -> None:
        """Add what `block` returned."""
        self.merge(partial)

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows, canonical types."""
        self.merge(self.apart(batch))

    def merge(self, other: Profiler | Profile) -> None:
        """Add the rows of another profile."""
        profile = other.profile() if isinstance(other, Profiler) else other
        self._rows += profile.rows
        for name, column in self._columns.items():
            column.merge(profile.columns[name])

    def profile(self) -> Profile:
        """The profile of the rows so far."""
        return Profile(self._rows, self._columns)


def kinds_of(table: Table) -> dict[str, Kind]:
    """Every feature's kind, and the target's where there is one."""
    return {**table.kinds, **table.target_kinds}


def profile_table(table: Table) -> Profile:
    """The features and the target of the whole table, in one pass, by all cores."""
    profiler = Profiler(kinds_of(table))
    run(table, [profiler])
    return profiler.profile()
