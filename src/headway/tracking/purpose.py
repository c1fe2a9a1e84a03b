"""The purpose of a registered model: project, task and target, as tags of the model and of each version.

The model's tags are those of the champion. They change when a version of another purpose becomes champion, which needs
`--replace-champion`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headway.errors import ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from headway.models.description import Description


@dataclass(frozen=True)
class Purpose:
    """The project, the task and the target column. None: unknown; a text has no target."""

    project: str | None
    task: str | None
    target: str | None

    @classmethod
    def of(cls, project: Mapping[str, Any]) -> Purpose:
        """Of a resolved project, as run.json holds it."""
        return cls(project["name"], project.get("task"), (project.get("data") or {}).get("target"))

    @classmethod
    def of_tags(cls, tags: Mapping[str, str]) -> Purpose:
        """From the tags of a model or of a version; unknown for one of an early version, without these tags."""
        return cls(tags.get("project"), tags.get("task"), tags.get("target"))

    @classmethod
    def of_bundle(cls, described: Description) -> Purpose:
        """From bundle.json."""
        return cls(None, described.task, described.target)

    def tags(self) -> dict[str, str]:
        """The known fields, as tags."""
        values = {"project": self.project, "task": self.task, "target": self.target}
        return {key: value for key, value in values.items() if value is not None}

    @property
    def text(self) -> str:
        """For people: `default (classification)`, or `text (language)`."""
        return f"{self.target or 'text'} ({self.task})"

    def differs(self, other: Purpose) -> bool:
        """Whether both are known and differ in task or target."""
        both_known = self.task is not None and other.task is not None
        return both_known and (self.task, self.target) != (other.task, other.target)

    def write(self, client: MlflowClient, name: str, tags: Mapping[str, str]) -> None:
        """Set the model's tags to this purpose, as far as it is known. ``tags``: those that it has."""
        if self.task is None:
            return
        for key, value in self.tags().items():
            if tags.get(key) != value:
                client.set_registered_model_tag(name, key, value)
        if self.target is None and "target" in tags:
            client.delete_registered_model_tag(name, "target")

    def check(self, name: str, model: Purpose, replace: bool) -> None:
        """Raise ConfigError where the registered model ``name``, which has a champion, is for something else.

        With ``replace`` (`--replace-champion`), another task or target is allowed.
        """
        if model.project is not None and model.project != self.project:
            raise ConfigError(
                f"the registered model {name} must be project {self.project}'s, but is project {model.project}'s; "
                f"give conf/{self.project}.yaml another file name"
            )
        if not replace and self.differs(model):
            raise ConfigError(
                f"the registered model {name} predicts {model.text}, but conf/{self.project}.yaml says {self.text}; "
                "give the YAML another file name, or take that model's place: "
                f"headway run {self.project} --replace-champion"
            )
