"""The files of a store, filled by one pass over the table: arrays of known size at any place, ragged rows and test rows in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headway.columns.codes import decoded, written_out
from headway.columns.ragged import Ragged
from headway.data.arrays import AppendedFile, GrowingRagged, PlacedArray
from headway.data.chunks import Chunk
from headway.data.config import SPLITS, Split
from headway.data.places import Places
from headway.data.prepare import Preparation
from headway.data.progress import Progress, Saving
from headway.data.raw import RAW_TEST, RawRows, packed
from headway.errors import DataError
from headway.tasks import Target, has_target, target_task


@dataclass(frozen=True)
class _Rows:
    """Some rows of one part that have to be written in order; ``raw``: of the test, as they came."""

    ragged: Mapping[str, Ragged]
    raw: tuple[pa.Schema, memoryview] | None

    def __reduce__(self) -> tuple[Any, ...]:
        """On their way from another machine: a view of memory becomes bytes."""
        raw = None if self.raw is None else (self.raw[0], bytes(self.raw[1]))
        return _Rows, (self.ragged, raw)


@dataclass(frozen=True)
class _Piece:
    """Some rows of a part, of which the first is number ``at``. ``arrays``: those that are not written yet."""

    part: int
    at: int
    arrays: Mapping[str, np.ndarray]
    rows: _Rows


_TEST = SPLITS.index("test")


class Sink:
    """The files of one part. ``rows``: how many a table's part has; of documents, which have no other arrays, it may be 0.

    ``files`` closes them. ``progress``: what of them is gone on with.
    """

    def __init__(
        self,
        folder: Path,
        split: Split,
        rows: int,
        preparation: Preparation,
        files: ExitStack,
        weight: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        """``weight``: the column that says how much each row counts."""
        own, self._folder = folder / split, folder
        own.mkdir(exist_ok=True)
        self._progress = progress
        shapes = _shapes(rows, preparation) if has_target(preparation.target.task) else {}
        shapes |= {"weight": ((rows,), np.dtype(np.float64))} if weight else {}
        self.arrays = {
            name: files.enter_context(PlacedArray(own / f"{name}.npy", *shape)) for name, shape in shapes.items()
        }
        self._ragged = {
            name: files.enter_context(GrowingRagged(own, name, one.token_type, self._whole))
            for name, one in preparation.by_ragged.items()
        }
        self._raw: RawRows | None = None
        if split == "test":
            (folder / RAW_TEST).parent.mkdir(exist_ok=True)
            self._raw = files.enter_context(RawRows(folder / RAW_TEST, self._whole(folder / RAW_TEST)))
        self._preparation, self.filled = preparation, 0

    def _whole(self, path: Path) -> int:
        return 0 if self._progress is None else self._progress.bytes.get(path.relative_to(self._folder).as_posix(), 0)

    def append(self, rows: _Rows) -> None:
        """Write ragged rows and those of the test behind those that are there."""
        for name, one in rows.ragged.items():
            self._ragged[name].append(one)
        if self._raw is not None and rows.raw is not None:
            self._raw.append(*rows.raw)

    def append_documents(self, batch: pa.RecordBatch) -> None:
        """Prepare documents and write them behind those that are there; of the test, as they came, too."""
        raw = None if self._raw is None else (batch.schema, packed(batch))
        self.append(_Rows(self._preparation.ragged(batch), raw))
        self.filled += batch.num_rows

    def count(self, name: str) -> int:
        """How many values the ragged rows ``name`` have so far."""
        return self._ragged[name].count

    @property
    def growing(self) -> list[AppendedFile]:
        """The files that grow."""
        raw = [] if self._raw is None else [self._raw.file]
        return [file for one in self._ragged.values() for file in one.files] + raw


class Filling:
    """The pass that fills a store. The rows before those of ``progress`` are there already."""

    def __init__(
        self,
        folder: Path,
        columns: tuple[str, ...],
        parts: np.ndarray,
        preparation: Preparation,
        weight: str | None,
        files: ExitStack,
        progress: Progress,
        ends: Sequence[int] = (),
    ) -> None:
        """``columns`` of the table are read. ``ends``: the number of rows up to the end of each file, where that is known."""
        self._columns, self._parts, self._preparation, self._weight = columns, parts, preparation, weight
        self._places = Places(parts, len(SPLITS))
        self._done, self._ends = progress.rows, ends
        self._sinks = [
            Sink(folder, split, rows, preparation, files, weight, progress)
            for split, rows in zip(SPLITS, self._places.rows, strict=True)
        ]
        arrays = [array for sink in self._sinks for array in sink.arrays.values()]
        growing = [file for sink in self._sinks for file in sink.growing]
        self._saving: Saving | None = files.enter_context(Saving(folder, progress, arrays, growing))

    def __getstate__(self) -> dict[str, object]:
        """For another machine, which has none of the open files: what its blocks come to is written here."""
        return {**self.__dict__, "_sinks": [], "_saving": None}

    def columns_of(self, file: int) -> tuple[str, ...]:
        """Every column; none of a file whose rows are there."""
        return () if self._ends and self._ends[file] <= self._done else self._columns

    def block(self, chunk: Chunk) -> tuple[int, list[_Piece]]:
        """Prepare rows and write their arrays, where the files are open. Returns what is still to be written."""
        end = chunk.start + chunk.rows
        if end <= self._done:
            return end, []
        if chunk.start < self._done:  # blocks end elsewhere than in the process that was killed
            chunk = Chunk(chunk.file, self._done, chunk.held.slice(self._done - chunk.start))
        arrays, ragged = self._prepared(chunk.held), self._preparation.ragged(chunk.held)
        here, pieces = self._parts[chunk.start : end], []
        for part, at in enumerate(self._places.before(chunk.start)):
            rows = np.flatnonzero(here == part)
            if not len(rows):
                continue
            raw = decoded(chunk.held.filter(pa.array(here == part))) if part == _TEST else None
            in_order = _Rows(
                {name: one.take(rows) for name, one in ragged.items()},
                None if raw is None else (raw.schema, packed(raw)),
            )
            piece = _Piece(part, at, {name: values[rows] for name, values in arrays.items()}, in_order)
            if self._sinks:
                self._place(piece)
                piece = replace(piece, arrays={})
            pieces.append(piece)
        return end, pieces

    def add(self, partial: tuple[int, list[_Piece]]) -> None:
        """Write what is still to be written."""
        assert self._saving is not None
        end, pieces = partial
        for piece in pieces:
            self._place(piece)
            self._sinks[piece.part].append(piece.rows)
        self._saving.done(end)

    def _place(self, piece: _Piece) -> None:
        for name, values in piece.arrays.items():
            self._sinks[piece.part].arrays[name].write(piece.at, values)

    def _prepared(self, batch: pa.RecordBatch) -> dict[str, np.ndarray]:
        """The arrays of some rows. Raises DataError on a target or a weight that cannot be used."""
        preparation = self._preparation
        target = encoded_target(preparation.target, written_out(batch.column(preparation.target.column)))
        weights = {} if self._weight is None else {"weight": weights_of(batch, self._weight)}
        return {**preparation.apply(batch), "target": target, **weights}


def _shapes(rows: int, preparation: Preparation) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    inputs = preparation.inputs()
    return {
        "numeric": ((rows, inputs.numeric), np.dtype(np.float32)),
        "categorical": ((rows, len(inputs.categorical)), np.dtype(np.int32)),
        "target": ((rows,), target_task(preparation.target.task).dtype),
    }


def encoded_target(target: Target, column: pa.Array) -> np.ndarray:
    """(B,) the canonical column as it is stored. Raises DataError where a row lacks it, or has a class that training lacks."""
    if column.null_count:
        raise DataError(f"the target {target.column} must be given in every row, but {column.null_count:,} lack it")
    values = target.apply(column)
    unlearnt = target_task(target.task).unlearnt(target, values)
    if unlearnt.any():
        stranger = column[int(np.flatnonzero(unlearnt)[0])].as_py()
        raise DataError(f"each class of {target.column} must occur in the training rows, but {stranger!r} does not")
    return values


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
