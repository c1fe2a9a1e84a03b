"""bundle.json and preparation.json: what a trained model is and how rows are prepared for it, read without its weights."""

from __future__ import annotations

from collections.abc import Mapping
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

FORMATS = {"": 1, "tokens": 2, "ngrams": 3, "documents": 6}
"""The format of a bundle by what its texts become beside numbers and codes: earlier versions can read those that they know."""

VARYING = 4
"""The format of a bundle with intervals of more than one width."""

SPREAD = 9
"""The format of a bundle whose intervals are multiples of the error to be expected of a row."""

DECODING = 5
"""The format of a bundle whose outputs become predictions in a way of their own: another scale or a log link."""

OF_SERIES = 7
"""The format of a bundle for rows of time series, whose past it reads."""

THRESHOLD = 8
"""The format of a bundle that recalibrates the event's probability, or predicts it from another than one half on."""

NEWEST = max(VARYING, SPREAD, DECODING, OF_SERIES, THRESHOLD, *FORMATS.values())
"""The newest format of a bundle that this version reads and writes."""

EARLIER = "tokenizer.json"
"""What a bundle of documents had in place of preparation.json until format 6."""


@dataclass(frozen=True, kw_only=True)
class Description(Record):
    """bundle.json. ``model``: its settings; ``features``: the raw columns and their kinds; ``target``: None of documents.

    ``interval``: a regression's, as `headway.serve.interval` reads it; None for other tasks, and for bundles of early versions.
    """

    format: int = NEWEST
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
        if values.get("format", NEWEST) > NEWEST:
            raise ConfigError(f"a bundle's format must be at most {NEWEST}, but is {values['format']}; update Headway")
        if "vocabulary" in values:  # of documents, until format 6; early ones do not name the column
            values = {"inputs": {"tokens": [values["vocabulary"]]}, "features": {TEXT: TextColumn.name}, **values}
        return cls.from_json(values, path)

    @property
    def config(self) -> ModelConfig:
        """The model's settings. Raises ConfigError for a model that this version does not have."""
        return parse_model(self.model)


def preparation_of(folder: Path) -> Preparation:
    """The preparation of a bundle. Raises as `Description.of`."""
    described = Description.of(folder)
    if (folder / EARLIER).exists():
        (column,) = described.features
        return Preparation((DocumentTokens(column, read_json(folder / EARLIER)),), Target("", described.task))
    return Preparation.from_json(read_json(folder / "preparation.json"))
