"""Which rows train, which validate, which test.

A row's part follows from the row itself (a hash of its key, group or content, its moment, its file), never from its position or from
how many others there are: it does not move when rows are added, and equal rows are on one side. Shares are therefore close to the
settings, not exact.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from headway.data.config import SPLITS, SplitConfig
from headway.data.identity import DIFFERENT_ROW, GOLDEN, Identity, RowHashes, identity_of, row_hashes
from headway.data.learnt import Learnt, Rule, described
from headway.data.moments import Moments, moments
from headway.data.periods import periods_of
from headway.data.spread import spread
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
    hashes: RowHashes | None = field(default=None, compare=False, repr=False)
    """A pass over the table that hashed the identities first, where there was one."""

    @cached_property
    def identity(self) -> Identity:
        """What tells the rows apart."""
        return identity_of(self.table, self.split)

    @cached_property
    def rows(self) -> np.ndarray:
        """(N,) uint64: the hash of each row's identity."""
        return row_hashes(self.table, self.identity.columns) if self.hashes is None else self.hashes.values

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
            "stratified": _by_row,
            "random": _by_row,
            "time": _by_time,
            "group": _by_group,
            "files": _by_files,
            "column": _by_column,
        }[self.split.by](self)
        counts = np.bincount(parts, minlength=3)
        for name, count in zip(SPLITS, counts, strict=True):
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
    def learnt(self) -> Learnt:
        """The rows of training and validation."""
        files = [file for file in self.table.files if self.split.by == "files" and _matches(file, self.split)]
        contents = self.table.contents
        rule = Rule(
            described(self.split.model_dump(mode="json"), self.identity.columns),
            self.table.digest,
            tuple(sorted(contents[file] for file in files)),
            self.table.reading,
        )
        return Learnt.of(rule, self.identity, self.rows[self.parts != TEST])

    @property
    def equal_rows_stay_together(self) -> bool:
        """Whether no test row can be a training row, value for value."""
        return self.split.by in ("stratified", "random") and self.identity.by == "content"

    @property
    def shares(self) -> tuple[float, float, float]:
        """The parts' shares that were reached."""
        train, validation, test = np.bincount(self.parts, minlength=3) / len(self.parts)
        return float(train), float(validation), float(test)


def assign(table: Table, split: SplitConfig) -> np.ndarray:
    """The part of each row: (N,) uint8, an index into SPLITS. Raises as `Division.parts`."""
    return Division(table, split).parts


def _column(table: Table, name: str) -> pd.Series:
    """One column in row order."""
    chunks = [chunk.batch.column(name) for chunk in table.chunks(columns=[name])]
    return pa.chunked_array(chunks).to_pandas()


def positions(hashes: np.ndarray, seed: int) -> np.ndarray:
    """(N,) float64 in [0, 1): where each identity falls under a seed, uniform over identities."""
    with np.errstate(over="ignore"):
        return spread(hashes + np.uint64(seed) * GOLDEN).astype(np.float64) / 2.0**64


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


def _by_row(division: Division) -> np.ndarray:
    """By each row's key or content. Each class has the stated shares, as nearly as chance allows."""
    table, split = division.table, division.split
    classes = _strata(_column(table, table.target)) if split.by == "stratified" else None
    return _parts_of(positions(division.rows, split.seed), split.test, split.validation, classes)


def _by_time(division: Division) -> np.ndarray:
    """The newest moments are the test, those before them validation; rows of one moment stay together."""
    split = division.split
    instants, codes = np.unique(division.moments.values, return_inverse=True)
    older = np.concatenate([[0], np.cumsum(np.bincount(codes))])[:-1] / len(codes)
    start_test = 1 - split.test
    start_validation = start_test * (1 - split.validation)
    of_moment = np.zeros(len(instants), np.uint8)
    of_moment[older >= start_validation] = VALIDATION
    of_moment[older >= start_test] = TEST
    if not (of_moment == TEST).any():
        of_moment[-1] = TEST
    if len(instants) > 2 and not (of_moment == VALIDATION).any():
        of_moment[np.flatnonzero(of_moment == TEST)[0] - 1] = VALIDATION
    return of_moment[codes]


def _by_group(division: Division) -> np.ndarray:
    """A group's part follows from its name alone. Rows without a group are one group."""
    split = division.split
    return _parts_of(positions(division.rows, split.seed), split.test, split.validation)


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
