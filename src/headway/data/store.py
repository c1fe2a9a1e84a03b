"""Prepared rows as memory-mapped arrays, in a folder named by the digest of all that made them: same digest, no work.

The rows are those of a table, or documents, which have ragged arrays alone: all tokens of each, tokens_0.

<digest>/preparation.json   the fitted preparation
<digest>/store.json         rows of each split; its presence means whole
<digest>/checksums.json     written last
<digest>/<split>/<name>.npy numeric (N, F) float32, categorical (N, C) int32, target (N,) int64 or float64; not of documents
<digest>/<split>/<name>.values.npy .offsets.npy   ragged rows, such as tokens_0: see `headway.data.arrays`
<digest>/raw/test.arrow     the test rows as they came, in the arrays' order: for slices, champions, input examples; with all columns, since
                            a champion may have been trained on others than this preparation uses
<digest>/<split>/weight.npy (N,) float64, where data.weight is given
<digest>/<split>/unit.npy   (N,) int64, of a table's validation and test: which rows belong together, for resampling
<digest>/history.parquet    of time series: the newest rows, which the past of later rows is read from
<digest>/learnt.json .npy   which rows train and validation hold, for later comparisons
<digest>/progress.json       of more rows than a few seconds take: how far it was written when that was last kept

A store whose process was killed is gone on with: see `headway.data.progress`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from headway.columns.ragged import Ragged
from headway.data.arrays import read_ragged
from headway.data.config import Split
from headway.data.identity import Identity, hash_batch
from headway.data.learnt_rows import LEARNT_FILES, LearntRows
from headway.data.past import FILE as HISTORY
from headway.data.prepare import Preparation
from headway.data.raw import EARLIER, RAW_TEST, raw_batches, raw_columns, raw_table
from headway.files import checksums
from headway.files.atomic import read_json
from headway.tasks.reference import Reference

DOCUMENTS = 16
"""Read at once."""


@dataclass(frozen=True)
class Store:
    """A finished folder of prepared rows. Whatever reads a damaged file of it raises DamagedError."""

    path: Path
    reference: Reference | None = None
    """The earlier value since which the change is what ``arrays`` has as the target."""

    def _file(self, name: str) -> Path:
        """A file's path, once it is what was written."""
        checksums.check(self.path, name)
        return self.path / name

    @property
    def preparation(self) -> Preparation:
        """The preparation that made the arrays, its target's mean and spread as ``arrays`` has it."""
        preparation = Preparation.from_json(read_json(self._file("preparation.json")))
        if self.reference is None:
            return preparation
        changes = self.arrays("train")["target"]
        own = replace(preparation.target, mean=float(changes.mean()), std=float(changes.std()) or 1.0)
        return replace(preparation, target=own)

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each split."""
        return read_json(self._file("store.json"))["rows"]

    @property
    def history(self) -> Path:
        """Of time series: the file of the newest rows."""
        return self._file(HISTORY)

    @property
    def learnt(self) -> LearntRows:
        """The rows of train and validation."""
        checksums.check(self.path, *LEARNT_FILES)
        learnt = LearntRows.read(self.path)
        assert learnt is not None, "every store of this format has it"
        return learnt

    def units(self, split: Split) -> tuple[str, np.ndarray, str]:
        """What the rows of validation or test belong to: its name, (N,) codes, and what a reader must know."""
        name, note = read_json(self._file("store.json"))["units"][split]
        return name, np.load(self._file(f"{split}/unit.npy")), note

    def test_hashes(self, identity: Identity) -> np.ndarray | None:
        """(N,) uint64: the identities of the test rows, in the arrays' order; None where the store lacks a column."""
        have = raw_columns(self._raw)
        if not set(identity.columns) <= set(have):
            return None
        return np.concatenate([hash_batch(batch, identity.columns) for batch in self.raw_test_batches()])

    def arrays(self, split: Split, mode: Literal["r", "c"] = "r") -> dict[str, np.ndarray]:
        """The split's arrays by name, memory-mapped: read-only, or copied where they are written to (torch wants that)."""
        arrays = {
            name: np.load(self._file(f"{split}/{name}.npy"), mmap_mode=mode)
            for name in ("numeric", "categorical", "target")
        }
        if self.reference is not None:
            arrays["target"] = self.reference.changes(arrays["target"], arrays["numeric"])
        return arrays

    def levels(self, split: Split, outputs: np.ndarray) -> np.ndarray:
        """A model's outputs for a split as predictions of the target: itself, or from its change."""
        return outputs if self.reference is None else self.reference.levels(outputs, self.arrays(split)["numeric"])

    def weights(self, split: Split) -> np.ndarray | None:
        """(N,) float64: how much each row counts, memory-mapped; None where all count the same."""
        if not (self.path / split / "weight.npy").exists():
            return None
        return np.load(self._file(f"{split}/weight.npy"), mmap_mode="r")

    def ragged(self, split: Split, mode: Literal["r", "c"] = "r") -> dict[str, Ragged]:
        """The split's ragged rows by name, memory-mapped in the same way."""
        names = read_json(self._file("store.json")).get(
            "ragged", ()
        )  # stores of before there were any do not name them
        return {name: read_ragged(self._file, f"{split}/{name}", mode) for name in names}

    def tokens(self, split: Split) -> np.ndarray:
        """(T,) of documents: the tokens of all of a part, one document after the other, memory-mapped."""
        (rows,) = self.ragged(split).values()
        return rows.values

    def test_documents(self) -> Iterator[str]:
        """The test's documents as they came."""
        for batch in self.raw_test_batches(DOCUMENTS):
            yield from batch.column(0).to_pylist()

    def raw_test(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The test rows as they came."""
        return raw_table(self._raw, columns)

    def raw_test_batches(self, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """The same, streamed."""
        return raw_batches(self._raw, rows)

    @property
    def _raw(self) -> Path:
        return self._file(EARLIER if (self.path / EARLIER).exists() else RAW_TEST)
