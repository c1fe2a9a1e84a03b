"""A line of names: whether a line is one, and what it lacks: names that are missing or occur twice, or one name too few."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from headway.draft.numerals import MISSING

_VALUE = re.compile(r"[-+$€£(]*[.,]?\d.*|\?|")
_YEAR = re.compile(r"(19|20)\d\d")


def is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether a line's cells are names: words over numbers, rather than values like those below."""
    names, values = signs_of_names(first, rest)
    return names > 0 or not values


def signs_of_names(first: Sequence[str], rest: Sequence[Sequence[str]]) -> tuple[int, int]:
    """How many of a line's cells are names, and how many are values like those below; of other words it is not known."""
    names, values = 0, 0
    for i, cell in enumerate(one.strip() for one in first):
        below = [row[i].strip() for row in rest if row[i].strip()]
        numeric = sum(_VALUE.fullmatch(one) is not None for one in below) >= 0.8 * max(1, len(below))
        if _YEAR.fullmatch(cell) and not all(_YEAR.fullmatch(one) for one in below):
            names += 1
        elif _VALUE.fullmatch(cell) or cell.lower() in MISSING:
            values += bool(cell)
        elif numeric and below:
            names += 1
        elif cell in below:
            values += 1
    return names, values


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
