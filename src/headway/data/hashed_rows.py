"""The hashes of all rows of a table, by which they are told apart and divided. Files that were hashed before are not read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headway.columns.mixing import spread
from headway.data.cache import Cache, HashFile
from headway.data.chunks import Chunk
from headway.data.digests import file_digests
from headway.data.file_keys import file_key
from headway.data.identity import GOLDEN, RowHashes
from headway.data.scratch import Scratch

if TYPE_CHECKING:
    from headway.data.source import Table

Ends = dict[str | None, float]
"""The highest position of each class."""


def positions(hashes: np.ndarray, seed: int) -> np.ndarray:
    """(N,) float64 in [0, 1): where each identity falls under a seed, uniform over identities."""
    with np.errstate(over="ignore"):
        return spread(hashes + np.uint64(seed) * GOLDEN).astype(np.float64) / 2.0**64


@dataclass(frozen=True)
class Classes:
    """``target``: the column whose classes a split by hashes must all leave in training; ``seed``: the split's."""

    target: str
    seed: int


@dataclass
class _File:
    """``hashes``: those known before, for each set of columns; ``missing``: the sets to be hashed."""

    key: str
    hashes: list[np.ndarray | None]
    ends: Ends | None
    missing: list[int]

    @property
    def rows(self) -> int | None:
        """How many there are, where that is known."""
        return next((len(one) for one in self.hashes if one is not None), None)


Partial = tuple[int, list[np.ndarray], Ends]


class HashedRows:
    """A `Pass` as RowHashes, of several ``sets`` of columns, of which the first is the rows' identity.

    What is in ``cache`` is not computed again, and what is new is put there. ``classes``: `ends` are wanted too.
    ``rows_of``: how many rows the files have of which nothing is missing, by their place in Table.files.
    """

    def __init__(
        self, table: Table, sets: Sequence[Sequence[str]], cache: Cache | None = None, classes: Classes | None = None
    ) -> None:
        self.sets, self._table, self._cache, self._classes = [list(one) for one in sets], table, cache, classes
        if cache is not None:
            _ = table.digest  # keeps the files' digests, so that they are hashed once
        self._digests = {} if cache is None else table.contents
        self._files = [self._file(file) for file in table.files]
        self._missing = [one.missing for one in self._files]
        self.rows_of = {
            number: rows for number, one in enumerate(self._files) if not one.missing and (rows := one.rows) is not None
        }
        self._arrays = [Scratch(np.uint64) for _ in sets]
        self._counts = [0 for _ in self._files]
        self._ends, self._of_file = Ends(), Ends()
        self._next, self._current = 0, -1
        self._writers: dict[int, HashFile] = {}

    def _file(self, name: str) -> _File:
        every = list(range(len(self.sets)))
        if self._cache is None:
            return _File("", [None for _ in every], None, every)
        key = file_key(self._table, name, self._digests[name])
        hashes = [self._cache.hashes(key, one) for one in self.sets]
        ends: Ends | None = Ends()
        if self._classes is not None:
            values = self._cache.values(key, *self._ends_key)
            ends = None if values is None else dict(values["ends"])
        missing = [number for number in every if hashes[number] is None or (number == 0 and ends is None)]
        return _File(key, [None if number in missing else hashes[number] for number in every], ends, missing)

    @property
    def _ends_key(self) -> list[object]:
        assert self._classes is not None
        return ["ends", self.sets[0], self._classes.target, self._classes.seed]

    def __getstate__(self) -> dict[str, object]:
        """For another machine: what `block` needs."""
        return {"sets": self.sets, "_missing": self._missing, "_classes": self._classes}

    def columns_of(self, file: int) -> list[str]:
        """Those of the sets that are missing, and the classes."""
        missing = self._missing[file]
        names = [name for number in missing for name in self.sets[number]]
        return list(dict.fromkeys([*names, *([self._classes.target] if self._classes and 0 in missing else [])]))

    def block(self, chunk: Chunk) -> Partial:
        """The file, the hashes of some rows for each missing set, and the highest position of each class."""
        missing = self._missing[chunk.file]
        hashes = RowHashes(*(self.sets[number] for number in missing)).block(chunk)
        if self._classes is None or 0 not in missing:
            return chunk.file, hashes, Ends()
        return chunk.file, hashes, ends_of(chunk.coded(self._classes.target), positions(hashes[0], self._classes.seed))

    def add(self, partial: Partial) -> None:
        """Add what `block` returned; with the first block of a file, the files before are whole."""
        file, hashes, ends = partial
        if file != self._current:
            self._finish()
            self._begin(file)
        for number, one in zip(self._missing[file], hashes, strict=True):
            self._arrays[number].append(one)
            if number in self._writers:
                self._writers[number].append(one)
        self._counts[file] += len(hashes[0])
        merge_ends(self._of_file, ends)

    def _begin(self, file: int) -> None:
        self._add_known(file)
        self._current, self._next, self._of_file = file, file + 1, Ends()
        one = self._files[file]
        for number, hashes in enumerate(one.hashes):
            if hashes is not None:
                self._arrays[number].append(hashes)
            elif self._cache is not None:
                self._writers[number] = self._cache.new_hashes(one.key, self.sets[number])

    def _add_known(self, end: int) -> None:
        """The files before ``end`` that were not read."""
        for file in range(self._next, end):
            one = self._files[file]
            for number, hashes in enumerate(one.hashes):
                if hashes is not None:
                    self._arrays[number].append(hashes)
            self._counts[file] = one.rows or 0
            merge_ends(self._ends, one.ends or {})
        self._next = max(self._next, end)

    def _finish(self) -> None:
        """Keep what came of the file whose blocks were added."""
        if self._current < 0:
            return
        name, one = self._table.files[self._current], self._files[self._current]
        is_same = self._cache is not None and file_digests([name], self._table.root)[name] == self._digests[name]
        for writer in self._writers.values():
            writer.finish() if is_same else writer.drop()  # otherwise the file changed while it was read
        if self._cache is not None and is_same and self._classes is not None and 0 in one.missing:
            self._cache.keep({"ends": list(self._of_file.items())}, one.key, *self._ends_key)
        merge_ends(self._ends, self._of_file if 0 in one.missing else (one.ends or {}))
        self._writers, self._current = {}, -1

    def _whole(self) -> None:
        """All blocks are added."""
        if self._next < len(self._files) or self._current >= 0:
            self._finish()
            self._add_known(len(self._files))
            if self._cache is not None:
                self._cache.bound()

    @property
    def values(self) -> np.ndarray:
        """(N,) uint64 of the first set."""
        return self.of(0)

    def of(self, number: int) -> np.ndarray:
        """(N,) uint64 of a set."""
        self._whole()
        return self._arrays[number].array

    @property
    def counts(self) -> list[int]:
        """How many rows each file has."""
        self._whole()
        return self._counts

    @property
    def ends(self) -> Mapping[str | None, float]:
        """The highest position of each class; empty without ``classes``."""
        self._whole()
        return self._ends


def ends_of(coded: pa.DictionaryArray, position: np.ndarray) -> Ends:
    """The highest ``position`` (N,) of the rows of each value; None is one."""
    values = [*coded.dictionary.to_pylist(), None]
    codes = pc.fill_null(coded.indices, len(values) - 1).to_numpy(zero_copy_only=False)
    ends = np.full(len(values), -1.0)
    np.maximum.at(ends, codes, position)
    highest = Ends()
    for value, end in zip(values, ends.tolist(), strict=True):
        if end >= 0:  # otherwise the value does not occur
            merge_ends(highest, {value: end})
    return highest


def merge_ends(ends: Ends, others: Mapping[str | None, float]) -> None:
    """Add those of further rows."""
    for value, end in others.items():
        ends[value] = max(end, ends.get(value, -1.0))
