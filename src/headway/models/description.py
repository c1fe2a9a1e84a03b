"""bundle.json and preparation.json: what a trained model is and how rows are prepared for it, read without its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headway.columns import Kind
from headway.columns.text import DocumentTokens, TextColumn
from headway.data.inputs import Inputs
from headway.data.prepare import Preparation
from headway.data.texts import TEXT
from headway.errors import ConfigError
from headway.files.atomic import read_json
from headway.files.records import Record
from headway.models import ModelConfig, parse_model
from headway.tasks import Target

RAGGED = "tokens"
"""Texts as tokens beside numbers and codes, or as anything else that has a length of its own in each row."""

VARYING = "intervals of more than one width"
SPREAD = "intervals as multiples of the error to be expected of a row"
DECODING = "a scale or a log link of the outputs"
OF_SERIES = "the past of time series"
THRESHOLD = "recalibrated probabilities or a threshold"
CHANGES = "outputs that are changes since an earlier value"
TEMPERATURE = "a temperature of the classes' probabilities"
COMPOSED = "columns that are made of several"

BY_NAME = 10
"""The format of a bundle with a need that versions without names do not have."""

FEATURES = {
    RAGGED: 2,
    "ngrams": 3,
    VARYING: 4,
    DECODING: 5,
    "documents": 6,
    OF_SERIES: 7,
    THRESHOLD: 8,
    SPREAD: 9,
    CHANGES: BY_NAME,
    TEMPERATURE: BY_NAME,
    COMPOSED: BY_NAME,
}
"""What a bundle may need of the version that reads it, and the format of the version that had it first. A bundle names what it needs;
versions before format 10 look at its number alone. A new need gets the number `BY_NAME`, which all of these refuse.
"""

PLAIN = 1
"""The format of a bundle that needs none of them."""

EARLIER = "tokenizer.json"
"""What a bundle of documents had in place of preparation.json until format 6."""


@dataclass(frozen=True, kw_only=True)
class Description(Record):
    """bundle.json. ``model``: its settings; ``features``: the raw columns and their kinds; ``target``: None of documents.

    ``format``: the least that reads it; ``needs``: of `FEATURES`, None in bundles that were written before these had names.
    ``interval``: a regression's, as `headway.serve.interval` reads it; None for other tasks, and for bundles of early versions.
    """

    format: int = PLAIN
    needs: tuple[str, ...] | None = None
    task: str
    model: Mapping[str, Any] = field(default_factory=dict)
    inputs: Inputs = field(default_factory=Inputs)
    classes: tuple[str, ...] = ()
    features: Mapping[str, Kind] = field(default_factory=dict)
    target: str | None = None
    interval: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, folder: Path) -> Description:
        """A bundle's. Raises ConfigError for a folder that is no bundle, or one of a newer format, DamagedError for a damaged file."""
        path = folder / "bundle.json"
        try:
            values = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"{folder} must be a bundle, but it has no bundle.json") from None
        _refuse_unreadable(values)
        if "vocabulary" in values:  # of documents, until format 6; early ones do not name the column
            values = {"inputs": {"tokens": [values["vocabulary"]]}, "features": {TEXT: TextColumn.name}, **values}
        return cls.from_json(values, path)

    @property
    def config(self) -> ModelConfig:
        """The model's settings. Raises ConfigError for a model that this version does not have."""
        return parse_model(self.model)


def format_of(needs: Iterable[str]) -> int:
    """The least format of a version that reads a bundle with these needs."""
    return max((FEATURES[name] for name in needs), default=PLAIN)


def _refuse_unreadable(values: Mapping[str, Any]) -> None:
    """Raises ConfigError for what this version does not have: it would predict something else."""
    needs = values.get("needs")
    if needs is None:
        number, newest = values.get("format", PLAIN), max(PLAIN, *FEATURES.values())
        if number > newest:
            raise ConfigError(f"a bundle's format must be at most {newest}, but is {number}; update Headway")
        return
    missing = [name for name in needs if name not in FEATURES]
    if missing:
        raise ConfigError(
            f"a bundle must need only what this version of Headway has, but needs {missing[0]}; update Headway"
        )


def preparation_of(folder: Path) -> Preparation:
    """The preparation of a bundle. Raises as `Description.of`."""
    described = Description.of(folder)
    if (folder / EARLIER).exists():
        (column,) = described.features
        return Preparation((DocumentTokens(column, read_json(folder / EARLIER)),), Target("", described.task))
    return Preparation.from_json(read_json(folder / "preparation.json"))
