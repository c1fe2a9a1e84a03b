"""The text of a drafted project file, with expectations a little wider than the present data.

Written line by line, not by ruamel.yaml: that writes YAML 1.2, in which yes and on are plain texts, and PyYAML reads them as True; its
comments hang on keys, so that lines that are commented out are lost; and building its maps takes as much code.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headway.columns import column_type
from headway.columns.base import Suggestion
from headway.columns.category import ordered
from headway.draft.plan import Plan, moments_of
from headway.tasks import target_task

if TYPE_CHECKING:
    from headway.columns.summary import Summary
    from headway.data.profile import Profile


def expectations(plan: Plan, profile: Profile) -> list[Suggestion]:
    """Expectations on later rows, from the present ones."""
    target = profile.columns[plan.target]
    share = {"mostly": _share(target)} if target.nulls else {}
    rules = [
        Suggestion("table_row_count_to_be_between", None, {"min_value": max(1, profile.rows // 2)}),
        Suggestion("column_values_to_not_be_null", plan.target, share),
    ]
    if target_task(plan.task).has_classes:
        classes = {"value_set": ordered(target.counts or {})}
        rules.append(Suggestion("column_values_to_be_in_set", plan.target, classes))
    for name in plan.features:
        rules += _about(profile.columns[name])
    return rules


def _share(column: Summary) -> float:
    """The share of rows that must have a value: a little below the present share."""
    share = 1 - column.nulls / column.rows
    return math.floor(max(0.0, share - 0.05) * 100) / 100


def _about(column: Summary) -> list[Suggestion]:
    share = _share(column) if column.nulls else 0.99
    rules = [Suggestion("column_values_to_not_be_null", column.name, {"mostly": share})] if share > 0 else []
    return [*rules, *column_type(column.kind).expectations(column)]


_PLAIN = re.compile(r"[A-Za-z_][\w.-]*( [\w.-]+)*")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_WORDS = {"y", "n", "yes", "no", "true", "false", "on", "off", "null", "none", "nan"}


def quoted(text: str) -> str:
    """Text in double quotes: JSON's are YAML's, but for characters that YAML has only as escapes."""
    return _UNPRINTABLE.sub(lambda one: f"\\u{ord(one[0]):04x}", json.dumps(text, ensure_ascii=False))


def scalar(value: Any) -> str:
    """A value in YAML; text is quoted where YAML would read it as something else."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))  # PyYAML takes 2e-07 for a text
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value)
        return value if plain and value.isascii() and value.lower() not in _WORDS else quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(scalar(v) for v in value) + "]"
    return str(value)


def render(plan: Plan, rules: Sequence[Suggestion]) -> str:
    """The whole file."""
    lines = [
        f"# Drafted by `headway init` from {_comment(plan.source)}. Read it, and correct it where you know better.",
        f"name: {scalar(plan.name)}",
        f"description: {scalar(f'Predicts {plan.target}.')}",
        f"task: {plan.task}",
        "",
        "data:",
        f"  source: {scalar(plan.source)}",
        *([f"  format: {plan.format}"] if plan.format else []),
        *(["  csv:", *(f"    {k}: {inline(v)}" for k, v in plan.csv.items())] if plan.csv else []),
        *([f"  date_format: {scalar(plan.date_format)}"] if plan.date_format else []),
        *_written(plan),
        f"  target: {scalar(plan.target)}",
        *(["  unlabelled: drop  # a model cannot learn from rows without a target"] if plan.unlabelled else []),
    ]
    if plan.positive is not None:
        lines.append(f"  positive: {quoted(plan.positive)}  # {_comment(plan.why['positive'])}")
    lines += ["  features:"]
    for column in plan.features:
        question = f" QUESTION: {plan.questions[column]}; known before?" if column in plan.questions else ""
        lines.append(f"    {scalar(column)}: {plan.features[column]}  # {_comment(plan.why[column] + question)}")
    if plan.keys:
        lines.append(f"  keys: {scalar(plan.keys)}  # identify a row; kept beside predictions, never features")
    if plan.weight is not None:
        lines.append(f"  weight: {scalar(plan.weight)}  # how much each row counts in training; never a feature")
    if plan.ignore:
        lines += ["  ignore:", *(f"    {scalar(c)}: {quoted(why)}" for c, why in plan.ignore.items())]
    lines += [*_series(plan), "", *_split(plan)]
    lines += _clocks(plan)
    lines += _validation(plan, rules)
    lines += ["", "model:", f"  name: {plan.model}  # {_comment(plan.why['model'])}"]
    if plan.batch_size is not None:
        lines += ["", "train:", f"  batch_size: {plan.batch_size}  # the table is small"]
    lines += _baselines(plan)
    lines += [
        "",
        "gate:  # a candidate replaces the champion unless it may be worse by more than the margin",
        *_gate(plan),
    ]
    return "\n".join(lines) + "\n"


def _validation(plan: Plan, rules: Sequence[Suggestion]) -> list[str]:
    lines = ["", "# A little wider than the present data; severity: warn only reports.", "validation:"]
    if plan.max_overlap is not None:
        lines.append(f"  max_overlap: {plan.max_overlap:g}  # {_comment(plan.why['duplicates'])}")
    if plan.leaks:
        lines.append(f"  leaks: warn  # see the question about {_comment(', '.join(plan.leaks))}")
    lines.append("  expectations:")
    for rule in rules:
        about = {} if rule.column is None else {"column": rule.column}
        values = {"expect": rule.expect, **about, **rule.arguments}
        inner = ", ".join(f"{name}: {scalar(value)}" for name, value in values.items())
        lines.append(f"    - {{{inner}}}")
    return lines


def _series(plan: Plan) -> list[str]:
    if plan.series is None:
        return []
    series = plan.series.config
    settings = {
        "groups": list(series.groups),
        "step": series.step,
        "horizon": series.horizon,
        "season": series.season,
        "known": list(series.known),
    }
    inner = [f"    {name}: {scalar(value)}" for name, value in settings.items() if value not in ([], None)]
    lags, windows = (", ".join(map(str, steps)) for steps in (series.usual_lags, series.usual_windows))
    return [
        f"  # Features of each row: {_comment(plan.target)} {lags} steps before; mean, std, min and max of its newest known",
        f"  # {windows} values. They follow from horizon and season; set others by lags: [1, 7], windows: [28].",
        "  series:  # forecasts are horizon steps ahead",
        *inner,
    ]


def _split(plan: Plan) -> list[str]:
    if plan.split:
        return ["split:", *(f"  {name}: {inline(value)}" for name, value in plan.split.items())]
    if plan.series is not None:
        return ["split:", "  by: time  # the newest rows are the test", f"  column: {scalar(plan.series.moment)}"]
    if plan.part is not None:
        return ["split:", "  by: column  # it says train and test", f"  column: {scalar(plan.part)}"]
    if plan.test_files is not None:
        return ["split:", "  by: files", f"  test_files: {quoted(plan.test_files)}"]
    lines = ["split:", f"  by: {'stratified' if target_task(plan.task).stratified else 'random'}"]
    dates = moments_of(plan)
    if dates:
        lines += ["  # to predict the future, test on the newest rows instead:", "  # by: time"]
        lines.append(f"  # column: {scalar(dates[0])}")
    return lines


def _baselines(plan: Plan) -> list[str]:
    """Beside a model that is itself a baseline, the trivial one alone: on texts the others take minutes. Of a forecast naive ones, too."""
    if plan.model in target_task(plan.task).baselines:
        return ["", "evaluate:", "  baselines: [trivial]"]
    if plan.series is None:
        return []
    learning = ["trivial", "linear", "boosting"]
    names = [*learning, "naive", *(["seasonal_naive"] if plan.series.season is not None else [])]
    return ["", "evaluate:", f"  baselines: {scalar(names)}"]


def _clocks(plan: Plan) -> list[str]:
    """The time zone of each column of dates, where the files have it."""
    zones = ", ".join(f"{scalar(column)}: {{zone: {scalar(zone)}}}" for column, zone in plan.zones.items())
    return ["", "prepare:", f"  dates: {{columns: {{{zones}}}}}  # the zone of its hours"] if zones else []


def _written(plan: Plan) -> list[str]:
    """The forms of columns that are not plain, without default settings."""
    lines = []
    for name, one in plan.written.items():
        settings = one.model_dump(mode="json", exclude_defaults=True)
        inner = ", ".join(f"{setting}: {inline(value)}" for setting, value in settings.items())
        lines.append(f"    {scalar(name)}: {{{inner}}}")
    return ["  written:  # the form of the values; new rows are read the same way", *lines] if lines else []


def inline(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {scalar(inner)}" for key, inner in value.items()) + "}"
    return scalar(value)


def _gate(plan: Plan) -> list[str]:
    from headway.evaluate.margin import default_margin
    from headway.evaluate.metrics import METRICS

    usual = target_task(plan.task).default_metric(0 if plan.positive is None else 2)
    metric = plan.metric
    rare = plan.positive is not None and metric == "average_precision"
    why = f"  # {plan.positive} is rare: see its precision, which {usual} hides" if rare else ""
    margin = default_margin(METRICS[metric].is_error)
    of = "of the champion's own" if isinstance(margin, str) else "in the metric's unit"
    stated = f"  metric: {metric}{why}"
    if metric == plan.metric_of_loss:
        stated = f"  # metric: {metric}  # that of the loss decides; another train.loss has another metric, unless one stands here"
    return [stated, f"  margin: {margin}  # {of}"]


def _comment(text: str) -> str:
    return _UNPRINTABLE.sub("?", " ".join(text.split()))
