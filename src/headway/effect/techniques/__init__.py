"""The techniques of the effect study, one file each. A new technique is a new file with a TECHNIQUE in it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence

from headway.config import suggest
from headway.effect.technique import Technique
from headway.errors import ConfigError


def techniques() -> dict[str, Technique]:
    """All by name, in the order of their files."""
    files = sorted(module.name for module in pkgutil.iter_modules(__path__))
    every = [importlib.import_module(f"{__name__}.{file}").TECHNIQUE for file in files]
    return {technique.name: technique for technique in every}


def select(names: Sequence[str]) -> list[Technique]:
    """The named ones, or all. Spaces, dashes and capitals do not matter. Raises ConfigError for an unknown one."""
    by_name = {_plain(name): technique for name, technique in techniques().items()}
    for name in names:
        if _plain(name) not in by_name:
            names_of_all = [technique.name for technique in by_name.values()]
            raise ConfigError(f"--techniques: there is no technique {name!r}{suggest(name, names_of_all)}")
    return list(dict.fromkeys(by_name[_plain(name)] for name in names)) if names else list(by_name.values())


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
