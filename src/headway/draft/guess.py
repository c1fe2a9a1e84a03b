"""The likely type of a column: the types are tried in their order."""

from __future__ import annotations

import re
from datetime import date, time, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd

from headway.columns import column_types
from headway.columns.recognition import FEW, Guess, Specimen
from headway.data.files import IMAGES

READABLE = (str, int, float, Decimal, date, time, np.number, np.bool_)
"""What single values are as pandas has them; a datetime is a date."""
IMAGE = re.compile(rf"(?i:[^\n]*({'|'.join(map(re.escape, IMAGES))})(\?\S*)?\s*)")
NAMES: dict[type, str] = {pd.Timedelta: "durations", timedelta: "durations", bytes: "bytes"}


def guess(name: str, column: pd.Series, doubt: str = "") -> Guess:
    """By the values; for ids, by the name too. ``doubt``: why the values cannot be read as they are."""
    present = column.dropna()
    if doubt:
        return Guess("ignore", None, doubt)
    if not len(present):
        return Guess("ignore", None, "missing in every row")
    if not name.strip():
        return Guess("ignore", None, "it has no name")
    if any(isinstance(value, (list, dict, np.ndarray)) for value in present.head(100)):
        return Guess("ignore", None, "holds lists or mappings, not single values")
    if not is_readable(column):
        first = type(present.iloc[0])
        return Guess("ignore", None, f"holds {NAMES.get(first, first.__name__)}, which no type of column reads")
    specimen = Specimen(name, column, present)
    if specimen.distinct == 1 and len(present) == len(column):
        return Guess("ignore", None, f"always {present.iloc[0]}")
    if specimen.distinct > FEW and all(IMAGE.fullmatch(str(value)) for value in present.head(1000)):
        return Guess("ignore", None, "names images, which this version does not read")
    types = sorted(column_types().values(), key=lambda one: one.turn)
    return next(answer for one in types if (answer := one.recognise(specimen)) is not None)


def is_readable(column: pd.Series) -> bool:
    """Whether its values are single ones of a type that can be read."""
    present = column.dropna()
    return len(present) > 0 and isinstance(present.iloc[0], READABLE)
