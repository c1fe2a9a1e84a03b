"""What a registered model is for: the project, the task and the target, as tags of the model and of each of its versions.

The model's tags are those of the version in charge: they change when a version of another purpose takes charge, which only a person
can want (`--replace-champion`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headway.errors import ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Purpose:
    """Which project's model, of which task, predicting which column. None is what is not known; a text has no target."""

    project: str | None
    task: str | None
    target: str | None

    @classmethod
    def of(cls, project: Mapping[str, Any]) -> Purpose:
        """Of a resolved project, as run.json holds it."""
        return cls(project["name"], project.get("task"), (project.get("data") or {}).get("target"))

    @classmethod
    def of_tags(cls, tags: Mapping[str, str]) -> Purpose:
        """As the tags of a model or of a version say; nothing is known of one from before these tags."""
        return cls(tags.get("project"), tags.get("task"), tags.get("target"))

    @classmethod
    def of_bundle(cls, described: Mapping[str, Any]) -> Purpose:
        """As bundle.json says."""
        return cls(None, described.get("task"), described.get("target"))

    def tags(self) -> dict[str, str]:
        """What is known, as tags."""
        values = {"project": self.project, "task": self.task, "target": self.target}
        return {key: value for key, value in values.items() if value is not None}

    @property
    def text(self) -> str:
        """For people: `default (classification)`, or `text (language)`."""
        return f"{self.target or 'text'} ({self.task})"

    def differs(self, other: Purpose) -> bool:
        """Whether both are known, and predict different things."""
        known = self.task is not None and other.task is not None
        return known and (self.task, self.target) != (other.task, other.target)

    def write(self, client: MlflowClient, name: str, tags: Mapping[str, str]) -> None:
        """Make the model's ``tags`` say this, as far as it is known."""
        if self.task is None:
            return
        for key, value in self.tags().items():
            if tags.get(key) != value:
                client.set_registered_model_tag(name, key, value)
        if self.target is None and "target" in tags:
            client.delete_registered_model_tag(name, "target")

    def check(self, name: str, model: Purpose, replace: bool) -> None:
        """Raise ConfigError where the registered model ``name``, which has a champion, is for something else.

        With ``replace``, which a person asked for, another task or target is let through.
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
