"""A project: one YAML file in `conf/`, resolved with command-line settings into one frozen value."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field, model_validator

from headway.columns import column_types, gives
from headway.columns.config import PrepareConfig
from headway.config import Config, put_setting, read_yaml, setting_pairs, suggest, yaml_text
from headway.data.config import DataConfig, SplitConfig, ValidationConfig
from headway.data.credentials import refuse_credentials
from headway.data.earlier import renamed
from headway.data.series import SeriesConfig
from headway.errors import ConfigError
from headway.evaluate.config import NAIVE, EvaluateConfig, GateConfig, ThresholdConfig
from headway.machine.pool import Engine
from headway.models import ModelConfig, model_configs, parse_model
from headway.serve.config import ServeConfig
from headway.server.retention_config import RetentionConfig
from headway.server.schedule import ScheduleConfig
from headway.tasks import TargetTask, Task, TaskName, defaults_of, has_target, names, task_of
from headway.train.recipe import Recipe
from headway.train.recommended import RECIPE_SUFFIX
from headway.watch.config import WatchConfig

if TYPE_CHECKING:
    ModelChoice = ModelConfig
else:
    ModelChoice = Annotated[Union[tuple(model_configs().values())], Field(discriminator="name")]  # noqa: UP007

_log = logging.getLogger(__name__)


class Project(Config):
    """All settings of a retraining."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="The file's name without .yaml.")
    description: str = Field("", description="One sentence on what is predicted and for whom.")
    task: TaskName = Field(description=f"What kind of prediction: {', '.join(names())}.")
    data: DataConfig
    split: SplitConfig = SplitConfig()
    validation: ValidationConfig = ValidationConfig()
    prepare: PrepareConfig = PrepareConfig()
    model: ModelChoice = Field(
        parse_model(TargetTask.defaults["model"]), description="Which model by its name, and settings of its own."
    )
    train: Recipe = Recipe()
    evaluate: EvaluateConfig = EvaluateConfig()
    recalibrate: Literal["none", "auto", "isotonic", "platt", "temperature"] = Field(
        "none",
        description="Whether and how the probabilities of classes are recalibrated on the validation rows, where a test on rows held aside "
        "shows that it helps. For two classes: isotonic regression, or platt, a line through the log-odds. For any number of classes: one "
        "temperature. auto: for two classes the better of isotonic and platt, for more the temperature.",
    )
    threshold: ThresholdConfig = ThresholdConfig()
    gate: GateConfig = GateConfig()
    watch: WatchConfig = WatchConfig()
    schedule: ScheduleConfig | None = Field(
        None, description="When the project is retrained on a schedule; left out: it has no schedule."
    )
    retention: RetentionConfig = RetentionConfig()
    serve: ServeConfig = ServeConfig()
    engine: Engine = Field(
        "local",
        description="Where rows are validated, prepared and scored. local: on all cores of this machine; ray: on the Ray cluster that "
        "RAY_ADDRESS names or that this machine belongs to. Its machines must share the project's folder and have headway installed.",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_today(cls, values: Any) -> Any:
        """Move settings with earlier names to their new places, and add the task's own defaults."""
        if not isinstance(values, Mapping):
            return values
        task = str(values.get("task"))
        if not has_target(task):
            values = renamed(values)[0]
        sections = defaults_of(task)
        return {**values, **{name: _fill(own, values.get(name, {})) for name, own in sections.items()}}

    @model_validator(mode="after")
    def _task_fits(self) -> Project:
        """A model, a loss, baselines and a metric that suit the task."""
        task = self.learner
        fitting = [name for name, config in model_configs().items() if _fits(config, task)]
        if self.model.name not in fitting:
            raise ValueError(f"model must be {_any_of(fitting)} for {self.task}, but is {self.model.name}")
        if self.train.label_smoothing and not task.has_classes:
            raise ValueError(f"train.label_smoothing must be 0 for {self.task}, but it is not: numbers have no classes")
        if self.train.tokens is not None and not task.completes:
            raise ValueError(f"train.tokens must be null for {self.task}, but is {self.train.tokens}; set train.steps")
        if others := [name for name in self.evaluate.baselines if name not in task.baselines]:
            raise ValueError(
                f"evaluate.baselines must be of {', '.join(task.baselines)} for {self.task}, but one is {others[0]}"
            )
        deciding = [metric.name for metric in task.measured if metric.decides]
        if (metric := self.gate.metric) not in (None, *deciding):
            fix = near if (near := suggest(str(metric), deciding)).startswith("; did") else "; leave it out"
            raise ValueError(f"gate.metric must be {_any_of(deciding)} for {self.task}, but is {metric}{fix}")
        if self.split.by == "stratified" and not task.stratified:
            return self.model_copy(update={"split": self.split.model_copy(update={"by": "random"})})
        return self

    @model_validator(mode="after")
    def _loss_fits(self) -> Project:
        """What is minimised suits the task and the model."""
        task, loss = self.learner, self.train.loss
        if loss not in task.losses:
            raise ValueError(f"train.loss must suit {self.task}, but is {loss}; leave it auto")
        if self.train.target_scale != "linear" and (task.has_classes or not has_target(self.task)):
            raise ValueError(
                f"train.target_scale must be linear for {self.task}, but is {self.train.target_scale}: it needs a number"
            )
        if self.train.class_weights != "none" and (not task.has_classes or not has_target(self.task)):
            raise ValueError(
                f"train.class_weights must be none for {self.task}, but is not; data.weight names a column"
            )
        if self.threshold.by is not None and (not task.has_classes or not has_target(self.task)):
            raise ValueError(
                f"threshold must be left out for {self.task}, but is by {self.threshold.by}: it needs two classes"
            )
        if self.recalibrate != "none" and (not task.has_classes or not has_target(self.task)):
            raise ValueError(f"recalibrate must be none for {self.task}, but is {self.recalibrate}: it needs classes")
        if self.data.weight is not None and not has_target(self.task):
            raise ValueError(f"data.weight must be left out for {self.task}, but is {self.data.weight}")
        if loss in self.model.lacks:
            others = _any_of([name for name in task.losses if name not in self.model.lacks])
            able = [name for name, one in model_configs().items() if _fits(one, task) and loss not in one.lacks]
            raise ValueError(
                f"train.loss must be {others} for {self.model.name}, but is {loss}; models that can do it: {', '.join(able)}"
            )
        return self

    @model_validator(mode="after")
    def _columns_fit(self) -> Project:
        """A task has a target or documents, and every setting has an effect."""
        data, of_documents = self.data, not has_target(self.task)
        if of_documents:
            self._are_documents()
        elif data.target is None:
            raise ValueError(f"data.target must name the column to predict for {self.task}, but is missing")
        elif not data.features:
            raise ValueError("data.features must name at least one column to learn from, but is empty")
        elif self.split.by == "position":
            raise ValueError("split.by must not be position for a table: rows have no order; time divides by moments")
        idle = self.prepare.without_effect(of_documents)
        if idle:
            name, value = idle[0]
            raise ValueError(f"prepare.{name} must be left out for {self.task}, but is {value}: it has no effect")
        return self

    def _are_documents(self) -> None:
        data = self.data
        if data.target is not None:
            raise ValueError(f"data.target must be left out for {self.task}, but is {data.target}")
        if list(data.features.values()) != ["text"]:
            columns = ", ".join(f"{name} as {kind}" for name, kind in data.features.items()) or "none"
            raise ValueError(f"data.features must be one column of kind text for {self.task}, but is {columns}")
        if self.gate.slice_margin is not None or self.evaluate.slices or self.evaluate.reference:
            raise ValueError(
                f"gate.slice_margin, evaluate.slices and evaluate.reference must be left out for {self.task}: it has no slices"
            )

    @model_validator(mode="after")
    def _features_give_what_the_model_takes(self) -> Project:
        for array in self.model.needs:
            kinds = [kind for kind in column_types() if gives(kind, {array})]
            if not set(kinds) & set(self.data.features.values()):
                raise ValueError(
                    f"data.features must have a column of type {' or '.join(kinds)}, because {self.model.name} is set to use "
                    f"{array}, but it has none"
                )
        return self

    @model_validator(mode="after")
    def _forecasts_are_of_series(self) -> Project:
        series, naive = self.data.series, [name for name in self.evaluate.baselines if name in NAIVE]
        if series is not None and self.split.by != "time":
            raise ValueError(
                f"split.by must be time for data.series, but is {self.split.by}: a forecast is tested on what comes after"
            )
        if series is not None and task_of(self.task).has_classes:
            raise ValueError(f"data.series must be left out for {self.task}: only numbers are forecast")
        if series is not None:
            self._has_a_past(series)
        if naive and series is None:
            raise ValueError(
                f"evaluate.baselines must leave {naive[0]} out, or data.series must be given: it says which row follows which"
            )
        if series is not None and series.season is None and "seasonal_naive" in naive:
            raise ValueError("evaluate.baselines must leave seasonal_naive out, or data.series.season must be given")
        return self

    def _has_a_past(self, series: SeriesConfig) -> None:
        """Rows to predict say their moment, and numbers known beforehand are features."""
        for name in series.known:
            if name not in self.data.features:
                near = suggest(name, list(self.data.features))
                raise ValueError(f"data.series.known must name features, but {name} is none{near}")
        if self.split.column not in self.data.dates:
            kind = self.data.features.get(str(self.split.column), "none")
            raise ValueError(
                f"split.column must be a feature of type date for data.series, but {self.split.column} is {kind}"
            )

    @model_validator(mode="after")
    def _calendars_are_of_dates(self) -> Project:
        dates = list(self.data.dates)
        for name in self.prepare.dates.columns:
            if name not in dates:
                raise ValueError(
                    f"prepare.dates.columns must name features that are dates, but {name} is none{suggest(name, dates)}"
                )
        return self

    @model_validator(mode="after")
    def _reference_is_no_feature(self) -> Project:
        """The reference score must not be a feature."""
        reference = self.evaluate.reference
        if reference in self.data.features:
            raise ValueError(
                f"evaluate.reference must not be a feature, but {reference} is one; leave it out of data.features"
            )
        return self

    @property
    def learner(self) -> Task:
        """The task, with what its training minimises."""
        return task_of(self.task).minimising(self.train.objective)

    @property
    def further(self) -> tuple[str, ...]:
        """The metrics beside those that the task always has."""
        always = task_of(self.task).metrics
        return tuple(metric.name for metric in self.learner.measured if metric not in always)

    def gate_of(self, classes: int) -> GateConfig:
        """The gate, with the metric of what is minimised where none is stated."""
        own = self.learner.default_metric(classes)
        if self.gate.metric is not None or own == task_of(self.task).default_metric(classes):
            return self.gate
        return self.gate.model_copy(update={"metric": own})

    def to_yaml(self) -> str:
        """The resolved project, every default written out."""
        return yaml_text(self.model_dump(mode="json"), width=110)

    def flat(self) -> dict[str, str | int | float | bool]:
        """Settings by which people compare runs, as dotted names; of `prepare` only those that the task uses."""
        flat: dict[str, str | int | float | bool] = {"task": self.task}
        for section in ("split", "prepare", "model", "train", "gate"):
            for key, value in getattr(self, section).model_dump(mode="json").items():
                if isinstance(value, (str, int, float, bool)):
                    flat[f"{section}.{key}"] = value
        if not has_target(self.task):
            flat = {name: value for name, value in flat.items() if not name.startswith("prepare.")}
            tokens = self.prepare.tokens
            flat |= {"prepare.tokens.tokenizer": tokens.tokenizer, "prepare.tokens.vocabulary": tokens.vocabulary}
        return flat


def _fill(defaults: Mapping[str, Any], own: Any) -> Any:
    """A YAML's values with defaults for missing ones, section by section."""
    if not isinstance(own, Mapping):
        return own
    nested = {
        k: _fill(v, own[k]) for k, v in defaults.items() if isinstance(v, Mapping) and k in own and k != "features"
    }
    return {**defaults, **own, **nested}


def _fits(model: type[ModelConfig], task: Task) -> bool:
    return model.completes == task.completes


def _any_of(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def project_files(root: Path) -> list[Path]:
    """The YAML files of all projects, by name, without the recommended recipes beside them."""
    return [path for path in sorted((root / "conf").glob("*.yaml")) if not path.stem.endswith(RECIPE_SUFFIX)]


def load_project(name: str, root: Path, settings: Sequence[str] | Mapping[str, Any] = ()) -> Project:
    """The project of `conf/<name>.yaml` (or of a path to a YAML file) with ``settings`` in place of its own.

    ``settings`` are `section.field=value` texts, values read as YAML, or a mapping of dotted names to values.
    Raises ConfigError when the file is missing or anything in it or in a setting is wrong.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else root / "conf" / f"{name}.yaml"
    if not path.exists():
        existing = [p.stem for p in project_files(root)]
        raise ConfigError(
            f"conf/{path.stem}.yaml must exist, but there is no such project{suggest(path.stem, existing)}"
        )
    values = read_yaml(path)
    place = f"conf/{path.name}"
    for dotted, value in setting_pairs(settings):
        put_setting(values, dotted, value, defaults_of(str(values.get("task")))["model"]["name"])
    try:
        refuse_credentials(values)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None
    _check_name(path, root, values.get("name", path.stem))
    for line in [] if has_target(str(values.get("task"))) else renamed(values)[1]:
        _log.warning("%s: %s", place, line)
    return Project.parse({"name": path.stem, **values}, place)


def _check_name(path: Path, root: Path, name: Any) -> None:
    """A project has the name of its file, which lies in conf/: two files of one name would share runs and a registered model."""
    if name != path.stem:
        raise ConfigError(f"conf/{path.name}: name must be the file's, {path.stem}, but is {name!r}; leave it out")
    own = root / "conf" / f"{path.stem}.yaml"
    if path.resolve() != own.resolve():
        raise ConfigError(f"a project must be a file conf/NAME.yaml of its folder, but is {path}; move it there")
