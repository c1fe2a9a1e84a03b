"""A project: one YAML file in `conf/`, resolved with command-line settings into one frozen value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

import yaml
from pydantic import Field, field_validator, model_validator

from headway.columns.config import PrepareConfig
from headway.config import Config, read_yaml, suggest
from headway.data.config import DataConfig, SplitConfig, ValidationConfig
from headway.data.credentials import refuse_credentials
from headway.errors import ConfigError
from headway.evaluate.config import EvaluateConfig, GateConfig
from headway.models import ModelConfig, model_configs
from headway.models.mlp import MLP
from headway.serve.config import ServeConfig
from headway.server.retention_config import RetentionConfig
from headway.server.schedule import ScheduleConfig
from headway.tasks import TaskName, names, task_of
from headway.text_project import TextProject
from headway.train.recipe import Recipe
from headway.watch.config import WatchConfig

if TYPE_CHECKING:
    ModelChoice = ModelConfig
else:
    _ROW_MODELS = tuple(config for config in model_configs().values() if config.reads == "rows")
    ModelChoice = Annotated[Union[_ROW_MODELS], Field(discriminator="name")]  # noqa: UP007


class Project(Config):
    """Everything that a retraining needs to know."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="The file's name without .yaml.")
    description: str = Field("", description="One sentence on what is predicted and for whom.")
    task: TaskName = Field(description=f"{', '.join(names())} or language.")
    data: DataConfig
    split: SplitConfig = SplitConfig()
    validation: ValidationConfig = ValidationConfig()
    prepare: PrepareConfig = PrepareConfig()
    model: ModelChoice = MLP()
    train: Recipe = Recipe()
    evaluate: EvaluateConfig = EvaluateConfig()
    gate: GateConfig = GateConfig()
    watch: WatchConfig = WatchConfig()
    schedule: ScheduleConfig | None = Field(
        None, description="When it is retrained unattended; left out: only when asked."
    )
    retention: RetentionConfig = RetentionConfig()
    serve: ServeConfig = ServeConfig()

    @field_validator("model", mode="before")
    @classmethod
    def _default_model(cls, value: Any) -> Any:
        return {"name": "mlp", **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _task_fits(self) -> Project:
        task, loss = task_of(self.task), self.train.loss
        if loss not in task.losses:
            raise ValueError(f"train.loss must suit {self.task}, but is {loss}; leave it auto")
        if self.train.label_smoothing and not task.has_classes:
            raise ValueError(f"train.label_smoothing must be 0 for {self.task}, but it is not: numbers have no classes")
        if self.split.by == "stratified" and not task.stratified:
            return self.model_copy(update={"split": self.split.model_copy(update={"by": "random"})})
        return self

    @model_validator(mode="after")
    def _reference_is_no_feature(self) -> Project:
        """A score that the model learns from is no yardstick for it."""
        reference = self.evaluate.reference
        if reference in self.data.features:
            raise ValueError(
                f"evaluate.reference must not be a feature, but {reference} is one; leave it out of data.features"
            )
        return self

    def to_yaml(self) -> str:
        """The resolved project, every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)

    def flat(self) -> dict[str, str | int | float | bool]:
        """Settings that were not left at their default, or that people compare runs by, as dotted names."""
        flat: dict[str, str | int | float | bool] = {"task": self.task}
        for section in ("split", "prepare", "model", "train", "gate"):
            for key, value in getattr(self, section).model_dump(mode="json").items():
                if isinstance(value, (str, int, float, bool)):
                    flat[f"{section}.{key}"] = value
        return flat


RECIPE_SUFFIX = ".recipe"


def project_files(root: Path) -> list[Path]:
    """The YAML files of all projects, by name; recommended recipes lie beside them and are none."""
    return [path for path in sorted((root / "conf").glob("*.yaml")) if not path.stem.endswith(RECIPE_SUFFIX)]


def load_project(name: str, root: Path, settings: Sequence[str] | Mapping[str, Any] = ()) -> Project | TextProject:
    """The project of `conf/<name>.yaml` (or of a path to a YAML file) with ``settings`` put over it.

    ``settings`` are `section.field=value` texts, values read as YAML, or a mapping of dotted names to values.
    Raises ConfigError when the file is missing or anything in it or in a setting is wrong.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else root / "conf" / f"{name}.yaml"
    if not path.exists():
        known = [p.stem for p in project_files(root)]
        raise ConfigError(f"conf/{path.stem}.yaml must exist, but there is no such project{suggest(path.stem, known)}")
    values = read_yaml(path)
    shown = f"conf/{path.name}"
    for dotted, value in _pairs(settings):
        _put(values, dotted, value)
    try:
        refuse_credentials(values)
    except ConfigError as error:
        raise ConfigError(f"{shown}: {error}") from None
    _check_name(path, root, values.get("name", path.stem))
    return project_class(values.get("task")).parse({"name": path.stem, **values}, shown)


def _check_name(path: Path, root: Path, name: Any) -> None:
    """A project's name is its file's, and its file lies in conf/: two files of one name would share runs and a registered model."""
    if name != path.stem:
        raise ConfigError(f"conf/{path.name}: name must be the file's, {path.stem}, but is {name!r}; leave it out")
    own = root / "conf" / f"{path.stem}.yaml"
    if path.resolve() != own.resolve():
        raise ConfigError(f"a project must be a file conf/NAME.yaml of its folder, but is {path}; move it there")


def recipe_path(root: Path, name: str) -> Path:
    """Where the recommended recipe of a project lies: what its effect study found."""
    return root / "conf" / f"{name}{RECIPE_SUFFIX}.yaml"


def recipe_settings(root: Path, name: str) -> list[str]:
    """The recommended recipe as settings. Raises ConfigError where no study has left one."""
    path = recipe_path(root, name)
    if not path.exists():
        raise ConfigError(f"conf/{path.name} must exist, but there is none; make it: headway effect {name}")
    values = read_yaml(path).get("train") or {}
    return [f"train.{field}={json.dumps(value)}" for field, value in values.items()]


def recipe_warning(root: Path, name: str) -> str | None:
    """What to know of a recommended recipe before it is used; None where its study confirmed it, or where it changes nothing."""
    path = recipe_path(root, name)
    values = read_yaml(path)
    if not values.get("train") or values.get("confirmed"):
        return None
    return (
        f"conf/{path.name} was not confirmed on fresh samples: a study of an earlier version left it. "
        f"Measure again: headway effect {name}"
    )


def load_table_project(name: str, root: Path, settings: Sequence[str] | Mapping[str, Any] = ()) -> Project:
    """As load_project. Raises ConfigError, too, for a project whose data is no table."""
    project = load_project(name, root, settings)
    if not isinstance(project, Project):
        raise ConfigError(f"{name} must be a project on a table, but its task is {project.task}")
    return project


def project_class(task: Any) -> type[Project] | type[TextProject]:
    """What a project's YAML is read as: its task decides."""
    return TextProject if task == "language" else Project


def _pairs(settings: Sequence[str] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    if isinstance(settings, Mapping):
        return list(settings.items())
    pairs = []
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[\w.-]+", name.strip()):
            raise ConfigError(f"--set must be section.field=value, but is {text!r}")
        try:
            # a date's format is a text, though YAML takes the sign at a value's beginning for a directive
            pairs.append((name.strip(), value if value.startswith("%") else yaml.safe_load(value)))
        except yaml.YAMLError:
            raise ConfigError(f"--set {name}: the value must be YAML, but is {value!r}") from None
    return pairs


def _put(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Set one nested key. A model's settings belong to the model named, so another name starts from its defaults."""
    *sections, last = dotted.split(".")
    if dotted == "model":
        sections, last = ["model"], "name"
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {dotted}: {section} must be a section, but is {inner!r}")
        values = inner
    if sections == ["model"] and last == "name" and values.get("name", "mlp") != value:
        values.clear()
    values[last] = value
