"""The verdict on newer rows: shapes by PSI and Jensen-Shannon distance, nulls and categories by Great Expectations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headway.columns.summary import Summary
from headway.data.config import Expectation
from headway.data.profile import Profile
from headway.files.records import Record
from headway.watch.clusters import Related, Sizes
from headway.watch.config import WatchConfig
from headway.watch.reference import Column, Reference
from headway.watch.statistics import (
    critical_psi,
    expected_psi,
    jensen_shannon,
    least_by_chance,
    most_by_chance,
    psi,
    without_noise,
)

PREDICTIONS = "predictions"
"""The name of the predictions in reports; no column of a table is compared under this name."""


@dataclass(frozen=True)
class Shift(Record):
    """One column, now against training. ``chance``: the PSI that occurs without any drift. None: nothing to compare.

    ``effect``: by how many times the newest shares vary more than those of independent rows; 1 where each row stands for itself.
    """

    column: str
    drifted: bool
    psi: float | None
    chance: float | None
    jensen_shannon: float | None
    nulls_before: float
    nulls_now: float
    effect: float = 1.0


def shifts(
    reference: Reference,
    newest: Profile,
    prediction: Summary | None,
    limits: WatchConfig,
    sizes: Sizes | None = None,
) -> list[Shift]:
    """The predictions, then every column that both have; they share the chance of a false alarm.

    ``sizes``: the units that the newest rows belong to; None where each row stands for itself.
    """
    pairs = [(n, c, newest.columns[n]) for n, c in reference.columns.items() if n in newest.columns]
    if reference.prediction is not None and prediction is not None:
        pairs.insert(0, (PREDICTIONS, reference.prediction, prediction))
    share = limits.false_alarms / max(1, len(pairs))
    return [_shift(name, before, now, limits, share, related(before, sizes)) for name, before, now in pairs]


def related(column: Column, sizes: Sizes | None) -> Related | None:
    """How rows of the column depend on each other; None where they do not, or where it was not measured."""
    return None if sizes is None or column.correlation is None else Related(column.correlation, sizes.size)


def _shift(name: str, before: Column, now: Summary, limits: WatchConfig, share: float, alike: Related | None) -> Shift:
    then, counts = np.asarray(before.counts, float), before.bin_counts(now)
    nulls = before.nulls / max(1, before.rows), now.nulls / max(1, now.rows)
    index = psi(then, counts, alike) if len(then) else math.nan
    if math.isnan(index):
        return Shift(name, False, None, None, None, *nulls)
    expectation, chance = expected_psi(then, counts, alike), critical_psi(then, counts, share, alike)
    distance = jensen_shannon(then, counts)
    far = index - expectation > limits.psi or without_noise(distance, expectation) > limits.jensen_shannon
    effect = alike.means[1] if alike is not None else 1.0
    return Shift(name, bool(far and index > chance), index, chance, distance, *nulls, effect)


def expectations(
    reference: Reference, newest: Profile, limits: WatchConfig, sizes: Sizes | None = None
) -> list[Expectation]:
    """The rules by which Great Expectations judges the newer rows, derived from the training's profile.

    The shares of nulls and of new categories may change only within the limits and chance.
    """
    rules: list[Expectation] = []
    share = limits.false_alarms / max(1, len(reference.columns))
    for name, column in reference.columns.items():
        if name not in newest.columns:
            continue
        alike, before = related(column, sizes), column.nulls / max(1, column.rows)
        rows = _independent(newest.rows, column.rows, alike)
        most = most_by_chance(rows, before + limits.nulls, share)
        least = least_by_chance(rows, before - limits.nulls, share)
        rules.append(_ask("column_values_to_not_be_null", name, mostly=_mostly(1 - most)))
        if least > 0:
            rules.append(_ask("column_values_to_be_null", name, mostly=_mostly(least)))
        if column.known:
            with_value = newest.columns[name].finite
            if alike is not None:  # a new unit may bring a new category to all its rows
                with_value = math.floor(with_value / alike.effects(1)[1][0])
            new = most_by_chance(with_value, limits.unseen, share)
            value_set = list(column.known)
            rules.append(_ask("column_values_to_be_in_set", name, value_set=value_set, mostly=_mostly(1 - new)))
    return rules


def _independent(now: int, before: int, alike: Related | None) -> int:
    """The number of independent rows whose share of nulls varies as much as that of ``before`` and ``now`` related rows."""
    if alike is None:
        return now
    first, second = alike.of_nulls
    return math.floor(1 / (first / max(1, before) + second / max(1, now)))


def _ask(what: str, column: str, **arguments: object) -> Expectation:
    return Expectation.model_validate({"expect": what, "column": column, "severity": "warn", **arguments})


def _mostly(share: float) -> float:
    """Rounded down, so that a share exactly at its limit passes."""
    return math.floor(min(1.0, max(0.0, share)) * 1e9) / 1e9


def summary(columns: Sequence[Shift], violations: Sequence[str], of: str = "") -> str:
    """One line: whether there is drift, and in which columns most; ``of``: the number of units, where units are not rows."""
    drifted = [shift for shift in columns if shift.drifted]
    rows = f" ({of})" if of else ""
    if not drifted and not violations:
        return f"no drift: {len(columns)} columns are as in training{rows}"
    parts = []
    if drifted:
        worst = sorted(drifted, key=lambda shift: -(shift.psi or 0))
        texts = ", ".join(f"{shift.column} (PSI {shift.psi:.3f})" for shift in worst[:5])
        parts.append(texts + (f" and {len(worst) - 5} more" if len(worst) > 5 else ""))
    parts += list(violations[:3])
    return "drift: " + "; ".join(parts) + rows
