"""ROC and precision-recall curves against scikit-learn's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from headway.evaluate.curves import curves_of
from headway.evaluate.metrics import measure
from headway.evaluate.plots import draw
from headway.evaluate.resample import Units
from headway.evaluate.result import Evaluation


def drawn_lines(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The lines with a label that pictures will have drawn: (T, 2) points of each."""
    from matplotlib.axes import Axes

    lines: dict[str, np.ndarray] = {}
    plot, level = Axes.plot, Axes.axhline

    def kept_plot(axes: Axes, *values: Any, **style: Any) -> Any:
        lines[style.get("label", "")] = np.stack([np.asarray(one, float) for one in values[:2]], -1)
        return plot(axes, *values, **style)

    def kept_level(axes: Axes, y: float, **style: Any) -> Any:
        lines[style["label"]] = np.array([[0, y], [1, y]])
        return level(axes, y, **style)

    monkeypatch.setattr(Axes, "plot", kept_plot)
    monkeypatch.setattr(Axes, "axhline", kept_level)
    return lines


def farthest(points: np.ndarray, line: np.ndarray) -> float:
    """How far the farthest of ``points`` (T, 2) is from the ``line`` (U, 2) through its own points."""
    most = 0.0
    start, step = line[:-1], np.diff(line, axis=0)
    length = np.maximum((step**2).sum(1), 1e-300)
    for some in np.array_split(points, max(1, len(points) // 50)):
        along = (((some[:, None] - start) * step).sum(2) / length).clip(0, 1)
        apart = some[:, None] - start - along[..., None] * step
        most = max(most, float(np.sqrt((apart**2).sum(2)).min(1).max()))
    return most


def test_the_curves_of_a_rare_event_show_all_its_rows_though_a_sample_holds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.evaluate.plots.MOST_ROWS", 1000)
    lines = drawn_lines(monkeypatch)
    rows = 30_000
    sample = Units("row", rows).sample(0, 1000)
    assert sample is not None
    target = np.zeros(rows, np.int64)
    target[np.setdiff1d(np.arange(rows), sample)[::6000]] = 1
    score = np.random.default_rng(0).random(rows) * 0.6 + 0.35 * target
    prediction = np.stack([1 - score, score], 1)
    metrics = measure("classification", target, prediction, 20)
    evaluation = Evaluation("classification", "auc", metrics=metrics)
    draw(tmp_path, ("no", "yes"), target, {"model": prediction}, evaluation, [])
    roc = lines[f"model, AUC {roc_auc_score(target, score):.4f}"]
    assert np.trapezoid(roc[:, 1], roc[:, 0]) == pytest.approx(roc_auc_score(target, score))
    curve = lines[f"model, average {average_precision_score(target, score):.4f}"]
    precision, recall, _ = precision_recall_curve(target, score, drop_intermediate=True)
    steps = np.unique(recall)[1:]  # at each, the highest precision is that of the threshold which reaches it
    highest = [precision[recall == step].max() for step in steps]
    np.testing.assert_allclose([curve[curve[:, 0] == step, 1].max() for step in steps], highest)
    np.testing.assert_allclose(lines["share of positives 0.000167"][:, 1], target.mean())


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
@pytest.mark.parametrize("digits", [2, 7])
def test_thinned_curves_are_scikit_learns_to_the_width_of_a_column(
    share: float, digits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.evaluate.curves.COLUMNS", 100)
    rng = np.random.default_rng(0)
    target = (rng.random(4000) < share).astype(np.int64)
    score = np.round(1 / (1 + np.exp(-rng.normal(size=4000) - 2 * target)), digits)
    curves = curves_of(target, score)
    assert max(len(curves.roc), len(curves.precision_recall)) <= 400
    false, true, _ = roc_curve(target, score, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(target, score)
    theirs = {"roc": np.stack([false, true], 1), "precision_recall": np.stack([recall, precision], 1)[::-1]}
    for name, points in theirs.items():
        own = getattr(curves, name)
        assert (np.diff(own[:, 0]) >= 0).all()
        np.testing.assert_allclose(own[[0, -1]], points[[0, -1]], atol=1e-12)
        assert farthest(own, points) < 1e-9, "each point of ours is one of theirs"
        assert farthest(points, own) < 0.01, "and none of theirs is far from ours"
    assert np.trapezoid(curves.roc[:, 1], curves.roc[:, 0]) == pytest.approx(roc_auc_score(target, score), abs=5e-3)
