"""What is measured of each class, and how often the event occurs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headway.evaluate.calibration import wilson
from headway.evaluate.resample import Bootstrap, Units, interval
from headway.evaluate.result import ClassResult, Estimate, EventRate
from headway.evaluate.shares import exact
from headway.tasks.labels import Labels
from headway.tasks.metric import Groups, Statistic

MOST_CLASSES = 200
"""Of more classes no table is made: it would be too long to read."""

NAMES = ("precision", "recall", "f1")


def measure_classes(
    classes: Sequence[str], target: np.ndarray, prediction: np.ndarray, resamples: int, units: Units, seed: int = 0
) -> dict[str, ClassResult]:
    """Precision, recall and F1 of each class, by the likeliest class of each row; empty where there are no classes, or too many."""
    if not 2 <= len(classes) <= MOST_CLASSES or not len(target):
        return {}
    labels = Labels(target, prediction)
    whole = labels.whole(units.groups or Groups(np.zeros(len(target), np.int64), 1))
    keys = [(name, code) for name in NAMES for code in range(len(classes))]
    values = {f"{name} {code}": float(getattr(whole, name)[0, code]) for name, code in keys}
    statistics = {
        f"{name} {code}": Statistic(labels, lambda counts, name=name, code=code: getattr(counts, name)[:, code])
        for name, code in keys
    }
    draws = Bootstrap(units, resamples, seed).draws(statistics, values)

    predicted = prediction.argmax(1)

    def estimate(name: str, code: int) -> Estimate:
        key, sides = f"{name} {code}", {"precision": predicted, "recall": target}
        rows = sides[name] == code if name in sides else None
        return exact(Estimate(values[key], *interval(draws[key], units.count)), rows, units)

    return {
        label: ClassResult(int(whole.actual[0, code]), {name: estimate(name, code) for name in NAMES})
        for code, label in enumerate(classes)
    }


def event_rate(classes: Sequence[str], target: np.ndarray, rare: bool) -> EventRate | None:
    """Of the second of two classes; ``rare``: whether it decides on the metric that decides. None without rows."""
    if not len(target):
        return None
    count, rows = int((target == 1).sum()), len(target)
    return EventRate(classes[1], count, rows, count / rows, *wilson(count / rows, rows), leads=rare)
