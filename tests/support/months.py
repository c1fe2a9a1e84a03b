"""Rows of months, for tables that grow by a file."""

from __future__ import annotations

import numpy as np
import pandas as pd


def visits(random: np.random.Generator, month: int, rows: int) -> pd.DataFrame:
    """A number with nulls that rises by month, a category, a text and a moment of that month of 2024."""
    towns = ["Ulm", "Köln", "Bonn"]
    frame = pd.DataFrame({"age": random.normal(40 + month, 10, rows), "town": random.choice(towns, rows)})
    frame.loc[random.random(rows) < 0.1, "age"] = None
    frame["note"] = [f"note {i}" for i in random.integers(0, 300, rows)]
    frame["seen"] = pd.Timestamp(2024, month, 1) + pd.to_timedelta(random.integers(0, 28 * 24, rows), "h")
    return frame
