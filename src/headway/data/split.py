"""Which rows train, which validate, which test: one small array, the same on every run with the same data."""

from __future__ import annotations

import fnmatch
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from headway.base import ConfigError, DataError
from headway.data.config import SPLITS, SplitConfig
from headway.data.moments import moments

if TYPE_CHECKING:
    from headway.data.source import Table

TRAIN, VALIDATION, TEST = range(3)


def assign(table: Table, split: SplitConfig) -> np.ndarray:
    """The split of each row: (N,) uint8, an index into SPLITS. Only the columns needed are read.

    Raises ConfigError when the split cannot be done as stated, DataError when it leaves a part empty.
    """
    parts = {
        "stratified": _stratified,
        "random": _random,
        "time": _by_time,
        "group": _by_group,
        "files": _by_files,
        "column": _by_column,
    }[split.by](table, split)
    counts = np.bincount(parts, minlength=3)
    for name, count in zip(SPLITS, counts, strict=True):
        if count == 0:
            raise DataError(
                f"each of {', '.join(SPLITS)} must have rows, however {name} has none of {len(parts):,}; change split"
            )
    return parts


def _column(table: Table, name: str) -> pd.Series:
    """One column in row order."""
    chunks = [chunk.batch.column(name) for chunk in table.chunks(columns=[name])]
    return pa.chunked_array(chunks).to_pandas()


def _cut(order: np.ndarray, parts: np.ndarray, split: SplitConfig) -> None:
    """Mark the first rows of ``order`` as test, the next as validation, in exact shares."""
    test = round(len(order) * split.test)
    parts[order[:test]] = TEST
    parts[order[test : test + round((len(order) - test) * split.validation)]] = VALIDATION


def _random(table: Table, split: SplitConfig) -> np.ndarray:
    parts = np.zeros(table.count(), np.uint8)
    _cut(np.random.default_rng(split.seed).permutation(len(parts)), parts, split)
    return parts


def _strata(values: pd.Series) -> np.ndarray:
    """Codes of the target's classes; rows without a target are a class of their own."""
    return pd.factorize(values, sort=True)[0]


def _stratified(table: Table, split: SplitConfig) -> np.ndarray:
    codes = _strata(_column(table, table.target))
    parts = np.zeros(len(codes), np.uint8)
    rng = np.random.default_rng(split.seed)
    for code in np.unique(codes):
        _cut(rng.permutation(np.flatnonzero(codes == code)), parts, split)
    return parts


def _by_time(table: Table, split: SplitConfig) -> np.ndarray:
    """The newest moments are the test, those before them validation; rows of one moment stay together."""
    instants, codes = np.unique(moments(table, split), return_inverse=True)
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


def _by_group(table: Table, split: SplitConfig) -> np.ndarray:
    """A group's part follows from its name alone, so it does not move when rows are added."""
    groups = _column(table, str(split.column)).astype("string").fillna("")
    hashes = pd.util.hash_array(groups.to_numpy(object), hash_key=f"{split.seed:016d}", categorize=True)
    shares = hashes.astype(np.float64) / 2.0**64
    limit = split.test + (1 - split.test) * split.validation
    return np.where(shares < split.test, TEST, np.where(shares < limit, VALIDATION, TRAIN)).astype(np.uint8)


def _by_files(table: Table, split: SplitConfig) -> np.ndarray:
    """The files that match are the test; validation is drawn from the others, stratified for classes."""
    pattern = str(split.test_files)
    official = [fnmatch.fnmatch(PurePath(file).name, pattern) for file in table.files]
    if not any(official) or all(official):
        raise ConfigError(
            f"split.test_files must match some files and leave others, however {pattern!r} matches "
            f"{sum(official)} of {len(official)}: {', '.join(PurePath(f).name for f in table.files[:5])}"
        )
    files, targets = [], []
    for chunk in table.chunks(columns=[table.target]):
        files.append(np.full(chunk.batch.num_rows, chunk.file))
        targets.append(chunk.batch.column(table.target))
    parts = np.where(np.asarray(official)[np.concatenate(files)], TEST, TRAIN).astype(np.uint8)
    codes = np.zeros(len(parts), int)
    if table.task == "classification":
        codes = _strata(pa.chunked_array(targets).to_pandas())
    rng = np.random.default_rng(split.seed)
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero((codes == code) & (parts == TRAIN)))
        parts[rows[: round(len(rows) * split.validation)]] = VALIDATION
    return parts


def _by_column(table: Table, split: SplitConfig) -> np.ndarray:
    names = (
        _column(table, str(split.column))
        .astype("string")
        .str.strip()
        .str.lower()
        .replace({"valid": "validation", "val": "validation"})
    )
    parts = pd.Index(SPLITS).get_indexer(pd.Index(names.fillna("").astype(object)))
    if (parts < 0).any():
        row = int(np.flatnonzero(parts < 0)[0])
        raise DataError(
            f"{split.column} must say train, validation or test in every row, however row {row + 1} says {names.iloc[row]!r}"
        )
    if not (parts == VALIDATION).any():
        rows = np.random.default_rng(split.seed).permutation(np.flatnonzero(parts == TRAIN))
        parts[rows[: round(len(rows) * split.validation)]] = VALIDATION
    return parts.astype(np.uint8)
