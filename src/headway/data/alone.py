"""How well one column alone predicts the target, without training anything: the sign of a leak."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from headway.columns import Kind, column_type
from headway.tasks import TaskName, task_of

SAMPLE = 100_000
FOLDS = 5
BINS = 200
CLASSES = 20
"""So many of the largest classes are looked at."""

FEWEST = 10
"""A class with fewer rows is not judged: of half as many rows, an honest column often orders all correctly."""


class Alone:
    """A target, and how well one column alone predicts it. What concerns the target is computed once for all columns."""

    def __init__(self, target: pd.Series, task: TaskName) -> None:
        self._rows = target.notna().to_numpy()
        present = target[self._rows]
        self._fold = np.random.default_rng(0).integers(0, FOLDS, len(present))
        self._has_classes = task_of(task).has_classes
        self._numbers = np.zeros(0) if self._has_classes else present.to_numpy(np.float64)
        self._classes, counts = np.zeros(0, np.int64), pd.Series(dtype=np.int64)
        if self._has_classes:
            counts = present.value_counts()
            self._classes = pd.factorize(present)[0]
        largest = [(present == value).to_numpy() for value in counts.index[: CLASSES if len(counts) > 2 else 1]]
        self._events = [event for event in largest if min(event.sum(), (~event).sum()) >= FEWEST]

    def power(self, feature: pd.Series, kind: Kind) -> tuple[float, str]:
        """Between 0 and 1, and the measure's name: AUC for classes, R² for numbers.

        Of many classes it is the lowest AUC of the largest ones, each against the rest: a column that separates one species from two
        others is an honest feature, one that separates all of them is likely a copy.

        Values are scored out of fold, so that a column with a value of its own in every row does not look good.
        """
        feature = self._present(feature)
        line = column_type(kind).line(feature)
        groups = pd.factorize(feature, use_na_sentinel=False)[0] if line is None else _binned(line)
        if not self._has_classes:
            return self._r2(groups), "R²"
        powers = []
        for event in self._events:
            power = auc(_out_of_fold(groups, event.astype(np.float64), self._fold), event)
            if line is not None and np.isfinite(line).all():
                plain = auc(line, event)
                power = max(power, plain, 1 - plain)
            powers.append(power)
        return max(0.5, min(powers, default=0.5)), "AUC"

    def is_copy(self, feature: pd.Series) -> bool:
        """Whether a column's values stand for the classes: each of them is of one class, and each class has one value.

        A missing value may be a value as others are, or unknown in fewer than half of the rows; or a column is missing in all rows of one
        of two classes, and in no others. Never of numbers as a target.
        """
        sizes = np.sort(np.bincount(self._classes))
        if len(sizes) < 2 or sizes[-2] < FEWEST:
            return False
        feature, classes = self._present(feature), self._classes
        missing = feature.isna().to_numpy()
        values, different = pd.factorize(feature, use_na_sentinel=False)
        if len(different) > len(sizes) + 1 and (len(sizes) > 2 or not missing.any()):
            return False  # one of them may be the missing ones'
        everywhere = np.ones(len(classes), bool)
        present = ~missing if missing.mean() < 0.5 else everywhere
        tries = ((values, everywhere), (values, present), (missing.astype(np.int64), everywhere))
        return any(_one_to_one(codes[some], classes[some], len(sizes)) for codes, some in tries)

    def _present(self, feature: pd.Series) -> pd.Series:
        return feature if self._rows.all() else feature[self._rows]

    def _r2(self, groups: np.ndarray) -> float:
        target = self._numbers
        spread = float(((target - target.mean()) ** 2).sum())
        if spread == 0 or len(target) < FOLDS:
            return 0.0
        residual = float(((target - _out_of_fold(groups, target, self._fold, 1e-9)) ** 2).sum())
        return max(0.0, 1 - residual / spread)


def _one_to_one(codes: np.ndarray, classes: np.ndarray, count: int) -> bool:
    """Whether ``count`` codes stand for as many classes."""
    pairs = np.unique(np.stack([codes, classes]), axis=1) if len(np.unique(codes)) == count else np.empty((2, 0))
    return pairs.shape[1] == count == len(np.unique(pairs[1]))


def _binned(numbers: np.ndarray) -> np.ndarray:
    """Codes of bins of neighbouring values, by rank. Missing values are a bin of their own."""
    present = ~np.isnan(numbers)
    codes = np.zeros(len(numbers), np.int64)
    ordered = np.sort(numbers[present])
    if len(ordered):
        cuts = ordered[_places_of_cuts(len(ordered))]
        cuts = cuts[np.concatenate([[True], cuts[1:] != cuts[:-1]])]
        codes[present] = 1 + np.searchsorted(cuts, numbers[present], side="right")
    return codes


@functools.lru_cache(maxsize=16)
def _places_of_cuts(rows: int) -> np.ndarray:
    """The numbers of the rows, by size, at the quantiles between the bins: the same for every column without missing values."""
    shares = np.linspace(0, 1, BINS + 1)[1:-1]
    return np.quantile(np.arange(rows), shares, method="nearest").astype(np.int64)


def _out_of_fold(groups: np.ndarray, target: np.ndarray, fold: np.ndarray, prior: float = 1.0) -> np.ndarray:
    """Each row's group mean of the target over the other folds, drawn towards the overall mean as by ``prior`` rows."""
    cells = groups * FOLDS + fold
    size = FOLDS * (int(groups.max()) + 1)
    counts, sums = (np.bincount(cells, weights, size).reshape(-1, FOLDS) for weights in (None, target))
    rest = np.bincount(groups)[:, None] - counts
    total = np.bincount(groups, target)[:, None] - sums
    return ((total + prior * target.mean()) / (rest + prior)).ravel()[cells]


def auc(score: np.ndarray, event: np.ndarray) -> float:
    """Area under the ROC curve by mid-ranks (Mann and Whitney 1947). ``score`` has no NaN."""
    values, codes = np.unique(score, return_inverse=True)
    positives, rows = np.bincount(codes, event, len(values)), np.bincount(codes, minlength=len(values))
    below = np.cumsum(rows - positives) - (rows - positives) / 2
    return float(positives @ below / (positives.sum() * (len(event) - positives.sum())))


REMAINDERS = 3
"""A sum may lack so many different amounts: a fee that is not among the columns, or is charged in some rows only."""


def sum_of_columns(numbers: Mapping[str, pd.Series], target: pd.Series) -> tuple[str, ...]:
    """One to four columns that add up to the target in every row, but for rounding and a part of few different amounts; otherwise empty.

    A missing value is nothing to add, or its row is left out. A few rows rule out nearly every combination, so the work is that of the
    combinations on those rows only.
    """
    frame = pd.DataFrame({**numbers, "\0target": target}).dropna(subset=["\0target"])
    if len(frame) < 10:
        return ()
    parts, sums = frame.drop(columns="\0target").astype(np.float64), frame["\0target"].to_numpy(np.float64)
    values, varied = parts.to_numpy(), np.flatnonzero(parts.max() > parts.min()).tolist()
    rows = np.linspace(0, len(frame) - 1, min(50, len(frame))).astype(int)
    few, aim = values[rows], sums[rows]
    step = _rounding(sums)
    lacking = REMAINDERS if len(np.unique(aim)) > len(aim) / 2 and sums.std() > 50 * step else 0
    names = list(numbers)
    for size in MOST_COLUMNS:
        if len(varied) > MOST_COLUMNS[size]:
            break
        for indices in itertools.combinations(varied, size):
            columns = list(indices)
            if _adds_up(few[:, columns], aim, step, lacking) and _adds_up(values[:, columns], sums, step, lacking):
                return tuple(names[i] for i in indices)
    return ()


MOST_COLUMNS = {1: 20_000, 2: 2000, 3: 60, 4: 25}
"""Of more columns there are too many combinations of so many."""


def _rounding(sums: np.ndarray) -> float:
    """What sums are rounded to: 0.01 for amounts of money; next to nothing where they have more than four decimals."""
    scale = max(1.0, float(np.abs(sums).max()))
    for decimals in range(5):
        if np.abs(sums - np.round(sums, decimals)).max() <= scale * 1e-9:
            return 10.0**-decimals
    return scale * 1e-9


def _adds_up(parts: np.ndarray, sums: np.ndarray, step: float, lacking: int) -> bool:
    """Whether parts (N, K) add up to the sums (N,), in the rows that lack none of them, or with 0 for what is missing."""
    whole = ~np.isnan(parts).any(axis=1)
    if whole.sum() >= max(10, len(sums) / 2) and _is_small(sums[whole] - parts[whole].sum(axis=1), sums, step, lacking):
        return True
    return not whole.all() and _is_small(sums - np.nansum(parts, axis=1), sums, step, lacking)


def _is_small(rest: np.ndarray, sums: np.ndarray, step: float, lacking: int) -> bool:
    """Whether what parts lack of their ``sums`` is less than rounding, or one of ``lacking`` amounts in many rows."""
    if np.abs(rest).max() <= max(1.0, float(np.abs(sums).max())) * 1e-9:
        return True
    if not lacking or np.ptp(rest) > sums.std():
        return False
    amounts, counts = np.unique(np.round(rest / step), return_counts=True)
    groups = np.split(counts, np.flatnonzero(np.diff(amounts) > 2) + 1)
    return len(groups) <= lacking and all(group.sum() >= 0.1 * len(rest) for group in groups)
