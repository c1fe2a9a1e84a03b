"""One file per model: a typed config whose ``build`` (or, for boosting, ``fit``) makes it.

base         what every model's settings offer
description  a trained model, described beside its weights
contributions  what each column contributes to a prediction; attribution: of networks
cross_fitting  the fits to all parts of the rows but one, for ensemble
cache        what a transformer keeps of earlier tokens
layers       parts of networks; transformer: those of gpt and encoder; encoding: those of encoder alone
folded, folded_members, stacked: networks computed in another way
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from headway.config import suggest
from headway.errors import ConfigError
from headway.models.base import ModelConfig

__all__ = ["ModelConfig", "model_configs", "parse_model"]


PARTS = frozenset(
    (
        "attribution",
        "base",
        "cache",
        "contributions",
        "cross_fitting",
        "description",
        "encoding",
        "folded",
        "folded_members",
        "layers",
        "stacked",
        "transformer",
    )
)
"""Modules of this folder that are no model. Parts of networks need torch, which only the training process imports."""


def model_configs() -> dict[str, type[ModelConfig]]:
    """Every model in this folder by name: adding a model is adding its file."""
    configs: dict[str, type[ModelConfig]] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name in PARTS:
            continue
        contents = vars(importlib.import_module(f"{__name__}.{module.name}"))
        for value in contents.values():
            if isinstance(value, type) and issubclass(value, ModelConfig) and value is not ModelConfig:
                configs[value.model_fields["name"].default] = value
    return dict(sorted(configs.items()))


def parse_model(values: Mapping[str, Any]) -> ModelConfig:
    """A model's settings from plain values, `name` among them. Raises ConfigError for a model that is not in this folder."""
    configs, name = model_configs(), str(values.get("name"))
    if name not in configs:
        raise ConfigError(f"model must be one of {', '.join(configs)}, but is {name}{suggest(name, list(configs))}")
    return configs[name].parse(values, "model")
