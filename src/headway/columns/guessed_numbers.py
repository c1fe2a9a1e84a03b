"""What `init` takes a column of numbers for: an amount, a count, an id or a code; by its name and its values."""

from __future__ import annotations

import re
import shlex

import numpy as np

from headway.columns.epochs import unit_of
from headway.columns.recognition import FEW, Guess, Specimen, is_number, numbers

LARGEST = 1e150
"""Squares of larger numbers are beyond what a double holds, and with them every spread."""

FEWEST_DIGITS = 8
"""Whole numbers of at least so many digits, all of the same number of them, are likely ids where they come again."""

MOST_THINGS = 1000
"""Numbers that stand for things are categories where there are so many different ones, or recur in half the rows."""

_AMOUNT, _CODE = "numeric", "categorical"


def guess_of_numbers(specimen: Specimen) -> Guess | None:
    """None where values are no numbers, or are ids that a float cannot tell apart."""
    if not is_number(specimen.present) or _are_one(specimen):
        return None
    values = numbers(specimen.present).to_numpy()
    finite = values[np.isfinite(values)]
    if len(finite) < len(values):
        fact = f"infinite in {len(values) - len(finite):,} of {len(values):,} rows"
        return Guess("ignore", None, f"{fact}; correct them to use it")
    if np.abs(finite).max() > LARGEST:
        return Guess("ignore", None, f"numbers as large as {np.abs(finite).max():g}; correct them to use it")
    whole = bool((values == np.floor(values)).all())
    return (_of_whole(specimen, values) if whole else None) or _amount(specimen, values)


def _of_whole(specimen: Specimen, values: np.ndarray) -> Guess | None:
    """Ids, codes, grades and counts; None for amounts."""
    distinct = specimen.distinct
    unique = len(specimen.values) > 20 and distinct == len(specimen.values)
    if unique and (specimen.is_called_an_id or bool((np.diff(values) == 1).all())):
        return Guess("key", None, "a different whole number in every row")
    if distinct <= FEW and len(values) > 4 * distinct:
        return _of_few(specimen, values)
    if specimen.is_called_a_thing and not unique:
        what = f"{distinct:,} different whole numbers in {len(values):,} rows"
        if distinct <= max(MOST_THINGS, len(values) // 2):
            return Guess("feature", _CODE, f"{what}, codes by the name; where their order counts: numeric")
        if specimen.is_called_an_id:
            return Guess("key", None, what)
    digits = _digits_of_ids(values)
    if digits is None or unit_of(values) or 2 * distinct > len(values):
        return None
    why = f"{distinct:,} different numbers of {digits} digits, so likely ids; where their size counts: numeric"
    return Guess("feature", _CODE, why)


def _of_few(specimen: Specimen, values: np.ndarray) -> Guess:
    """Grades, counts and years have an order, and next year is a number that no code is; flags and codes have none."""
    low, high = values.min(), values.max()
    if specimen.distinct == 2 and high - low == 1 and low in (0, 1):
        return Guess("feature", _CODE, f"{low:g} or {high:g}, so likely a flag")
    what = f"whole numbers from {low:g} to {high:g}, {specimen.distinct} different ones"
    if specimen.is_called_a_code:
        return Guess("feature", _CODE, f"{what}, codes by the name; where their order counts: numeric")
    return Guess("feature", _AMOUNT, f"{what}; if they are codes without an order: categorical")


def _amount(specimen: Specimen, values: np.ndarray) -> Guess:
    why, unit = f"numbers from {_shown(values.min())} to {_shown(values.max())}", unit_of(values)

    def setting(words: str) -> str:
        return f"--set {shlex.quote(f'data.written.{specimen.name}.{words}')}"

    fix = f"; if they are {unit} since 1970: {setting(f'dates={unit}')}" if unit else ""
    if (mark := _mark_of_missing(values)) is not None:
        fact = f"{mark:.0f} is far from the others and occurs {np.sum(values == mark):,} times"
        fix = f"; {fact}: if it means missing, {setting(f'missing={mark:.0f}')}"
    return Guess("feature", _AMOUNT, why + fix)


def _shown(number: float) -> str:
    return f"{number:.0f}" if number % 1 == 0 and abs(number) < 1e15 else f"{number:g}"


def _digits_of_ids(values: np.ndarray) -> int | None:
    """The number of digits of numbers that all have as many, and of which few are round, as of accounts and cards; otherwise None."""
    low, high = float(values.min()), float(values.max())
    digits = len(f"{low:.0f}")
    if low < 10 ** (FEWEST_DIGITS - 1) or len(f"{high:.0f}") != digits or (values % 1000 == 0).mean() > 0.1:
        return None
    return digits


def _mark_of_missing(values: np.ndarray) -> float | None:
    """The least or largest number where it is made of nines, recurs, and is farther from the others than these are from each other."""
    for end in (values.min(), values.max()):
        others = values[values != end]
        if re.fullmatch(r"-?9{2,}", f"{end:.0f}") and end % 1 == 0 and 1 < len(values) - len(others) < len(others):
            low, high = others.min(), others.max()
            if low < high and max(low - end, end - high) > high - low:
                return float(end)
    return None


def _are_one(specimen: Specimen) -> bool:
    """Whether two or more whole numbers are one 64-bit float, as ids near 2**63 are: then they are read as texts."""
    if not specimen.texts.str.fullmatch(r"-?\d{16,}").any() or not specimen.texts.str.fullmatch(r"-?\d+").all():
        return False
    return 2 * len(np.unique(numbers(specimen.present).to_numpy())) <= specimen.distinct
