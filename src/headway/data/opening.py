"""The files of a project, opened as one table."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath

from headway.data.config import DataConfig
from headway.data.files import find_files, format_of
from headway.data.naming import base_of, below
from headway.data.source import Table
from headway.tasks import TaskName


def open_table(
    data: DataConfig, task: TaskName, root: Path, extra: Sequence[str] = (), only: Collection[str] | None = None
) -> Table:
    """The project's rows, or those in the files ``only``. ``extra`` columns (keys, slices, a split column) are carried along in
    their own type.

    Raises ConfigError for wrong settings, DataError for wrong files.
    """
    if data.dataset is not None:
        from headway.data.datasets import locate

        location = locate(data.dataset, data.options, root)
        files = _selection([str(file) for file in location.files], only)
        return Table(files, data, task, root, extra, location.csv, location.clean, location.format)
    every, form = _own_files(data, root)
    clean = below(base_of(str(data.source), root, every)) if form == "text" else None
    return Table(_selection(every, only), data, task, root, extra, data.csv, clean, form)


def _own_files(data: DataConfig, root: Path) -> tuple[list[str], str]:
    """The files of a source, and their format."""
    files = find_files(str(data.source), root, texts=data.may_be_texts)
    return files, format_of(files, data.format, data.may_be_texts)


def _selection(files: list[str], only: Collection[str] | None) -> list[str]:
    return files if only is None else [file for file in files if file in only]


def newest_month(data: DataConfig, root: Path) -> str | None:
    """The newest month in the files' names, such as 2025-12; None where no name has one. Raises as `open_table`."""
    if data.dataset is not None:
        from headway.data.datasets import locate

        files = [str(file) for file in locate(data.dataset, data.options, root).files]
    else:
        files, _ = _own_files(data, root)
    matches = (re.search(r"(19|20)\d\d-(0[1-9]|1[0-2])(?!\d)", PurePath(file).stem) for file in files)
    return max((one[0] for one in matches if one), default=None)
