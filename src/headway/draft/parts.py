"""The test rows that the data itself names: a column that says train or test in each row, or files that have it in their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import PurePath

import pandas as pd

from headway.data.split import PARTS, TEST, TRAIN, part_words


def part_column(frame: pd.DataFrame) -> str | None:
    """The first column that says of each row whether it is for training, validation or test; None where there is none."""
    for name in frame.columns:
        if all(isinstance(value, str) and value.strip().lower() in PARTS for value in frame[name].iloc[:1000]):
            words = set(part_words(frame[name]))
            if words <= PARTS.keys() and {TRAIN, TEST} <= {PARTS[word] for word in words}:
                return str(name)
    return None


def test_files(files: Sequence[str]) -> str | None:
    """The glob of the test files, where every file has train or test in its name; None where they do not."""
    names = [PurePath(file).name for file in files]
    words = [{PARTS.get(word) for word in re.findall("[a-z]+", name.lower())} & {TRAIN, TEST} for name in names]
    if not all(len(one) == 1 for one in words) or not {TRAIN, TEST} <= set().union(*words):
        return None
    return next(
        (
            glob
            for glob in ("*test*", "*Test*", "*TEST*")
            if [fnmatch(n, glob) for n in names] == [TEST in w for w in words]
        ),
        None,
    )
