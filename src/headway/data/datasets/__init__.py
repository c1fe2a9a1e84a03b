"""Known data sets by name. Each file in this folder is one and defines ``DATASET``; a new file is a new data set."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from headway.config import Config, suggest
from headway.data.config import CsvOptions
from headway.data.fetch import File, find
from headway.errors import ConfigError

Clean = Callable[[pa.RecordBatch], pa.RecordBatch]
Format = Literal["csv", "parquet", "text"]


class NoOptions(Config):
    """For data sets without options."""


@dataclass(frozen=True)
class Dataset:
    """A known data set: public ``files``, or ``generate`` that writes files below a folder from options.

    ``clean`` corrects each raw batch (all text for CSV) where the published file has quirks without meaning.
    """

    files: tuple[File, ...] = ()
    csv: CsvOptions = field(default_factory=CsvOptions)
    clean: Clean | None = None
    format: Format = "csv"
    options: type[Config] = NoOptions
    generate: Callable[[Any, Path], tuple[Path, ...]] | None = None


@dataclass(frozen=True)
class Located:
    """Files on this machine, and how to read them."""

    files: tuple[Path, ...]
    csv: CsvOptions
    clean: Clean | None
    format: str


def names() -> list[str]:
    """The names that `data.dataset` can have."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def locate(name: str, options: Mapping[str, Any], root: Path) -> Located:
    """Find, fetch or generate the files of a data set.

    Raises ConfigError for an unknown name or option, DataError when files cannot be fetched or have the wrong content.
    """
    dataset = dataset_of(name)
    values = dataset.options.parse(options, "data.options")
    folder = root / "data" / "raw" / name
    outputs = dataset.generate(values, folder) if dataset.generate is not None else ()
    files = (*outputs, *(find(file, folder, root) for file in dataset.files))
    return Located(files, dataset.csv, dataset.clean, dataset.format)


def dataset_of(name: str) -> Dataset:
    """A data set's description. Raises ConfigError for an unknown name."""
    if name not in names():
        raise ConfigError(
            f"data.dataset must be a known data set, but {name!r} is none{suggest(name, names())}"
            "; for own files give data.source"
        )
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").DATASET
