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

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from headway.columns import gives
from headway.columns.config import PrepareConfig
from headway.columns.ngrams import Ngrams
from headway.columns.ragged import Ragged
from headway.data import growth
from headway.data.arrays import read_ragged
from headway.data.config import SPLITS, DataConfig, Split
from headway.data.growth import Borders
from headway.data.identity import Identity, hash_batch
from headway.data.kept import Kept
from headway.data.learnt import LEARNT_FILES, Learnt
from headway.data.passes import run
from headway.data.past import FILE as HISTORY
from headway.data.past import Past
from headway.data.places import Places
from headway.data.prepare import Preparation
from headway.data.progress import EVERY_ROWS, Progress
from headway.data.raw import EARLIER, RAW_TEST, raw_batches, raw_columns, raw_table
from headway.data.ready import is_ready
from headway.data.sink import Filling, Sink
from headway.data.split import Division
from headway.errors import DataError
from headway.files import checksums
from headway.files.atomic import digest, read_json, write_json
from headway.tasks.reference import Reference

if TYPE_CHECKING:
    from headway.data.documents import Documents
    from headway.data.source import Table

FORMAT = 11
"""Raised whenever the same settings would prepare other arrays than before."""
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


def store_digest(division: Division, data: DataConfig, prepare: PrepareConfig, takes: Collection[str] = ()) -> str:
    """The name of the store that these would make."""
    table = division.table
    described: dict[str, object] = {
        "format": FORMAT,
        "data": table.digest,
        "columns": list(table.columns),
        "kinds": table.kinds,
        "target": [table.target, table.task, data.positive],
        "split": division.split.model_dump(),
        "identity": division.identity.to_json(),
        "prepare": prepare.model_dump(exclude={"tokens", "ngrams", *(() if prepare.fitted_on else ("fitted_on",))}),
    }
    if (past := Past.of(data, division.split)) is not None:
        described |= {"past": past.to_json()}
    if takes := _given(table, takes):
        described |= {"takes": takes, "tokens": prepare.tokens.model_dump()}
    if data.weight is not None:
        described |= {"weight": data.weight}
    if Ngrams.group in takes:
        described |= {"ngrams": prepare.ngrams.model_dump()}
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
    with checksums.replacing_folder(path, goes_on=True) as partial:
        table, past = division.table, Past.of(data, division.split)
        borders = Borders.of(division, prepare.fitted_on)
        if past is not None:
            earlier = past.over(table)
            table = table.extended(earlier)
            earlier.write(partial)
        progress, grown = _begun(partial, path, table, division, data, prepare, takes, past, borders)
        preparation = Preparation.from_json(read_json(partial / "preparation.json"))
        _write_arrays(partial, table, division.parts, preparation, data.weight, progress, borders)
        division.learnt.write(partial)
        units = {split: _write_units(partial / split, division, part) for part, split in enumerate(SPLITS) if part}
        rows = dict(zip(SPLITS, Places(division.parts, len(SPLITS)).rows, strict=True))
        named = {"ragged": list(preparation.by_ragged)} if preparation.by_ragged else {}
        write_json(
            partial / "store.json", {"rows": rows, "data": table.digest, "units": units, **named, "grown": grown}
        )
    return Store(path), False


def _begun(
    partial: Path,
    path: Path,
    table: Table,
    division: Division,
    data: DataConfig,
    prepare: PrepareConfig,
    takes: Collection[str],
    past: Past | None,
    borders: Borders,
) -> tuple[Progress, dict[str, str]]:
    """Fit the preparation and copy what an earlier store has, where that is not done. Returns what store.json says for later ones, too."""
    progress = Progress.read(partial, path.name)
    if progress is None:
        fitted = _fitted(table, division.parts, data, prepare, takes, past, borders, division.kept)
        write_json(partial / "preparation.json", fitted.to_json())
    preparation = Preparation.from_json(read_json(partial / "preparation.json"))
    name = growth.way(table, preparation, data.weight)
    grown = {} if past is not None else growth.described(name, borders)
    if progress is None:
        progress = (growth.begun(partial, path, name, borders) if grown else None) or Progress(path.name)
        if len(division.parts) > EVERY_ROWS:
            checksums.sync_tree(partial)  # what was copied is on disk before it is said to be
            progress.write(partial)
    return progress, grown


def _given(table: Table, takes: Collection[str]) -> list[str]:
    """Of the arrays that a model ``takes`` those that some column becomes."""
    return sorted(name for name in takes if any(gives(kind, {name}) for kind in table.kinds.values()))


def _write_units(folder: Path, division: Division, part: int) -> tuple[str, str]:
    """Keep what the rows of a part belong to. Returns its name and its note."""
    name, values, note = division.units(division.parts == part)
    np.save(folder / "unit.npy", np.unique(values, return_inverse=True)[1].astype(np.int64))
    return name, note


def _fitted(
    table: Table,
    parts: np.ndarray,
    data: DataConfig,
    prepare: PrepareConfig,
    takes: Collection[str],
    past: Past | None,
    borders: Borders,
    kept: Kept | None,
) -> Preparation:
    """Raises DataError where there is nothing to learn from."""
    from headway.data.fit import fit  # not at the top: a machine that only trains needs none of what it imports

    preparation = fit(table, parts, data, prepare, takes, past, borders, kept)
    inputs = preparation.inputs()
    if not (inputs.numeric or inputs.categorical or inputs.tokens):
        raise DataError(
            f"a feature must hold something to learn from in the training rows, but {', '.join(table.kinds)} does not"
        )
    return preparation


def _write_arrays(
    folder: Path,
    table: Table,
    parts: np.ndarray,
    preparation: Preparation,
    weight: str | None,
    progress: Progress,
    borders: Borders,
) -> None:
    """Write the rows that are not there yet."""
    columns = (*table.columns, *table.extra)
    with ExitStack() as files:
        filling = Filling(folder, columns, parts, preparation, weight, files, progress, borders.rows[1:])
        run(table, [filling], rows_of=borders.rows_of)


def make_document_store(
    folder: Path,
    documents: Documents,
    prepare: PrepareConfig,
    smallest: int,
    warn: Callable[[str], None] = lambda _: None,
) -> tuple[Store, bool]:
    """As `make_store`, of documents. Raises DataError when a part has no more than ``smallest`` tokens."""
    path = folder / digest(
        {"format": FORMAT, "documents": documents.described(), "tokens": prepare.tokens.model_dump()}
    )
    if is_ready(path, warn):
        return Store(path), True
    with checksums.replacing_folder(path) as partial:
        from headway.data.fit import fit_documents

        preparation = fit_documents(documents, prepare)
        write_json(partial / "preparation.json", preparation.to_json())
        rows = _write_documents(partial, documents, preparation, smallest)
        documents.learnt().write(partial)
        ragged = list(preparation.by_ragged)
        write_json(partial / "store.json", {"rows": rows, "data": documents.table.digest, "ragged": ragged})
    return Store(path), False


def _write_documents(folder: Path, documents: Documents, preparation: Preparation, smallest: int) -> dict[str, int]:
    """How many there are of each part."""
    (name,) = preparation.by_ragged
    with ExitStack() as files:
        sinks = {split: Sink(folder, split, 0, preparation, files) for split in SPLITS}
        for split, batch in documents.batches():
            sinks[split].append_documents(batch)
    for split, sink in sinks.items():
        if (count := sink.count(name)) <= smallest:
            raise DataError(
                f"the {split} part must have more tokens than model.context, {smallest}, but it has {count:,}"
            )
    return {split: sink.filled for split, sink in sinks.items()}
