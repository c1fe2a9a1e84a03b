"""Prepared rows as memory-mapped arrays, in a folder named by the digest of all that made them: same digest, no work.

<digest>/preparation.json   the fitted preparation
<digest>/store.json         rows of each split; its presence means whole
<digest>/checksums.json     written last
<digest>/<split>/<name>.npy numeric (N, F) float32, categorical (N, C) int32, target (N,) int64 or float64
<digest>/<split>/<name>.values.npy .offsets.npy   ragged rows, such as tokens_0: see `headway.data.arrays`
<digest>/raw/test.parquet   the test rows as they came, in the arrays' order: for slices, champions, input examples
<digest>/<split>/unit.npy   (N,) int64, of validation and test: which rows belong together, for resampling
<digest>/learnt.json .npy   which rows train and validation hold, for later comparisons
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headway.columns.config import PrepareConfig
from headway.columns.ragged import Ragged
from headway.data.arrays import GrowingRagged, read_ragged
from headway.data.config import SPLITS, DataConfig, Split
from headway.data.identity import Identity, hash_batch
from headway.data.learnt import LEARNT_FILES, Learnt
from headway.data.prepare import Preparation
from headway.data.ready import is_ready
from headway.data.split import TEST, Division
from headway.errors import DataError
from headway.files import checksums
from headway.files.atomic import digest, read_json, write_json
from headway.tasks import target_task

if TYPE_CHECKING:
    from headway.data.source import Table

RAW_TEST = "raw/test.parquet"
FORMAT = 7
"""Raised whenever the same settings would prepare other arrays than before."""


@dataclass(frozen=True)
class Store:
    """A finished folder of prepared rows. Whatever reads a damaged file of it raises DamagedError."""

    path: Path

    def _file(self, name: str) -> Path:
        """A file's path, once it is what was written."""
        checksums.check(self.path, name)
        return self.path / name

    @property
    def preparation(self) -> Preparation:
        """The preparation that made the arrays."""
        return Preparation.from_json(read_json(self._file("preparation.json")))

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each split."""
        return read_json(self._file("store.json"))["rows"]

    @property
    def learnt(self) -> Learnt:
        """The rows of train and validation."""
        checksums.check(self.path, *LEARNT_FILES)
        learnt = Learnt.read(self.path)
        assert learnt is not None, "every store of this format has it"
        return learnt

    def units(self, split: Split) -> tuple[str, np.ndarray, str]:
        """What the rows of validation or test belong to: its name, (N,) codes, and what a reader must know."""
        name, note = read_json(self._file("store.json"))["units"][split]
        return name, np.load(self._file(f"{split}/unit.npy")), note

    def test_hashes(self, identity: Identity) -> np.ndarray | None:
        """(N,) uint64: the identities of the test rows, in the arrays' order; None where the store lacks a column."""
        have = pq.read_schema(self._file(RAW_TEST)).names
        if not set(identity.columns) <= set(have):
            return None
        return np.concatenate([hash_batch(batch, identity.columns) for batch in self.raw_test_batches()])

    def arrays(self, split: Split, mode: Literal["r", "c"] = "r") -> dict[str, np.ndarray]:
        """The split's arrays by name, memory-mapped: read-only, or copied where they are written to (torch wants that)."""
        return {
            name: np.load(self._file(f"{split}/{name}.npy"), mmap_mode=mode)
            for name in ("numeric", "categorical", "target")
        }

    def ragged(self, split: Split, mode: Literal["r", "c"] = "r") -> dict[str, Ragged]:
        """The split's ragged rows by name, memory-mapped in the same way."""
        names = read_json(self._file("store.json")).get(
            "ragged", ()
        )  # stores of before there were any do not name them
        return {name: read_ragged(self._file, f"{split}/{name}", mode) for name in names}

    def raw_test(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The test rows as they came."""
        return pq.read_table(self._file(RAW_TEST), columns=list(columns) if columns else None)

    def raw_test_batches(self, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """The same, streamed."""
        with pq.ParquetFile(self._file(RAW_TEST)) as file:
            yield from file.iter_batches(batch_size=rows)


def store_digest(division: Division, data: DataConfig, prepare: PrepareConfig, takes: Collection[str] = ()) -> str:
    """The name of the store that these would make."""
    table = division.table
    described: dict[str, Any] = {
        "format": FORMAT,
        "data": table.digest,
        "columns": list(table.columns),
        "kinds": table.kinds,
        "target": [table.target, table.task, data.positive],
        "split": division.split.model_dump(),
        "identity": division.identity.to_json(),
        "prepare": prepare.model_dump(exclude={"tokens"}),
    }
    if takes:
        described |= {"takes": sorted(takes), "tokens": prepare.tokens.model_dump()}
    return digest(described)


def make_store(
    folder: Path,
    division: Division,
    data: DataConfig,
    prepare: PrepareConfig,
    warn: Callable[[str], None] = lambda _: None,
    takes: Collection[str] = (),
) -> tuple[Store, bool]:
    """The store in ``folder``, and whether it was there already. The rows are divided only where it was not.

    ``takes``: the arrays that the model takes beside numbers and codes. A damaged store is made again, which ``warn`` is told.

    Raises DataError when no feature holds anything to learn from, when the target has nulls or, in validation or test, a class that
    training lacks.
    """
    path = folder / store_digest(division, data, prepare, takes)
    if is_ready(path, warn):
        return Store(path), True
    with checksums.replacing_folder(path) as partial:
        from headway.data.fit import fit  # not at the top: a machine that only trains needs none of what it imports

        table, parts = division.table, division.parts
        preparation = fit(table, parts, data, prepare, takes)
        inputs = preparation.inputs()
        if not (inputs.numeric or inputs.categorical or inputs.tokens):
            raise DataError(
                f"a feature must hold something to learn from in the training rows, but {', '.join(table.kinds)} does not"
            )
        write_json(partial / "preparation.json", preparation.to_json())
        _write_arrays(partial, table, parts, preparation)
        division.learnt.write(partial)
        units = {split: _write_units(partial / split, division, part) for part, split in enumerate(SPLITS) if part}
        counts = np.bincount(parts, minlength=3)
        rows = dict(zip(SPLITS, counts.tolist(), strict=True))
        named = {"ragged": list(preparation.by_ragged)} if preparation.by_ragged else {}
        write_json(partial / "store.json", {"rows": rows, "data": table.digest, "units": units, **named})
    return Store(path), False


def _write_units(folder: Path, division: Division, part: int) -> tuple[str, str]:
    """Keep what the rows of a part belong to. Returns its name and its note."""
    name, values, note = division.units(division.parts == part)
    np.save(folder / "unit.npy", np.unique(values, return_inverse=True)[1].astype(np.int64))
    return name, note


def _write_arrays(folder: Path, table: Table, parts: np.ndarray, preparation: Preparation) -> None:
    counts = np.bincount(parts, minlength=3).tolist()
    (folder / "raw").mkdir()
    with ExitStack() as files:
        sinks = [_Sink(folder, split, rows, preparation, files) for split, rows in zip(SPLITS, counts, strict=True)]
        for chunk in table.chunks():
            here = parts[chunk.start : chunk.start + chunk.batch.num_rows]
            for part, sink in enumerate(sinks):
                batch = chunk.batch.filter(pa.array(here == part))
                if batch.num_rows:
                    sink.append(batch)
                if batch.num_rows and part == TEST:
                    sink.append_raw(batch)
    for sink in sinks:
        sink.flush()


class _Sink:
    """The files of one split, filled block by block; ``files`` closes those that grow."""

    def __init__(self, folder: Path, split: Split, rows: int, preparation: Preparation, files: ExitStack) -> None:
        own, inputs = folder / split, preparation.inputs()
        own.mkdir()
        shapes = {
            "numeric": ((rows, inputs.numeric), np.dtype(np.float32)),
            "categorical": ((rows, len(inputs.categorical)), np.dtype(np.int32)),
            "target": ((rows,), target_task(preparation.target.task).dtype),
        }
        self._arrays = {name: _reserve(own / f"{name}.npy", *shape) for name, shape in shapes.items()}
        self._ragged = {
            name: files.enter_context(GrowingRagged(own, name, np.dtype(np.int32))) for name in preparation.by_ragged
        }
        self._preparation, self._files, self._filled = preparation, files, 0
        self._raw_path = folder / RAW_TEST
        self._raw: pq.ParquetWriter | None = None

    def append(self, batch: pa.RecordBatch) -> None:
        """Prepare rows and write them behind those that are there."""
        _fill(self._arrays, self._filled, batch, self._preparation)
        for name, rows in self._preparation.ragged(batch).items():
            self._ragged[name].append(rows)
        self._filled += batch.num_rows

    def append_raw(self, batch: pa.RecordBatch) -> None:
        """Write rows as they came."""
        if self._raw is None:
            self._raw = self._files.enter_context(pq.ParquetWriter(self._raw_path, batch.schema, compression="zstd"))
        self._raw.write_batch(batch)

    def flush(self) -> None:
        """Have what was filled on disk."""
        for array in self._arrays.values():
            if isinstance(array, np.memmap):
                array.flush()


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
    prepared = preparation.apply(batch)
    column = batch.column(preparation.target.column)
    if column.null_count:
        raise DataError(
            f"the target {preparation.target.column} must be given in every row, but {column.null_count:,} lack it"
        )
    target = preparation.target.apply(column)
    unlearnt = target_task(preparation.target.task).unlearnt(preparation.target, target)
    if unlearnt.any():
        unknown = column[int(np.flatnonzero(unlearnt)[0])].as_py()
        raise DataError(
            f"each class of {preparation.target.column} must occur in the training rows, but {unknown!r} does not"
        )
    for name, values in {**prepared, "target": target}.items():
        if arrays[name].size:
            arrays[name][at : at + batch.num_rows] = values
