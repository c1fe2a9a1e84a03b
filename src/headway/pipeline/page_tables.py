"""An evaluation as tables of its page: every value with its 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping

from headway.evaluate.metrics import METRICS, label_of, title_of
from headway.evaluate.result import ColumnImportance, Estimate, Evaluation, Metrics
from headway.files.pages import Cell, Span, Table, spans
from headway.run.report import number

MOST_SLICES = 100
MOST_COLUMNS = 20
MOST_CLASSES = 50


def metric_table(evaluation: Evaluation) -> Table:
    """One row a metric, the one that decides marked; the model, the champion, the baselines, and a score that the data hold."""
    models = _models(evaluation)
    rows = []
    for name in evaluation.metrics:
        estimates = [metrics.get(name) for metrics in models.values()]
        if name != evaluation.primary and all(one is None or one.value is None for one in estimates):
            continue  # the line about what is undefined says it with the reason
        rows.append((_label(name, evaluation), *(_cell(one) for one in estimates)))
    head = ("metric", *models)
    return Table("Metrics", head, tuple(rows), frozenset(range(1, len(head))))


def _models(evaluation: Evaluation) -> dict[str, Metrics]:
    """All that was measured on the test rows, by what it is called."""
    models: dict[str, Metrics] = {"this model": evaluation.metrics}
    champion = evaluation.champion
    if champion is not None and champion.metrics:
        some = f", on {champion.rows:,} rows" if champion.left_out else ""
        models[f"champion, version {champion.version}{some}"] = champion.metrics
    models |= {f"baseline {name}": baseline.metrics for name, baseline in evaluation.baselines.items()}
    if evaluation.reference is not None:
        models[f"column {evaluation.reference.column}"] = evaluation.reference.metrics
    return models


def _label(name: str, evaluation: Evaluation) -> Cell:
    """The metric, which way is better, and whether it decides."""
    metric = METRICS.get(name)
    way = "" if metric is None else f"{'higher' if metric.higher_is_better else 'lower'} is better"
    decides = "decides" if name == evaluation.primary else ""
    label = label_of(name, evaluation.classes)
    if metric is not None:
        label = label.replace(name.replace("_", " "), metric.title, 1)
    return Cell(label, "; ".join(filter(None, (decides, way))))


def _cell(estimate: Estimate | None) -> Cell:
    return Cell("") if estimate is None else Cell(number(estimate.value), interval(estimate))


def interval(estimate: Estimate | ColumnImportance) -> str:
    """Its ends, or why there are none."""
    if estimate.low is None or estimate.high is None:
        return "" if estimate.value is None else "too few rows for an interval"
    if estimate.low == estimate.high:
        return "all resamples alike"
    return f"{number(estimate.low)} to {number(estimate.high)}"


def slice_table(evaluation: Evaluation) -> Table | None:
    """One row a slice: its rows, the deciding metric and its interval, also drawn."""
    metric = evaluation.primary
    groups = [
        (f"{column} = {name}", group.rows, group.metrics[metric])
        for column, values in evaluation.slices.items()
        for name, group in values.items()
        if metric in group.metrics
    ]
    if not groups:
        return None
    bars = _spans({name: estimate for name, _, estimate in groups[:MOST_SLICES]})
    rows = tuple(
        (Cell(name), Cell(f"{count:,}"), _cell(estimate), Cell("", span=bars.get(name)))
        for name, count, estimate in groups[:MOST_SLICES]
    )
    head = ("slice", "rows", title_of(metric), "95 % interval, all on one scale")
    return Table("Slices", head, rows, frozenset((1, 2)), _rest(len(groups), MOST_SLICES, "slices", "evaluation.json"))


def _spans(estimates: Mapping[str, Estimate]) -> dict[str, Span]:
    """The intervals of one table on a scale that fits them all."""
    whole = {
        name: (one.low, one.value, one.high)
        for name, one in estimates.items()
        if one.low is not None and one.high is not None
    }
    if not whole:
        return {}
    low, high = min(one[0] for one in whole.values()), max(one[2] for one in whole.values())
    return dict(zip(whole, spans(list(whole.values()), low, high), strict=True))


def class_table(evaluation: Evaluation) -> Table | None:
    """One row a class, of more than two: of these the metrics say it."""
    if len(evaluation.per_class) <= 2:
        return None
    names = list(dict.fromkeys(name for one in evaluation.per_class.values() for name in one.metrics))
    rows = tuple(
        (Cell(label), Cell(f"{one.rows:,}"), *(_cell(one.metrics.get(name)) for name in names))
        for label, one in list(evaluation.per_class.items())[:MOST_CLASSES]
    )
    head = ("class", "rows", *(name.replace("_", " ") for name in names))
    rest = _rest(len(evaluation.per_class), MOST_CLASSES, "classes", "evaluation.json")
    return Table("Classes", head, rows, frozenset(range(1, len(head))), rest)


def importance_table(evaluation: Evaluation) -> Table | None:
    """The columns that matter most: how much worse the deciding metric is when one is shuffled."""
    importance = evaluation.importance
    if importance is None or not importance.columns:
        return None
    rows = tuple(
        (
            Cell(one.column, "" if one.is_measurable else "no measurable effect"),
            Cell(number(one.value)),
            Cell(interval(one)),
        )
        for one in importance.columns[:MOST_COLUMNS]
    )
    head = ("column", f"{title_of(importance.metric)} worse by", "95 % interval")
    rest = _rest(len(importance.columns), MOST_COLUMNS, "columns", "importance.csv")
    return Table("What drives the model", head, rows, frozenset((1, 2)), rest)


def _rest(count: int, most: int, what: str, file: str) -> str:
    return f"and {count - most:,} more {what}: {file} has all" if count > most else ""
