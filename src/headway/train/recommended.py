"""The recommended recipe of a project: `conf/NAME.recipe.yaml`, which its effect study writes."""

from __future__ import annotations

import json
from pathlib import Path

from headway.config import read_yaml
from headway.errors import ConfigError

RECIPE_SUFFIX = ".recipe"


def recipe_path(root: Path, name: str) -> Path:
    """The file of a project's recommended recipe, which its effect study writes."""
    return root / "conf" / f"{name}{RECIPE_SUFFIX}.yaml"


def recipe_settings(root: Path, name: str) -> list[str]:
    """The recommended recipe as settings. Raises ConfigError where there is none."""
    path = recipe_path(root, name)
    if not path.exists():
        raise ConfigError(f"conf/{path.name} must exist, but there is none; make it: headway effect {name}")
    values = read_yaml(path).get("train") or {}
    return [f"train.{field}={json.dumps(value)}" for field, value in values.items()]


def recipe_warning(root: Path, name: str) -> str | None:
    """A warning about a recommended recipe; None where its study confirmed it, or where it changes nothing."""
    path = recipe_path(root, name)
    values = read_yaml(path)
    if not values.get("train") or values.get("confirmed"):
        return None
    return (
        f"conf/{path.name} was not confirmed on fresh samples: a study of an earlier version left it. "
        f"Measure again: headway effect {name}"
    )
