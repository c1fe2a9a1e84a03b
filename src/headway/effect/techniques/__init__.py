"""The techniques of the effect study, one file each. A new file with a TECHNIQUE in it is all that another one takes."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence

from headway.config import suggest
from headway.effect.technique import Technique
from headway.errors import ConfigError


def techniques() -> dict[str, Technique]:
    """All by name, in the order of their files."""
    files = sorted(found.name for found in pkgutil.iter_modules(__path__))
    found = [importlib.import_module(f"{__name__}.{file}").TECHNIQUE for file in files]
    return {technique.name: technique for technique in found}


def chosen(names: Sequence[str]) -> list[Technique]:
    """The named ones, or all. Spaces, dashes and capitals do not matter. Raises ConfigError for an unknown one."""
    known = {_plain(name): technique for name, technique in techniques().items()}
    for name in names:
        if _plain(name) not in known:
            shown = [technique.name for technique in known.values()]
            raise ConfigError(f"--techniques: there is no technique {name!r}{suggest(name, shown)}")
    return list(dict.fromkeys(known[_plain(name)] for name in names)) if names else list(known.values())


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
