"""The files of one part of a store, filled block by block: arrays of known size, ragged rows that grow, the test rows as they came."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headway.data.arrays import GrowingRagged
from headway.data.config import Split
from headway.data.prepare import Preparation
from headway.errors import DataError
from headway.tasks import has_target, target_task

RAW_TEST = "raw/test.parquet"


class Sink:
    """The files of one part. ``rows``: how many a table's part has; of documents, which have no other arrays, it may be 0.

    ``files`` closes those that grow.
    """

    def __init__(
        self,
        folder: Path,
        split: Split,
        rows: int,
        preparation: Preparation,
        files: ExitStack,
        weight: str | None = None,
    ) -> None:
        """``weight``: the column that says how much each row counts."""
        own = folder / split
        own.mkdir()
        self._weight = weight
        shapes = _shapes(rows, preparation) if has_target(preparation.target.task) else {}
        shapes |= {"weight": ((rows,), np.dtype(np.float64))} if weight else {}
        self._arrays = {name: _reserve(own / f"{name}.npy", *shape) for name, shape in shapes.items()}
        self._ragged = {
            name: files.enter_context(GrowingRagged(own, name, one.token_type))
            for name, one in preparation.by_ragged.items()
        }
        self._preparation, self._files, self.filled = preparation, files, 0
        self._raw_path = folder / RAW_TEST if split == "test" else None
        self._raw: pq.ParquetWriter | None = None

    def append(self, batch: pa.RecordBatch) -> None:
        """Prepare rows and write them behind those that are there; of the test, as they came, too."""
        if self._arrays:
            _fill(self._arrays, self.filled, batch, self._preparation)
        if self._weight is not None and self._arrays["weight"].size:
            self._arrays["weight"][self.filled : self.filled + batch.num_rows] = weights_of(batch, self._weight)
        for name, rows in self._preparation.ragged(batch).items():
            self._ragged[name].append(rows)
        self.filled += batch.num_rows
        if self._raw_path is not None:
            if self._raw is None:
                writer = pq.ParquetWriter(self._raw_path, batch.schema, compression="zstd")
                self._raw = self._files.enter_context(writer)
            self._raw.write_batch(batch)

    def count(self, name: str) -> int:
        """How many values the ragged rows ``name`` have so far."""
        return self._ragged[name].count

    def flush(self) -> None:
        """Have what was filled on disk."""
        for array in self._arrays.values():
            if isinstance(array, np.memmap):
                array.flush()


def _shapes(rows: int, preparation: Preparation) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    inputs = preparation.inputs()
    return {
        "numeric": ((rows, inputs.numeric), np.dtype(np.float32)),
        "categorical": ((rows, len(inputs.categorical)), np.dtype(np.int32)),
        "target": ((rows,), target_task(preparation.target.task).dtype),
    }


def _reserve(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """A new .npy file on disk to fill. Its room is taken at once, so that a full disk is an error, not a crash later."""
    if 0 in shape:
        np.save(path, np.zeros(shape, dtype))
        return np.zeros(shape, dtype)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    with open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _fill(arrays: dict[str, np.ndarray], at: int, batch: pa.RecordBatch, preparation: Preparation) -> None:
    columns = preparation.apply(batch)
    column = batch.column(preparation.target.column)
    if column.null_count:
        raise DataError(
            f"the target {preparation.target.column} must be given in every row, but {column.null_count:,} lack it"
        )
    target = preparation.target.apply(column)
    unlearnt = target_task(preparation.target.task).unlearnt(preparation.target, target)
    if unlearnt.any():
        stranger = column[int(np.flatnonzero(unlearnt)[0])].as_py()
        raise DataError(
            f"each class of {preparation.target.column} must occur in the training rows, but {stranger!r} does not"
        )
    for name, values in {**columns, "target": target}.items():
        if arrays[name].size:
            arrays[name][at : at + batch.num_rows] = values


def weights_of(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """(B,) float64. Raises DataError where the column holds no weight."""
    column = batch.column(name)
    try:
        weights = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"data.weight {name} must be a column of numbers, but it is not") from None
    for wrong, rule, fact in (
        (np.isnan(weights), "given in every row", "lack it"),
        (weights < 0, "at least 0", "are negative"),
        (np.isinf(weights), "finite", "are not"),
    ):
        if wrong.any():
            raise DataError(
                f"data.weight {name} must be {rule}, but {int(wrong.sum()):,} of {len(wrong):,} rows {fact}"
            )
    return weights
