"""What `headway init --set` decides before a table is drafted: the task, the roles and types of columns, the split, the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from headway.columns import Kind, column_types
from headway.config import nested, suggest
from headway.draft.plan import Plan, moments_of
from headway.draft.settings import Pairs
from headway.errors import ConfigError
from headway.tasks import TaskName, target_names, target_task
from headway.train.recipe import Recipe

WHY = "stated with --set"


@dataclass(frozen=True)
class Stated:
    """``kinds``: types of features; ``others``: the reason why columns beside these are ignored, empty where they may be features.

    ``split``: the settings of the section, empty where the draft decides.
    """

    task: TaskName | None = None
    kinds: Mapping[str, Kind] = field(default_factory=lambda: MappingProxyType({}))
    others: str = ""
    keys: tuple[str, ...] = ()
    ignore: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    weight: str | None = None
    positive: str | None = None
    split: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    model: str | None = None
    metric: str | None = None
    recipe: Recipe = field(default_factory=Recipe)
    may_be_series: bool = True

    @classmethod
    def of(cls, pairs: Pairs, columns: Sequence[str], target: str) -> Stated:
        """From dotted names. Raises ConfigError where they name columns that there are not, or contradict --target."""
        values = nested(pairs)
        data, split = (_section(values, name) for name in ("data", "split"))
        if data.get("target", target) != target:
            fact = f"is {target}, and --set names {data['target']}"
            raise ConfigError(f"--target must be the only target, but {fact}; leave that setting out")
        kinds, keys, ignore = _section(data, "features"), _listed(data, "keys"), _section(data, "ignore")
        weight = data.get("weight")
        for name, setting in (
            *((name, f"data.features.{name}") for name in kinds),
            *((name, "data.keys") for name in keys),
            *((name, f"data.ignore.{name}") for name in ignore),
            *([(weight, "data.weight")] if weight is not None else []),
            *([(split["column"], "split.column")] if split.get("column") is not None else []),
        ):
            if name not in columns:
                raise ConfigError(
                    f"--set {setting} must name a column, but {name} is none{suggest(str(name), list(columns))}"
                )
        for name, kind in kinds.items():
            if kind not in column_types():
                names = ", ".join(column_types())
                raise ConfigError(f"--set data.features.{name} must be one of {names}, but is {kind}")
        model = values.get("model")
        return cls(
            _task(values),
            kinds,
            f"not among data.features, {WHY}" if "data.features" in pairs else "",
            keys,
            ignore,
            weight,
            data.get("positive"),
            split,
            model.get("name") if isinstance(model, Mapping) else None,
            _section(values, "gate").get("metric"),
            Recipe.parse(_section(values, "train"), "--set: train"),
            not ("data.series" in pairs and data["series"] is None) and split.get("by", "time") == "time",
        )

    def role(self, column: str) -> str | None:
        """The reason why a column is ignored; None where it may be a feature."""
        if column in self.ignore:
            return self.ignore[column]
        return self.others if self.others and column not in self.kinds else None

    def metric_of(self, plan: Plan) -> str:
        """The metric by which models are compared."""
        task = target_task(plan.task).minimising(self.recipe.objective)
        deciding = {metric.name for metric in task.measured if metric.decides}
        usual = task.default_metric(0 if plan.positive is None else 2)
        return self.metric if self.metric in deciding else plan.metric or usual

    def divide(self, plan: Plan) -> None:
        """Divide the rows as stated. Raises ConfigError where they have no time to be divided by, or several."""
        if "by" not in self.split:
            return
        plan.split = self.split
        moments = moments_of(plan)
        if self.split["by"] == "time" and "column" not in self.split:
            if len(moments) != 1:
                fact = f"there are {', '.join(moments)}" if moments else "no column holds dates"
                raise ConfigError(f"--set split.by=time must come with --set split.column=COLUMN, but {fact}")
            plan.split = {**self.split, "column": moments[0]}


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name, {})
    return section if isinstance(section, Mapping) else {}


def _listed(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    one = values.get(name, ())
    return tuple(one) if isinstance(one, (list, tuple)) else (one,)


def _task(values: Mapping[str, Any]) -> TaskName | None:
    task = values.get("task")
    if task is not None and task not in target_names():
        names = " or ".join(target_names())
        raise ConfigError(f"--set task must be {names} for a table with a target, but is {task}")
    return task
