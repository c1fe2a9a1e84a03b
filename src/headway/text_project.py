"""A project whose data is text: a language model."""

from __future__ import annotations

from typing import Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from headway.config import Config
from headway.data.text import TextConfig
from headway.evaluate.config import GateConfig
from headway.models.gpt import GPT
from headway.serve.config import ServeConfig
from headway.server.retention_config import RetentionConfig
from headway.server.schedule import ScheduleConfig
from headway.train.recipe import Recipe

METRIC = "bits_per_byte"
"""What the gate decides by: models with different tokenizers can be compared in it, and in loss they cannot."""


class TextEvaluateConfig(Config):
    """What is measured on the untouched test text."""

    resamples: int = Field(1000, ge=100, le=100_000, description="Bootstrap resamples behind each interval.")
    baselines: tuple[Literal["unigram", "ngram"], ...] = Field(
        ("unigram", "ngram"), description="Counting models that the network must beat to earn its keep."
    )
    prompts: tuple[str, ...] = Field(("\n",), description="What the samples begin with.")


class TextProject(Config):
    """Everything that a retraining of a language model needs to know."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="The file's name without .yaml.")
    description: str = Field("", description="One sentence on what is predicted and for whom.")
    task: Literal["language"] = Field(description="language.")
    data: TextConfig
    model: GPT = GPT()
    train: Recipe = Recipe()
    evaluate: TextEvaluateConfig = TextEvaluateConfig()
    gate: GateConfig = GateConfig()
    schedule: ScheduleConfig | None = Field(
        None, description="When it is retrained unattended; left out: only when asked."
    )
    retention: RetentionConfig = RetentionConfig()
    serve: ServeConfig = ServeConfig()

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Self:
        """A setting of another kind of task is refused: one that did nothing would mislead."""
        if self.train.loss == "mse":
            raise ValueError("train.loss must suit language, but is mse; leave it auto")
        if self.gate.metric not in (None, METRIC):
            raise ValueError(f"gate.metric must be {METRIC} for language, but is {self.gate.metric}; leave it out")
        if self.gate.slice_margin is not None:
            raise ValueError("gate.slice_margin must be left out for language, but is given: text has no slices")
        return self

    def to_yaml(self) -> str:
        """The resolved project, every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)

    def flat(self) -> dict[str, str | int | float | bool]:
        """Plain settings as dotted names, for people to compare runs by."""
        flat: dict[str, str | int | float | bool] = {"task": self.task}
        sections: tuple[Any, ...] = (
            ("data", self.data),
            ("model", self.model),
            ("train", self.train),
            ("gate", self.gate),
        )
        for section, config in sections:
            for key, value in config.model_dump(mode="json").items():
                if isinstance(value, (str, int, float, bool)):
                    flat[f"{section}.{key}"] = value
        return flat
