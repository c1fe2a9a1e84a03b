"""Columns that files do not have: the texts of several others with a space between them, as of year, month, day and hour a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.spelling import texts_of
from headway.columns.values import plain
from headway.columns.written import Written
from headway.errors import DataError


@dataclass(frozen=True)
class Composition:
    """``columns``: each with those that it is made of. ``missing``: the words for null; a value of which a part is null is null."""

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @classmethod
    def of(cls, written: Mapping[str, Written], missing: Sequence[str]) -> Composition:
        """What `data.written` says."""
        return cls({name: one.columns for name, one in written.items() if one.columns}, tuple(missing))

    def sources(self, names: Sequence[str]) -> list[str]:
        """The columns of files that these are read from."""
        return list(dict.fromkeys(source for name in names for source in self.columns.get(name, (name,))))

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """A file's columns and those that can be made of them."""
        return pa.schema([*schema, *(pa.field(name, pa.string()) for name in self._of(schema.names))])

    def extended(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows with the columns that can be made of theirs. A column that they have stays."""
        for name, sources in self._of(batch.schema.names).items():
            texts = [self._texts(batch.column(source), source) for source in sources]
            batch = batch.append_column(name, pc.binary_join_element_wise(*texts, " "))
        return batch

    def _of(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        if not self.columns:
            return {}
        have = set(names)
        return {name: some for name, some in self.columns.items() if name not in have and have.issuperset(some)}

    def _texts(self, column: pa.Array, name: str) -> pa.Array:
        """The text of each value, without spaces around it and without the .0 of a whole number."""
        column = plain(column)
        texts = column if pa.types.is_string(column.type) else texts_of(column)
        if texts is None:
            raise DataError(f"column {name} must hold texts, numbers, dates or times, but it holds {column.type}")
        texts = pc.replace_substring_regex(pc.utf8_trim_whitespace(texts), r"^([0-9]+)\.0$", r"\1")
        is_missing = pc.is_in(texts, value_set=pa.array(["", *self.missing], pa.string()))
        return pc.if_else(is_missing, pa.scalar(None, pa.string()), texts)
