"""An evaluation as tables: rows of texts by the name of their column, for the terminal and for web pages alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.run.report import number

if TYPE_CHECKING:
    from headway.evaluate.result import ColumnImportance, Estimate, Evaluation, Metrics

MOST_CLASSES = 30
"""Shown in a table; evaluation.json has all."""

DECIDES = "* this metric decides whether the model is promoted"
"""What the star beside a metric's name means, for below each table of metrics."""


def metric_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """One row a metric: its name, the value with its interval, then champion and baselines. All text, for any table."""
    from headway.evaluate.metrics import label_of

    others: dict[str, Metrics] = {}
    champion = evaluation.champion
    if champion is not None and champion.metrics:
        some = f" on {champion.rows:,} rows" if champion.left_out else ""
        others[f"champion v{champion.version}{some}"] = champion.metrics
    others |= {name: baseline.metrics for name, baseline in evaluation.baselines.items()}
    rows = []
    for name, metric in evaluation.metrics.items():
        values = [metric.value, *(m[name].value for m in others.values() if name in m)]
        if name != evaluation.primary and all(value is None for value in values):
            continue  # the line about what is undefined says it with the reason
        row = {
            "metric": label_of(name, evaluation.classes) + (" *" if name == evaluation.primary else ""),
            "model": number(metric.value),
            "95 % interval": _interval(metric),
        }
        rows.append(row | {other: number(m[name].value) if name in m else "" for other, m in others.items()})
    return rows


def slice_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """One row a slice: its rows and the deciding metric with its interval."""
    metric = evaluation.primary
    return [
        {
            "slice": f"{column} = {name}",
            "rows": f"{group.rows:,}",
            metric.replace("_", " "): number(group.metrics[metric].value),
            "95 % interval": _interval(group.metrics[metric]),
        }
        for column, groups in evaluation.slices.items()
        for name, group in groups.items()
        if metric in group.metrics
    ]


def class_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """One row a class, of more than two: of these the metrics above say it."""
    if len(evaluation.per_class) <= 2:
        return []
    return [
        {
            "class": label,
            "rows": f"{one.rows:,}",
            **{
                name: f"{number(m.value)}  {'' if m.is_point else _ends(m)}".rstrip() for name, m in one.metrics.items()
            },
        }
        for label, one in evaluation.per_class.items()
    ][:MOST_CLASSES]


def importance_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """One row a column that the model sees: how much worse the deciding metric is when it is shuffled."""
    importance = evaluation.importance
    if importance is None:
        return []
    return [
        {
            "column": one.column,
            f"{importance.metric.replace('_', ' ')} worse by": number(one.value),
            "95 % interval": _ends(one),
            "": "" if one.is_measurable else "no measurable effect",
        }
        for one in importance.columns
    ]


def _interval(metric: Estimate) -> str:
    """Its ends, or why there are none: hardly a resample holds what the metric needs, or all rows are right, or all wrong."""
    if metric.value is not None and metric.low is None:
        return "too few rows"
    return "all resamples alike" if metric.is_point else _ends(metric)


def _ends(metric: Estimate | ColumnImportance) -> str:
    return "" if metric.low is None or metric.high is None else f"{number(metric.low)}–{number(metric.high)}"
