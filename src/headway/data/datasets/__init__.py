"""Known data sets, one file each: fetched once and checked by SHA-256, or generated. Adding one is adding its file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headway.base import ConfigError, suggest
from headway.data.datasets.base import Dataset, File, Located, NoOptions, fetch

__all__ = ["Dataset", "File", "Located", "NoOptions", "dataset", "locate", "names"]


def _all() -> dict[str, Dataset]:
    found = {}
    for module in pkgutil.iter_modules(__path__):
        known = getattr(importlib.import_module(f"{__name__}.{module.name}"), "DATASET", None)
        if known is not None:
            found[known.name] = known
    return found


def names() -> list[str]:
    """All known data sets."""
    return sorted(_all())


def dataset(name: str) -> Dataset:
    """One of them. Raises ConfigError for a name that is none."""
    known = _all()
    if name not in known:
        raise ConfigError(
            f"data.dataset must be a known data set, however {name!r} is none{suggest(name, list(known))}"
        )
    return known[name]


def locate(name: str, options: Mapping[str, Any], root: Path) -> Located:
    """The files of a known data set: from the mirror, from `data/raw/`, fetched, or generated.

    Raises ConfigError for an unknown name or option, DataError when the files cannot be had.
    """
    known = dataset(name)
    chosen = known.options.parse(options, "data.options")
    if known.generate is not None:
        files = known.generate(root / "data" / "raw" / name, chosen)
    else:
        files = tuple(fetch(file, name, root) for file in known.files)
    return Located(files, known.csv, known.clean, known.format)
