"""One file per model: a typed config whose ``build`` (or, for boosting, ``fit``) makes it."""

from __future__ import annotations

import importlib
import pkgutil

from headway.models.base import ModelConfig

__all__ = ["ModelConfig", "model_configs"]


PARTS = frozenset({"folded", "layers", "stacked", "transformer"})
"""Modules of this folder that are parts of models: they need torch, which only the training process imports."""


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
