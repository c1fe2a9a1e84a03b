"""Which rows train, which validate, which test.

A row's part follows from the row itself (a hash of its key, group or content, its moment, its file), never from its position or from
how many others there are: it does not move when rows are added, and equal rows are on one side. Shares are therefore close to the
settings, not exact.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from headway.data.cache import Cache
from headway.data.config import SPLITS, SplitConfig
from headway.data.hashed_rows import Classes, HashedRows, positions
from headway.data.identity import DIFFERENT_ROW, Identity, identity_of, row_hashes
from headway.data.learnt_rows import LearntRows, Rule, described
from headway.data.moments import Moments, moments
from headway.data.passes import run
from headway.data.periods import periods_of
from headway.data.places import Places
from headway.errors import ConfigError, DataError
from headway.tasks import task_of

if TYPE_CHECKING:
    from headway.data.source import Table

TRAIN, VALIDATION, TEST = range(3)

PARTS = {
    **{"train": TRAIN, "training": TRAIN},
    **{"validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION},
    **{"test": TEST, "testing": TEST},
}
"""The words of a column that says which part a row is of, in small letters."""


@dataclass(frozen=True)
class Division:
    """The rows of a table, divided. Each property is computed at its first use, in one pass over the rows."""

    table: Table
    split: SplitConfig
    hashes: HashedRows | None = field(default=None, compare=False, repr=False)
    """A pass over the table that `hashing` gave, where there was one."""
    cache: Cache | None = field(default=None, compare=False, repr=False)
    """Where the hashes of files are kept, which are not read again for them."""

    @cached_property
    def identity(self) -> Identity:
        """What tells the rows apart."""
        return identity_of(self.table, self.split)

    @cached_property
    def rows(self) -> np.ndarray:
        """(N,) uint64: the hash of each row's identity."""
        return self.hashed.values

    @cached_property
    def hashed(self) -> HashedRows:
        """The pass that hashed the rows."""
        if self.hashes is not None:
            return self.hashes
        hashing = self.hashing()
        run(self.table, [hashing], rows_of=hashing.rows_of)
        return hashing

    def hashing(self, *others: Sequence[str]) -> HashedRows:
        """A pass over the table that hashes each row's identity, and ``others`` of its columns."""
        classes = Classes(self.table.target, self.split.seed) if self.split.by == "stratified" else None
        return HashedRows(self.table, [self.identity.columns, *others], self.cache, classes)

    @cached_property
    def moments(self) -> Moments:
        """When each row happened, of a split by time."""
        return moments(self.table, self.split)

    @cached_property
    def parts(self) -> np.ndarray:
        """(N,) uint8, an index into SPLITS.

        Raises ConfigError when the split cannot be done as stated, DataError when it leaves a part empty.
        """
        parts = {
            "stratified": _by_hash,
            "random": _by_hash,
            "time": _by_time,
            "group": _by_hash,
            "files": _by_files,
            "column": _by_column,
        }[self.split.by](self)
        for name, count in zip(SPLITS, Places(parts, len(SPLITS)).rows, strict=True):
            if count == 0:
                raise DataError(
                    f"each of {', '.join(SPLITS)} must have rows, but {name} has none of {len(parts):,}{self._reason()}"
                )
        return parts

    def _reason(self) -> str:
        """Why a part is empty, and the fix."""
        if not self.equal_rows_stay_together:
            return "; change split"
        different = len(np.unique(self.rows))
        return f": equal rows stay together, and {different:,} are different; name the columns that identify a row in data.keys"

    def units(self, rows: np.ndarray) -> tuple[str, np.ndarray, str]:
        """The unit of resampling of ``rows``, (N,) bool: its name, its value for each row, and a note for the reader.

        Rows that belong together are not independent: they are resampled together.
        """
        if self.split.by == "time":
            return periods_of(self.moments.take(rows))
        if self.split.by in ("files", "column") and self.table.keys:
            return "key", row_hashes(self.table, self.table.keys)[rows], ""
        name = {"group": "group", "key": "key", "content": DIFFERENT_ROW}[self.identity.by]
        return name, self.rows[rows], ""

    @property
    def learnt(self) -> LearntRows:
        """The rows of training and validation."""
        files = [file for file in self.table.files if self.split.by == "files" and _matches(file, self.split)]
        contents = self.table.contents
        rule = Rule(
            described(self.split.model_dump(mode="json"), self.identity.columns),
            self.table.digest,
            tuple(sorted(contents[file] for file in files)),
            self.table.reading,
        )
        return LearntRows.of(rule, self.identity, self.rows, self.parts != TEST)

    @property
    def equal_rows_stay_together(self) -> bool:
        """Whether no test row can be a training row, value for value."""
        return self.split.by in ("stratified", "random") and self.identity.by == "content"

    @property
    def shares(self) -> tuple[float, float, float]:
        """The parts' shares that were reached."""
        train, validation, test = (rows / len(self.parts) for rows in Places(self.parts, len(SPLITS)).rows)
        return train, validation, test


def assign(table: Table, split: SplitConfig) -> np.ndarray:
    """The part of each row: (N,) uint8, an index into SPLITS. Raises as `Division.parts`."""
    return Division(table, split).parts


def _column(table: Table, name: str) -> pd.Series:
    """One column in row order."""
    chunks = [chunk.batch.column(name) for chunk in table.chunks(columns=[name])]
    return pa.chunked_array(chunks).to_pandas()


def _parts_of(position: np.ndarray, test: float, validation: float, classes: np.ndarray | None = None) -> np.ndarray:
    """The lowest positions are the test, the next the validation; ``classes`` (N,) each get a training row.

    Of a few dozen rows, a part can stay empty, or a class without training rows: then it takes the identity nearest to it.
    """
    limit = test + (1 - test) * validation
    parts = np.where(position < test, TEST, np.where(position < limit, VALIDATION, TRAIN)).astype(np.uint8)
    classes = np.zeros(len(parts), int) if classes is None else classes
    for code in np.setdiff1d(classes, classes[parts == TRAIN]):
        parts[position == position[classes == code].max()] = TRAIN
    for part in (TEST, VALIDATION) if test > 0 else (VALIDATION,):
        if not (parts == part).any():
            spare = position[_spare(parts, position, classes)]
            parts[position == spare.min(initial=np.inf)] = part
    return parts


def _spare(parts: np.ndarray, position: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(N,) bool: training rows that are not the last of their class, which is the identity at the class's highest position."""
    spare = parts == TRAIN
    for code in np.unique(classes):
        spare &= position != position[spare & (classes == code)].max(initial=-np.inf)
    return spare


def _strata(values: pd.Series) -> np.ndarray:
    """Codes of the target's classes; rows without a target are a class of their own."""
    return pd.factorize(values, sort=True)[0]


SLICE_ROWS = 1 << 20
"""Rows that are divided at a time."""


def _by_hash(division: Division) -> np.ndarray:
    """By each row's key, content or group. Each class has the stated shares, as nearly as chance allows, and a training row.

    A group's part follows from its name alone. Rows without a group are one group.
    """
    split, rows = division.split, division.rows
    limit = split.test + (1 - split.test) * split.validation
    rescued = [end for end in division.hashed.ends.values() if end < limit]
    parts = np.empty(len(rows), np.uint8)
    for start in range(0, len(rows), SLICE_ROWS):
        position, part = positions(rows[start : start + SLICE_ROWS], split.seed), parts[start : start + SLICE_ROWS]
        part[:] = np.where(position < split.test, TEST, np.where(position < limit, VALIDATION, TRAIN))
        if rescued:
            part[np.isin(position, rescued)] = TRAIN
    if all(Places(parts, len(SPLITS)).rows):
        return parts
    classes = _strata(_column(division.table, division.table.target)) if split.by == "stratified" else None
    return _parts_of(positions(rows, split.seed), split.test, split.validation, classes)


def _by_time(division: Division) -> np.ndarray:
    """The newest moments are the test, those before them validation; rows of one moment stay together."""
    split, moments = division.split, division.moments.values
    start_test = 1 - split.test
    oldest, newest = moments.min(), moments.max()
    test = _newer_than(moments, start_test)
    if not test.any():
        test = moments == newest
    validation = _newer_than(moments, start_test * (1 - split.validation)) & ~test
    has_three = bool(((moments > oldest) & (moments < newest)).any())
    if has_three and not validation.any():
        validation = moments == moments[~test].max()
    parts = np.full(len(moments), TRAIN, np.uint8)
    parts[validation], parts[test] = VALIDATION, TEST
    return parts


def _newer_than(moments: np.ndarray, share: float) -> np.ndarray:
    """(N,) bool: whether at least this share of the rows is older than a row. A selection, since sorting needs far more time and memory."""
    rows = len(moments)
    count = min(rows, max(0, int(share * rows) + 1))
    while count and (count - 1) / rows >= share:
        count -= 1
    if not count:
        return np.ones(rows, bool)
    return moments > np.partition(moments, count - 1)[count - 1]


def _by_files(division: Division) -> np.ndarray:
    """The files that match are the test; validation is drawn from the others by each row's content."""
    table, split = division.table, division.split
    official = [_matches(file, split) for file in table.files]
    if not any(official) or all(official):
        raise ConfigError(
            f"split.test_files must match some files and leave others, but {split.test_files!r} matches "
            f"{sum(official)} of {len(official)}: {', '.join(PurePath(f).name for f in table.files[:5])}"
        )
    files = [np.full(chunk.batch.num_rows, chunk.file) for chunk in table.chunks(columns=table.columns[:1])]
    return _with_validation(division, np.asarray(official)[np.concatenate(files)])


def _matches(file: str, split: SplitConfig) -> bool:
    return fnmatch.fnmatch(PurePath(file).name, str(split.test_files))


def _with_validation(division: Division, test: np.ndarray) -> np.ndarray:
    """Parts of a stated test (N,) bool; the validation is drawn from the other rows."""
    table, parts = division.table, np.full(len(test), TEST, np.uint8)
    position = positions(division.rows[~test], division.split.seed)
    classes = _strata(_column(table, table.target)[~test]) if task_of(table.task).stratified else None
    parts[~test] = _parts_of(position, 0.0, division.split.validation, classes)
    return parts


def part_words(values: pd.Series) -> pd.Series:
    """Values as PARTS writes them; missing ones are empty."""
    return values.astype("string").str.strip().str.lower().fillna("").astype(object)


def _by_column(division: Division) -> np.ndarray:
    split = division.split
    names = part_words(_column(division.table, str(split.column)))
    parts = names.map(PARTS).fillna(-1).to_numpy(np.int64)
    if (parts < 0).any():
        row = int(np.flatnonzero(parts < 0)[0])
        raise DataError(
            f"{split.column} must say train, validation or test in every row, but row {row + 1} says {names.iloc[row]!r}"
        )
    if not (parts == VALIDATION).any():
        return _with_validation(division, parts == TEST)
    return parts.astype(np.uint8)
