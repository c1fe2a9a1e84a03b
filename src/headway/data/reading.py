"""How files are read: the settings that, with the content, decide the values of the rows and so their identities."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from headway.columns.written import Written
from headway.data.config import CsvOptions, DataConfig
from headway.data.delimited import known_texts
from headway.data.files import format_of
from headway.errors import ConfigError
from headway.files.records import Record

Clean = Callable[[pa.RecordBatch], pa.RecordBatch]


@dataclass(frozen=True)
class FileReading(Record):
    """``form``: csv, parquet, jsonl, arrow or text. ``dataset``: the known data set whose cleaner is applied, if any."""

    form: str
    csv: CsvOptions
    dataset: str | None = None
    date_format: str | None = None
    written: dict[str, Written] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, object]:
        """The settings that change a file's rows, by their names in the project's YAML."""
        csv = self.csv.model_dump(mode="json", include=set(self.csv.how)) if self.form == "csv" else {}
        settings = {"data.format": self.form, "data.dataset": self.dataset, "data.date_format": self.date_format}
        settings |= {f"data.csv.{name}": value for name, value in csv.items()}
        settings |= {f"data.written.{name}": one.model_dump(mode="json") for name, one in self.written.items()}
        return {name: value for name, value in settings.items() if value not in (None, [])}

    @classmethod
    def of_project(cls, data: Mapping[str, Any], textual: bool, now: FileReading) -> FileReading:
        """The reading from the ``data`` section in the bundle of an early version, which did not keep it.

        ``textual``: whether its files were CSV. The rest is taken from ``now``, the present reading.
        """
        if data.get("dataset") is not None:
            csv = now.csv if now.dataset == data["dataset"] else CsvOptions()
        else:
            options = {
                name: value for name, value in (data.get("csv") or {}).items() if name in CsvOptions.model_fields
            }
            csv = CsvOptions.model_validate(options)
        form = "csv" if textual else _other_form(data, now)
        return cls(form, csv, data.get("dataset"), data.get("date_format"))  # none of them has a data.written


def _other_form(data: Mapping[str, Any], now: FileReading) -> str:
    """The form of files that are not CSV: the setting, otherwise by the source's ending, otherwise the present one."""
    try:
        form = format_of([str(data.get("source"))], data.get("format") or "auto")
    except ConfigError:
        form = now.form
    return "other than csv" if form == "csv" else form


def reading_of(config: DataConfig, form: str, csv: CsvOptions) -> FileReading:
    """How a project's files are read; ``form`` and ``csv`` are those of its settings or its data set."""
    return FileReading(form, csv, config.dataset, config.date_format, dict(config.written))


def also_null(clean: Clean | None, names: Collection[str], csv: CsvOptions) -> Clean:
    """``clean``, after which the texts in the columns ``names`` are null too where ``csv`` calls them null.

    For an earlier version, a word that is null now may have been text in a column of numbers. That version learnt no such row, so the
    word must not stop the reading.
    """

    def clean_and_null(batch: pa.RecordBatch) -> pa.RecordBatch:
        batch = clean(batch) if clean is not None else batch
        columns = [
            known_texts(column, csv) if name in names and pa.types.is_string(column.type) else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    return clean_and_null
