"""Lines of CSV files with too few or too many values, where a project has them left out."""

from __future__ import annotations

from pathlib import PurePath

from headway.data.checks import Finding
from headway.data.formats import read_batches
from headway.data.source import Table


def check_lines(table: Table) -> list[Finding]:
    """A warning for each file that lacks lines, with how many and the first of them. The files are read once more for it."""
    if not table.textual or table.csv.uneven_lines == "stop":
        return []
    return [finding for file in table.files if (finding := _in_file(file, table)) is not None]


def _in_file(file: str, table: Table) -> Finding | None:
    lines: list[str] = []
    for _ in read_batches(file, "csv", table.csv, table.present[:1], 65_536, lines.append):
        pass
    if not lines:
        return None
    several = f"{len(lines):,} lines are" if len(lines) > 1 else "1 line is"
    text = f"{PurePath(file).name}: {several} left out, with too few or too many values, such as {lines[0][:60]!r}"
    return Finding("warn", None, text, tuple(lines[:3]))
