"""A line of names that is not whole: names that are missing or occur twice, or one name fewer than there are values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence


def whole_names(line: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """A name for each column, and notes on those that were made; ``rows``: of values, of equal width.

    R writes no name above the names of its rows; spreadsheets end lines with delimiters; a comment begins with a mark of its own.
    """
    names, notes = list(line), []
    if rows and len(rows[0]) == len(names) - 1 and not re.search(r"\w", names[0]):
        return whole_names(names[1:], rows)
    if rows and len(rows[0]) == len(names) + 1:
        if any(row[-1].strip() for row in rows):
            names = [_new("row", names), *names]
            notes.append(f"one name fewer than values in each row: the first column is called {names[0]}")
        else:
            names.append("")
    blank = [place for place, name in enumerate(names) if not name]
    if len(blank) > 1 or len(names) > len(line):
        for place in blank:
            names[place] = _new(f"column_{place + 1}", names)
    counts = Counter(names)
    for place, name in enumerate(names):
        if name in names[:place]:
            names[place] = _new(name, names)
            notes.append(f"{name} occurs {counts[name]} times in the line of names: one is called {names[place]}")
    return names, notes


def _new(name: str, names: Sequence[str]) -> str:
    """The name, with a number where it is taken."""
    candidates = [name, *(f"{name}_{number}" for number in range(2, len(names) + 3))]
    return next(one for one in candidates if one not in names)
