"""Pictures, where people would rather look. Their style is in `style`.

scikit-learn's display classes do not draw them: they round an AUC to two digits, where models differ in the third, have no intervals
of a calibration, colour a confusion by what they print, and draw residuals of a thousand rows only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headway.evaluate.curves import Curves, curves_of
from headway.evaluate.metrics import title_of
from headway.evaluate.resample import Units
from headway.evaluate.result import CalibrationBin, Evaluation, Importance
from headway.evaluate.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    figure_of,
    legend,
    number,
    plain_ticks,
    style_axes,
)
from headway.tasks import task_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"model": BLUE, "champion": ORANGE, "boosting": GREEN, "linear": PURPLE, "trivial": GREY}
DOTS = 110
MOST_COLUMNS = 20
MOST_POINTS = 600
"""Points of a curve: more cannot be seen."""
MOST_ROWS = 200_000
"""Test rows at most, drawn at random, that histograms and densities show: more change nothing that can be seen. A confusion, a ROC and
a precision-recall curve count all rows: a sample may hold none of a rare event."""

Predictions = Mapping[str, np.ndarray]
Points = Sequence[tuple[int, Mapping[str, float | None]]]


def draw(
    folder: Path,
    classes: Sequence[str],
    target: np.ndarray,
    predictions: Predictions,
    evaluation: Evaluation,
    points: Points,
) -> list[Path]:
    """Draw every picture that fits the task into ``folder``; ``points`` are a journal's metrics by step."""
    task = task_of(evaluation.task)
    sample = Units("row", len(target)).sample(0, MOST_ROWS)
    some, few, which = target, predictions, ""
    if sample is not None:
        some, which = target[sample], f", {len(sample):,} of {len(target):,} rows"
        few = {name: values[sample] for name, values in predictions.items()}
    curves = cache(lambda: {name: curves_of(target, predictions[name][:, 1]) for name in _names(predictions)})
    makers: dict[str, Callable[[], Figure | None]] = {
        "learning_curve": lambda: _learning(points),
        "metrics": lambda: _metrics(evaluation, task.baselines[0]),
        "importance": lambda: _importance(evaluation.importance),
    }
    of_rows: dict[str, Callable[[], Figure | None]] = {
        "residuals": lambda: _residuals(some, few["model"], which),
        "confusion": lambda: _confusion(classes, target, predictions["model"]),
        "roc": lambda: _roc(curves(), evaluation),
        "precision_recall": lambda: _precision_recall(curves(), float(np.mean(target == 1)), evaluation),
        "calibration": lambda: _calibration(evaluation.calibration, few["model"][:, 1], which),
    }
    makers |= {name: of_rows[name] for name in task.pictures(classes, target)}
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, make in makers.items():
        figure = make()
        if figure is not None:
            path = folder / f"{name}.png"
            figure.savefig(path, dpi=DOTS, facecolor="white")
            paths.append(path)
    return paths


def _learning(points: Points) -> Figure | None:
    """Training and validation loss by step, the best validation loss marked."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for step, values in points:
        for name in ("train/loss", "validation/loss"):
            value = values.get(name)
            if value is not None and np.isfinite(value):
                curves.setdefault(name, ([], []))[0].append(step)
                curves[name][1].append(value)
    if not curves:
        return None
    figure, axes = figure_of("Learning curve", "step", "loss")
    for name, colour in (("train/loss", GREY), ("validation/loss", BLUE)):
        if name in curves:
            steps, losses = (np.asarray(c) for c in curves[name])
            few = np.unique(np.linspace(0, len(steps) - 1, MOST_POINTS).astype(int))
            label = name.removesuffix("/loss")
            axes.plot(
                steps[few], losses[few], color=colour, linewidth=1.2 if name == "train/loss" else 1.8, label=label
            )
    if "validation/loss" in curves:
        steps, losses = (np.asarray(c) for c in curves["validation/loss"])
        best = int(np.argmin(losses))
        axes.plot(steps[best], losses[best], "o", color=ORANGE, markersize=6, label=f"best, {losses[best]:.4f}")
    everything = np.concatenate([c[1] for c in curves.values()])
    low, high = everything.min(), np.quantile(everything, 0.99)
    if high > low:
        axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    legend(axes, "upper right")
    return figure


def _names(predictions: Predictions) -> list[str]:
    """The trivial baseline has no curve worth drawing; the model is drawn last, on top."""
    return [n for n in predictions if n not in ("trivial", "model")] + ["model"]


def _line(axes: Axes, name: str, points: np.ndarray, label: str) -> None:
    own = name == "model"
    colour = COLOURS.get(name, GREY)
    axes.plot(*points.T, color=colour, linewidth=2.0 if own else 1.1, alpha=1.0 if own else 0.85, label=label)


def _with_value(name: str, metric: str, title: str, evaluation: Evaluation) -> str:
    """The name of a curve, with its metric on all test rows."""
    others = {baseline: result.metrics for baseline, result in evaluation.baselines.items()}
    if evaluation.champion is not None:
        others["champion"] = evaluation.champion.metrics
    estimate = {"model": evaluation.metrics, **others}[name].get(metric)
    return name if estimate is None or estimate.value is None else f"{name}, {title} {estimate.value:.4f}"


def _roc(curves: Mapping[str, Curves], evaluation: Evaluation) -> Figure:
    figure, axes = figure_of("ROC", "false positive rate", "true positive rate", 4.8, 4.6)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    for name, own in curves.items():
        _line(axes, name, own.roc, _with_value(name, "auc", "AUC", evaluation))
    axes.set_aspect("equal")
    legend(axes, "lower right")
    return figure


def _precision_recall(curves: Mapping[str, Curves], share: float, evaluation: Evaluation) -> Figure:
    figure, axes = figure_of("Precision and recall", "recall", "precision", 4.8, 4.6)
    label = f"share of positives {share:.3g}"
    axes.axhline(share, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), label=label)
    for name, own in curves.items():
        _line(axes, name, own.precision_recall, _with_value(name, "average_precision", "average", evaluation))
    axes.set_ylim(0, 1.02)
    legend(axes, "best")
    return figure


def _calibration(table: Sequence[CalibrationBin], probability: np.ndarray, which: str) -> Figure:
    """Observed against predicted with Wilson intervals; below, how often each probability is given."""
    figure, _ = figure_of("", "", "", 4.8, 5.2)
    figure.clear()
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    style_axes(top, "Calibration", "", "observed share")
    style_axes(bottom, "", f"predicted probability{which}", "rows")
    top.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), label="perfect")
    x, y = [row.predicted for row in table], np.array([row.observed for row in table])
    around = np.array([[row.observed - row.low for row in table], [row.high - row.observed for row in table]])
    style = {"color": BLUE, "markersize": 4, "capsize": 2, "linewidth": 1.2}
    top.errorbar(x, y, yerr=np.maximum(around, 0), fmt="o-", label="model, 95 % interval", **style)
    bottom.hist(probability, bins=40, range=(0, 1), color=BLUE, alpha=0.7)
    legend(top, "upper left")
    return figure


def _confusion(classes: Sequence[str], target: np.ndarray, prediction: np.ndarray) -> Figure:
    """Counts, coloured by the share of the true class; beyond twenty classes colours alone."""
    cells = target * len(classes) + prediction.argmax(1)
    counts = np.bincount(cells, minlength=len(classes) ** 2).reshape(len(classes), -1)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = min(10.0, 3.2 + 0.45 * len(classes))
    figure, axes = figure_of("Confusion", "predicted", "true", size + 0.6, size)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    if len(classes) <= 20:
        names = [str(c)[:18] for c in classes]
        axes.set_xticks(range(len(names)), names, rotation=0 if len(names) <= 4 else 60)
        axes.set_yticks(range(len(names)), names)
        for i, j in np.ndindex(*counts.shape):
            colour = "white" if share[i, j] > 0.55 else INK
            text = f"{counts[i, j]:,}\n{100 * share[i, j]:.0f} %" if len(classes) <= 6 else f"{counts[i, j]:,}"
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=9 if len(classes) <= 6 else 7)
    return figure


def _residuals(target: np.ndarray, prediction: np.ndarray, which: str) -> Figure:
    """Predicted against actual as densities, and the residuals' histogram."""
    figure, _ = figure_of("", "", "", 8.4, 4.2)
    figure.clear()
    left, right = figure.subplots(1, 2)
    style_axes(left, f"Predicted against actual{which}", "actual", "predicted")
    style_axes(right, "Residuals", "actual - predicted", "rows")
    low, high = np.quantile(np.concatenate([target, prediction]), [0.001, 0.999])
    if low == high:  # one value everywhere still needs a square to be drawn in
        low, high = low - 0.5, high + 0.5
    left.hexbin(target, prediction, gridsize=45, bins="log", cmap="Blues", mincnt=1, extent=(low, high, low, high))
    left.plot([low, high], [low, high], color=ORANGE, linewidth=1.0)
    residual = target - prediction
    edge = float(np.quantile(np.abs(residual), 0.995)) or 1.0
    right.hist(residual, bins=60, range=(-edge, edge), color=BLUE, alpha=0.75)
    right.axvline(0, color=ORANGE, linewidth=1.0)
    for axes in (left, right):
        axes.locator_params(axis="x", nbins=5)
    for axis in (left.xaxis, left.yaxis, right.xaxis, right.yaxis):
        plain_ticks(axis)
    return figure


def _metrics(evaluation: Evaluation, trivial: str) -> Figure | None:
    """The deciding metric of the model, the champion and the baselines, with intervals; ``trivial``: the one that knows next to nothing."""
    metric, baselines = evaluation.primary, evaluation.baselines
    rows = {"model": evaluation.metrics[metric]}
    if evaluation.champion is not None and evaluation.champion.metrics:  # none where it has learnt from every row
        rows["champion"] = evaluation.champion.metrics[metric]
    # The trivial baseline is so far away that the others would fall onto one point.
    rows |= {name: b.metrics[metric] for name, b in baselines.items() if name != trivial or len(baselines) == 1}
    if evaluation.reference is not None:
        rows[evaluation.reference.column] = evaluation.reference.metrics[metric]
    points = {
        name: (row.low, row.value, row.high)
        for name, row in rows.items()
        if row.low is not None and row.value is not None and row.high is not None
    }
    colours = {name: COLOURS.get(name, GREY) for name in points}
    return _intervals(f"{title_of(metric)}, 95 % interval", title_of(metric), points, colours) if points else None


def _importance(importance: Importance | None) -> Figure | None:
    """The columns that matter most, and grey where the interval holds 0."""
    columns = [] if importance is None else importance.columns[:MOST_COLUMNS]
    points = {o.column: (o.low, o.value, o.high) for o in columns if o.low is not None and o.high is not None}
    if importance is None or not points:
        return None
    colours = {one.column: BLUE if one.is_measurable else GREY for one in columns}
    across = f"{title_of(importance.metric)} worse by, when the column is shuffled"
    figure = _intervals("What drives it, 95 % interval", across, points, colours)
    figure.axes[0].axvline(0, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    return figure


def _intervals(
    title: str, across: str, points: Mapping[str, tuple[float, float, float]], colours: Mapping[str, str]
) -> Figure:
    """A line for each name, from low to high, with its value as a dot."""
    figure, axes = figure_of(title, across, "", 5.6, 1.4 + 0.42 * len(points))
    for i, (name, (low, value, high)) in enumerate(points.items()):
        colour = colours[name]
        axes.plot([low, high], [i, i], color=colour, linewidth=3, solid_capstyle="round", alpha=0.5)
        axes.plot(value, i, "o", color=colour, markersize=7)
        axes.annotate(number(value), (value, i), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    axes.set_yticks(range(len(points)), [name[:30] for name in points])
    axes.set_ylim(len(points) - 0.4, -0.7)
    axes.margins(x=0.12)
    plain_ticks(axes.xaxis)
    return figure
