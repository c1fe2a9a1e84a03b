"""Which row is which: a 64-bit hash of what tells a row from others, the same wherever the row lies and for any number of other rows.

Parts of a split follow from it, so that a row does not move when rows are added; a version remembers by it what it learnt from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns import Kind
from headway.columns.mixing import SLICE, spread, spread_in_place
from headway.columns.siphash import hash_texts
from headway.columns.values import plain
from headway.data.config import SplitConfig
from headway.data.passes import run
from headway.data.scratch import Scratch

if TYPE_CHECKING:
    from headway.data.chunks import Chunk, Streamed
    from headway.data.source import Table

DIFFERENT_ROW = "different row"
"""The name of the unit of resampling where equal rows are one unit."""

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Identity:
    """The columns that tell rows apart, in alphabetical order, and their kinds; None for a column that is only carried along.

    ``by`` is group or key where the columns name what a row belongs to, content where all of a row's values are used.
    """

    by: Literal["group", "key", "content"]
    kinds: tuple[tuple[str, Kind | None], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(name for name, _ in self.kinds)

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Identity:
        """What to_json gave."""
        return cls(values["by"], tuple((name, kind) for name, kind in values["kinds"]))


def identity_of(table: Table, split: SplitConfig) -> Identity:
    """What tells the rows of ``table`` apart under ``split``.

    A group, or the key of a random split, stands for all its rows. Where the split is by time, file or column, one key may
    rightly be in several parts, so that there a row's identity is its whole content.
    """
    if split.by == "group":
        return _of("group", table, [str(split.column)])
    key = split.row_key or table.keys
    if split.by in ("stratified", "random"):
        return _of("key", table, key) if key else _of("content", table, [*table.kinds, *table.targets])
    column = [split.column] if split.column is not None and split.by == "time" else []
    return _of("content", table, [*table.kinds, *table.targets, *table.keys, *column])


def _of(by: Literal["group", "key", "content"], table: Table, names: Sequence[str]) -> Identity:
    kinds: dict[str, Kind | None] = {name: table.kinds.get(name) for name in names}
    kinds |= {name: table.target_kind for name in table.targets if name in kinds}
    return Identity(by, tuple(sorted(kinds.items())))


def row_hashes(table: Streamed, columns: Sequence[str]) -> np.ndarray:
    """A 64-bit hash of each row's values: (N,) uint64. Two different rows share one with probability 2^-64.

    Numbers of any width, and digits in a text column, hash alike: 4, 4.0, "4" and "4.0" are one value.
    """
    hashes = RowHashes(columns)
    run(table, [hashes])
    return hashes.values


class RowHashes:
    """A pass that hashes each row's values, as row_hashes does. One that hashes several sets of columns reads and hashes each once."""

    def __init__(self, *sets: Sequence[str]) -> None:
        self.sets = sets
        self._columns = list(dict.fromkeys(name for columns in sets for name in columns))
        self._arrays = [Scratch(np.uint64) for _ in sets]

    def columns_of(self, file: int) -> Sequence[str]:  # noqa: ARG002
        """Those of all sets."""
        return self._columns

    def block(self, chunk: Chunk) -> list[np.ndarray]:
        """The hashes of some rows, for each set."""
        each = {name: _hashes(chunk.coded(name)) for name in self._columns}
        return [_mixed([each[name] for name in columns], chunk.rows) for columns in self.sets]

    def add(self, partial: list[np.ndarray]) -> None:
        """Keep them."""
        for array, one in zip(self._arrays, partial, strict=True):
            array.append(one)

    @property
    def values(self) -> np.ndarray:
        """(N,) uint64 of the first set."""
        return self.of(0)

    def of(self, number: int) -> np.ndarray:
        """(N,) uint64 of a set."""
        return self._arrays[number].array


def hash_batch(batch: pa.RecordBatch, columns: Sequence[str]) -> np.ndarray:
    """As row_hashes, of some rows."""
    return _mixed([_hashes(batch.column(name)) for name in columns], batch.num_rows)


def _mixed(hashes: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """One hash of each row from those of its values."""
    mixed = np.zeros(rows, np.uint64)
    for start in range(0, rows, SLICE):
        part = mixed[start : start + SLICE]
        for one in hashes:
            part += GOLDEN
            part += one[start : start + SLICE]
            spread_in_place(part)
    return mixed


def _hashes(column: pa.Array) -> np.ndarray:
    if pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type):
        return _of_codes(column)
    column = plain(column)
    kind = column.type
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.string())
    elif pa.types.is_decimal(kind):
        column = pc.cast(column, pa.float64())
    elif pa.types.is_temporal(kind):
        column = pc.cast(column, pa.timestamp("us"), safe=False) if _is_moment(kind) else pc.cast(column, pa.string())
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _of_numbers(column)
    if pa.types.is_timestamp(kind):
        return _of_numbers(pc.cast(column, pa.int64()))
    return _of_texts(column)


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _of_numbers(column: pa.Array) -> np.ndarray:
    """Whole numbers below 2^53 hash as doubles; larger ones as themselves, since doubles would merge neighbours."""
    if pa.types.is_integer(column.type):
        missing = pc.is_null(column).to_numpy(zero_copy_only=False) if column.null_count else None
        whole = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
        doubles = whole.astype(np.float64)
        large = np.abs(doubles) >= 2.0**53
        bits = np.where(large, whole.astype(np.uint64), (doubles + 0.0).view(np.uint64))
    else:
        doubles = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)  # a missing value is NaN
        missing = np.isnan(doubles)
        bits = (doubles + 0.0).view(np.uint64)  # + 0.0: minus zero is zero
    hashes = spread(bits)
    if missing is not None:
        hashes[missing] = GOLDEN
    return hashes


_WHOLE = r"^-?(0|[1-9][0-9]{0,14})(\.0*)?$"
_FIRST = pa.array(list("-0123456789"))


def _of_texts(column: pa.Array) -> np.ndarray:
    """Each different text of the batch is hashed once: most columns of text are categories."""
    texts = column if pa.types.is_string(column.type) else pc.cast(column, pa.string())
    return _of_codes(texts.dictionary_encode())


def _of_codes(coded: pa.DictionaryArray) -> np.ndarray:
    values = coded.dictionary
    if not len(values):
        return np.full(len(coded), GOLDEN)
    hashes = hash_texts(values)
    digits = _whole_numbers(values)
    if len(digits):
        hashes[digits] = _of_numbers(pc.cast(values.take(pa.array(digits)), pa.float64()))
    if not coded.null_count:
        return hashes[coded.indices.to_numpy(zero_copy_only=False)]
    hashes = np.append(hashes, GOLDEN)
    return hashes[pc.fill_null(coded.indices, len(values)).to_numpy(zero_copy_only=False)]


def _whole_numbers(values: pa.StringArray) -> np.ndarray:
    """The indices of texts that are whole numbers."""
    likely = np.flatnonzero(pc.is_in(pc.utf8_slice_codeunits(values, 0, 1), _FIRST).to_numpy(zero_copy_only=False))
    if not len(likely):
        return likely
    return likely[pc.match_substring_regex(values.take(pa.array(likely)), _WHOLE).to_numpy(zero_copy_only=False)]
