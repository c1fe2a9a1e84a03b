"""What a project says about its data: where it is, what its columns mean, how rows are split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from headway.columns import Kind, column_type
from headway.columns.spelling import spell
from headway.columns.written import Written
from headway.config import Config
from headway.data.delimiters import SPACES
from headway.data.series import SeriesConfig

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_SOME_DAY = datetime(2024, 12, 31, 22, 58, 59, tzinfo=UTC)


class CsvOptions(Config):
    """How to read CSV files that are not plain comma-separated UTF-8 with a header line."""

    delimiter: str = Field(
        ",",
        min_length=1,
        description="What stands between two values: a character, several such as ::, or spaces for any number of spaces.",
    )
    column_names: tuple[str, ...] = Field((), description="Names of the columns, for files without a header line.")
    null_values: tuple[str, ...] = Field(
        ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"), description="What stands for a missing value."
    )
    strip: bool = Field(False, description="Whether spaces around values are removed.")
    encoding: str = Field("utf-8", description="The files' character encoding.")
    skip_lines: int = Field(
        0, ge=0, description="Lines above the line of names, or above the rows of files without one."
    )

    uneven_lines: Literal["stop", "drop"] = Field(
        "stop",
        description="Lines with too few or too many values, such as a sum below the table. stop: the run stops; drop: they are left out.",
    )

    quotes: bool = Field(
        True, description='Whether a value may stand in quotes; false: the character " is one like all others.'
    )

    @field_validator("delimiter")
    @classmethod
    def _no_letters(cls, value: str) -> str:
        if len(value) > 1 and value != SPACES and re.search(r"[\w\s\"]", value):
            raise ValueError(f"delimiter must be one character, spaces, or signs such as ::, but is {value!r}")
        return value

    @model_validator(mode="after")
    def _quotes_among_spaces(self) -> CsvOptions:
        if self.delimiter == SPACES and not self.quotes:
            raise ValueError("quotes must be true with delimiter spaces, but is false; remove it")
        return self

    @property
    def how(self) -> dict[str, object]:
        """What decides on the rows; what was added later is left out where it says nothing, so that earlier digests hold."""
        later = {"skip_lines", "uneven_lines", "quotes"}
        return self.model_dump(exclude={n for n in later if getattr(self, n) == type(self).model_fields[n].default})


class DataConfig(Config):
    """Where the rows come from and what their columns are."""

    dataset: str | None = Field(None, description="A known data set by name, fetched or generated when it is absent.")
    options: dict[str, bool | int | float | str] = Field({}, description="Settings of a generated data set.")
    source: str | None = Field(
        None,
        description="A file, a folder, a glob or a URL of Parquet, CSV, JSON lines or Arrow; or text files, each of which is a document.",
    )
    format: Literal["auto", "csv", "parquet", "jsonl", "arrow", "text"] = Field(
        "auto",
        description="The files' format. text: each file is a row with two columns, name and text. For a language model, files with "
        "other endings are read as text, too.",
    )
    max_bytes: int | None = Field(
        None, ge=10_000, description="For text files: the most bytes that are read; null: everything is read."
    )
    csv: CsvOptions = Field(CsvOptions(), description="How CSV files are read.")
    date_format: str | None = Field(
        None, description="How dates are written where that is ambiguous, for example %d/%m/%Y."
    )
    written: dict[str, Written] = Field(
        {}, description='How the values of single columns are written: {price: {thousands: ","}}.'
    )
    target: str | None = Field(None, description="The column to predict; left out for a language model.")
    unlabelled: Literal["stop", "drop"] = Field(
        "stop", description="Rows without a target. stop: the run stops; drop: they are left out."
    )
    positive: str | None = Field(None, description="Which of two classes is the event whose probability is predicted.")
    features: dict[str, Kind] = Field({}, description="Each column to learn from, and its kind.")
    keys: tuple[str, ...] = Field(
        (), description="Columns that identify a row: kept beside predictions, never features."
    )
    weight: str | None = Field(
        None,
        description="A column that says how much each row counts in training: 0 or more in every row. It is never a feature. In the "
        "evaluation all rows count the same.",
    )
    ignore: dict[str, str] = Field({}, description="Columns left out, each with the reason.")
    series: SeriesConfig | None = Field(
        None,
        description="For time series, with one row per moment: what is forecast. Left out: the rows are not a time series.",
    )

    @property
    def late(self) -> tuple[str, ...]:
        """The features of series that are known with the target and not before: numbers that are not said to be known."""
        if self.series is None:
            return ()
        in_advance = {*self.series.known, *self.series.groups}
        return tuple(n for n, kind in self.features.items() if column_type(kind).adds_up and n not in in_advance)

    @property
    def dates(self) -> tuple[str, ...]:
        """The features that are moments."""
        return tuple(name for name, kind in self.features.items() if column_type(kind).is_time)

    @property
    def may_be_texts(self) -> bool:
        """Whether files of any ending are read: those that are no tables are documents."""
        return self.format == "text" or (self.format == "auto" and self.target is None)

    @property
    def commas(self) -> frozenset[str]:
        """The columns that have a decimal comma."""
        return frozenset(name for name, one in self.written.items() if one.decimal == ",")

    def _check_composed(self) -> None:
        for name, one in self.written.items():
            if one.columns and name == self.target:
                raise ValueError(
                    f"written.{name}.columns must be left out, but {name} is the target; only a feature is made of columns"
                )
            if self.target in one.columns:
                raise ValueError(
                    f"written.{name}.columns must not name the target, but {self.target} is it; leave it out"
                )

    @model_validator(mode="before")
    @classmethod
    def _one_target(cls, values: Any) -> Any:
        target = values.get("target") if isinstance(values, Mapping) else None
        if isinstance(target, (list, tuple)):
            named = ", ".join(map(str, target))
            raise ValueError(f"target must be one column, but is {named}; predict each in a project of its own")
        return values

    @field_validator("positive", mode="before")
    @classmethod
    def _spelled(cls, value: Any) -> Any:
        """Spelt as the target's classes are: 1.0 is 1, and so is the number."""
        return spell(str(value)) if isinstance(value, (str, int, float)) else value

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if (self.dataset is None) == (self.source is None):
            raise ValueError("exactly one of dataset and source must be given")
        stray = [name for name in self.written if name not in self.features and name != self.target]
        if stray:
            raise ValueError(f"written must name features or the target, but {stray[0]} is neither")
        self._check_composed()
        if self.weight is not None and self.weight in (self.target, *self.features, *self.keys):
            raise ValueError(
                f"weight must be neither a feature, the target nor a key, but {self.weight} is one; leave it out of these"
            )
        if self.target in self.features:
            raise ValueError(f"the target {self.target} must not be among the features")
        twice = sorted((set(self.features) & set(self.ignore)) | (set(self.features) & set(self.keys)))
        if twice:
            raise ValueError(f"a column must have one role, but {', '.join(twice)} is a feature and ignored or a key")
        return self


class SplitConfig(Config):
    """How rows are divided into training, validation and test."""

    by: Literal["stratified", "random", "time", "group", "files", "column", "position"] = Field(
        "stratified",
        description="random: by a hash of each row's key or content; stratified: the same, and every class has a "
        "training row; time: the newest rows are the test; group: a group stays together; files: the files matching "
        "test_files are the test; column: a column says train, validation or test; position, for documents: all are one "
        "text, whose end is the test.",
    )
    column: str | None = Field(
        None, description="The column with the time, the group, or the words train, validation and test."
    )
    format: str | None = Field(
        None,
        description="How the column of time is written, where that is ambiguous: a format such as %d/%m/%Y; number; or "
        "text, where alphabetical order is the order in time, as in 2024Q1.",
    )
    row_key: tuple[str, ...] = Field(
        (),
        description="For stratified and random: the columns that identify rows. Left out: data.keys; without keys, all features "
        "and the target, so that another list of features divides the rows in another way.",
    )
    test: float = Field(
        0.2, gt=0, lt=1, description="The test rows' share; the actual share differs a little by chance."
    )
    validation: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="The validation rows' share of the rows that are not test rows; for early stopping.",
    )
    test_files: str | None = Field(None, description="A glob on file names: the official test files.")
    seed: int = Field(
        0,
        ge=0,
        description="Seed of the random assignment. With another seed, most test rows are training rows of the champion.",
    )

    @model_validator(mode="after")
    def _complete(self) -> SplitConfig:
        if self.by in ("time", "group", "column") and self.column is None:
            raise ValueError(f"column must be given when rows are split by {self.by}")
        if self.by == "files" and self.test_files is None:
            raise ValueError("test_files must be given when rows are split by files")
        if self.format is not None:
            _check_format(self.format, self.by)
        if self.row_key and self.by not in ("stratified", "random"):
            raise ValueError(
                f"row_key is only for a stratified or random split, but the split is by {self.by}; remove it"
            )
        return self


def _check_format(form: str, by: str) -> None:
    if by != "time":
        raise ValueError(f"format is only for a split by time, but the split is by {by}; remove it")
    if form in ("number", "text", "ISO8601"):
        return
    try:
        if datetime.strptime(_SOME_DAY.strftime(form), form).year == _SOME_DAY.year:
            return
    except ValueError:
        pass
    raise ValueError(f"format must be number, text or a date format with a year such as %d.%m.%Y, but is {form!r}")


class Expectation(Config):
    """One expectation that the data must meet, in Great Expectations' words."""

    model_config = ConfigDict(extra="allow")

    expect: str = Field(description="The expectation's name, for example column_values_to_be_between.")
    column: str | None = Field(
        None, description="The column it is about; left out for an expectation about the whole table."
    )
    severity: Literal["stop", "warn"] = Field(
        "stop", description="Whether a failure stops the run or is only reported."
    )


class ValidationConfig(Config):
    """What the data must satisfy before anything is trained on it."""

    expectations: tuple[Expectation, ...] = Field((), description="Each is judged by Great Expectations.")
    max_overlap: float = Field(
        0.05, ge=0, le=1, description="Largest share of test rows that may also be training rows."
    )
    max_single_feature_auc: float = Field(
        0.995, gt=0.5, le=1, description="A feature that alone predicts the target better than this is a leak."
    )
    leaks: Literal["stop", "warn"] = Field(
        "stop", description="Whether a suspected leak stops the run or is only reported."
    )
