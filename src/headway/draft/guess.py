"""What a column of unknown meaning most likely is: each type is asked, in its turn."""

from __future__ import annotations

import numpy as np
import pandas as pd

from headway.columns import column_types
from headway.columns.recognition import Guess, Specimen


def guess(name: str, column: pd.Series, doubt: str = "") -> Guess:
    """Judge by the values, and for ids by the name too. ``doubt``: why the values cannot be read as they are."""
    known = column.dropna()
    if doubt:
        return Guess("ignore", None, doubt)
    if not len(known):
        return Guess("ignore", None, "missing in every row")
    if any(isinstance(value, (list, dict, np.ndarray)) for value in known.head(100)):
        return Guess("ignore", None, "holds lists or mappings, not single values")
    specimen = Specimen(name, column, known)
    if specimen.distinct == 1 and len(known) == len(column):
        return Guess("ignore", None, f"always {known.iloc[0]}")
    types = sorted(column_types().values(), key=lambda one: one.turn)
    return next(answer for one in types if (answer := one.recognise(specimen)) is not None)
