"""Which row is which: a 64-bit hash of what tells a row from others, the same wherever the row lies and however many others there are.

Parts of a split follow from it, so that a row does not move when rows are added; a version remembers by it what it learnt from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns import Kind
from headway.columns.values import plain
from headway.data.config import SplitConfig

if TYPE_CHECKING:
    from headway.data.chunks import Streamed
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
    return np.concatenate([hash_batch(chunk.batch, columns) for chunk in table.chunks(columns=list(columns))])


def hash_batch(batch: pa.RecordBatch, columns: Sequence[str]) -> np.ndarray:
    """As row_hashes, of some rows."""
    mixed = np.zeros(batch.num_rows, np.uint64)
    for name in columns:
        mixed = spread(mixed + GOLDEN + _hashes(batch.column(name)))
    return mixed


def spread(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): every bit of (N,) uint64 depends on all bits given."""
    mixed = values ^ (values >> np.uint64(30))
    mixed = mixed * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _hashes(column: pa.Array) -> np.ndarray:
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
    missing = pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(column.type):
        whole = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
        doubles = whole.astype(np.float64)
        large = np.abs(doubles) >= 2.0**53
        bits = np.where(large, whole.astype(np.uint64), (doubles + 0.0).view(np.uint64))
    else:
        doubles = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
        bits = (doubles + 0.0).view(np.uint64)  # + 0.0: minus zero is zero
    return np.where(missing, GOLDEN, spread(bits))


_WHOLE = r"^-?(0|[1-9][0-9]{0,14})(\.0*)?$"


def _of_texts(column: pa.Array) -> np.ndarray:
    """Each different text of the batch is hashed once: most columns of text are categories."""
    texts = column if pa.types.is_string(column.type) else pc.cast(column, pa.string())
    coded = texts.dictionary_encode()
    values = coded.dictionary
    if not len(values):
        return np.full(len(texts), GOLDEN)
    hashes = np.array(pd.util.hash_array(values.to_numpy(zero_copy_only=False).astype(object), categorize=False))
    digits = np.flatnonzero(pc.match_substring_regex(values, _WHOLE).to_numpy(zero_copy_only=False))
    if len(digits):
        hashes[digits] = _of_numbers(pc.cast(values.take(pa.array(digits)), pa.float64()))
    missing = pc.is_null(texts).to_numpy(zero_copy_only=False)
    codes = pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False)
    return np.where(missing, GOLDEN, hashes[codes])
