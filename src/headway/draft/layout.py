"""The layout of a table's files: format, encoding, delimiter, and the line of column names."""

from __future__ import annotations

import csv as stdlib_csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from headway.data.config import CsvOptions
from headway.data.delimiters import SPACES, UNIT, is_plain, with_units
from headway.data.files import FORMATS, find_files, suffix_of
from headway.data.folders import folder_values
from headway.data.formats import head_of
from headway.draft.encoding import encoding_of
from headway.draft.heading import is_header, signs_of_names, whole_names
from headway.draft.objects import refuse_object
from headway.errors import ConfigError

HEAD = 1 << 20
LINES = 200
TITLES = 50
"""The line of column names is searched for in so many first lines."""

_USUAL, _OTHERS = ("\t", ";", "|", ","), ("^", "~", "\x01", SPACES, " ", "::", ":")
"""Of equally good delimiters the first is taken; the comma is last, as it also occurs in numbers and texts."""

_WORDS = {"tab": "\t", "\\t": "\t", "space": " ", "whitespace": SPACES, "comma": ",", "semicolon": ";", "pipe": "|"}
_MANY_SPACES = re.compile(r"^ |  | \t|\t ", re.MULTILINE)


@dataclass(frozen=True)
class Choices:
    """Options of `headway init` about the files. ``header``: names, a line's number, or none."""

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: str | None = None
    settings: tuple[str, ...] = ()


@dataclass
class Layout:
    """``format``: where it does not follow from the files' names. ``csv``: settings that differ from plain CSV. ``notes``: for the user."""

    form: str
    format: str | None = None
    csv: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Lines:
    """The first rows of a CSV: cells, and the number of lines above each."""

    rows: list[list[str]]
    above: list[int]


def choose_files(source: str, root: Path, choices: Choices) -> tuple[str, list[str], list[str]]:
    """The source, its files, and notes. In a folder with several formats, the files of the most frequent one are taken."""
    files = find_files(source, root, "--data")
    notes = _folders(files)
    endings = Counter(suffix_of(file) for file in files)
    if len(files) == 1 or len({FORMATS.get(one) for one in endings}) == 1:
        return source, files, notes
    candidates = [one for one in endings if choices.format in (None, "auto", FORMATS.get(one))]
    if not candidates or not Path(source if Path(source).is_absolute() else root / source).is_dir():
        raise ConfigError(
            f"--data must be files of one format, but their endings are {', '.join(sorted(endings))}; give a glob"
        )
    ending = max(candidates, key=lambda one: (endings[one], FORMATS.get(one) in ("parquet", "csv")))
    pattern = f"{source.rstrip('/')}/**/*{ending}"
    rest = [PurePath(file).name for file in files if suffix_of(file) != ending]
    more = f" and {len(rest) - 3} more" if len(rest) > 3 else ""
    notes.append(f"left out: {', '.join(rest[:3])}{more}, of another format")
    return pattern, find_files(pattern, root, "--data"), notes


def _folders(files: Sequence[str]) -> list[str]:
    """What is said of columns in the names of folders, such as month=1."""
    names = sorted({name for file in files for name in folder_values(file)})
    return [f"read from the names of folders: {', '.join(names)}"] if names else []


def layout_of(files: Sequence[str], choices: Choices, target: str) -> Layout:
    """The layout by the content of the first file and by ``choices``. Raises DataError or ConfigError for a file that is no table."""
    name = PurePath(files[0]).name
    head, actual_form = head_of(files[0], HEAD)
    form = choices.format if choices.format not in (None, "auto") else actual_form
    by_name = {FORMATS.get(suffix_of(file)) for file in files}
    layout = Layout(form, None if by_name == {form} else form)
    if form == "jsonl":
        refuse_object(head, name)
    if layout.format is not None and None not in by_name:
        layout.notes.append(f"{name} is {form} by its content, in spite of its name")
    if form != "csv":
        return layout
    encoding = choices.encoding or encoding_of(files, head, target)
    if encoding != "utf-8":
        layout.csv["encoding"] = encoding
        if choices.encoding is None:
            layout.notes.append(f"encoding: {encoding}, since the bytes are not UTF-8; --encoding sets another")
    text = _decoded(head, encoding).lstrip("\ufeff")
    delimiter = _delimiter(text, choices.delimiter, target, choices.header)
    if delimiter != ",":
        layout.csv["delimiter"] = delimiter
    lines = _lines(text, delimiter)
    _header(layout, lines, choices.header, target)
    if _is_padded(lines.rows):
        layout.csv["strip"] = True
    return layout


def _decoded(head: bytes, encoding: str) -> str:
    try:
        text = head.decode(encoding, "ignore")
    except LookupError:
        raise ConfigError(f"--encoding must be a character encoding, but is {encoding!r}") from None
    return text if len(head) < HEAD else text[: text.rfind("\n") + 1]


def _lines(text: str, delimiter: str) -> _Lines:
    if not is_plain(delimiter):
        text, delimiter = with_units(text, delimiter), UNIT
    reader = stdlib_csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    rows: list[list[str]] = []
    above: list[int] = []
    before = 0
    try:
        for row in reader:
            if row and any(cell.strip() for cell in row):
                rows.append([cell.strip("\r\n") for cell in row])
                above.append(before)
            before = reader.line_num
            if len(rows) >= LINES:
                break
    except stdlib_csv.Error:
        pass  # the reader refuses the rest
    return _Lines(rows, above)


def _delimiter(text: str, choice: str | None, target: str, header: str | None) -> str:
    """The character that divides most lines into equally many values."""
    if choice is not None:
        delimiter = _WORDS.get(choice.lower(), choice)
        try:
            return CsvOptions(delimiter=delimiter).delimiter
        except ValueError:
            signs = "one character, tab, space, spaces, or signs such as ::"
            raise ConfigError(f"--delimiter must be {signs}, but is {choice!r}") from None
    width = len(header.split(",")) if header and "," in header else None
    for candidates, least in ((_USUAL, 0.5), (_OTHERS, 0.95)):
        likely = [one for one in candidates if one != SPACES or _MANY_SPACES.search(text)]
        scores = {one: _evenness(_lines(text, one).rows, target, width) for one in likely}
        best = max(likely, key=lambda one: scores[one])
        if scores[best] >= (False, least):
            return SPACES if best == "\t" and _is_aligned(text, target, width, scores[best][0]) else best
    return ","


def _is_aligned(text: str, target: str, width: int | None, has_target: bool) -> bool:
    """Whether tabs are some of the spaces between columns that stand below each other."""
    aligned = _MANY_SPACES.search(text) is not None
    return aligned and _evenness(_lines(text, SPACES).rows, target, width) >= (has_target, 0.95)


def _evenness(rows: list[list[str]], target: str, width: int | None) -> tuple[bool, float]:
    """Whether a line has the target's name as a cell, and the share of rows that have the most frequent width, at least two."""
    widths = Counter(len(row) for row in rows)
    wide = {n: count for n, count in widths.items() if n > 1 and width in (None, n)}
    if not wide:
        return False, 0.0
    has_target = any(target in [cell.strip() for cell in row] for row in rows[:TITLES])
    return has_target, round(max(wide.values()) / len(rows), 2)


def _header(layout: Layout, lines: _Lines, choice: str | None, target: str) -> None:
    """Find the line of column names; without one, they are `column_1` and so on."""
    rows = lines.rows
    if choice is not None and choice.isdigit() and int(choice) > 0:
        layout.csv |= {"skip_lines": int(choice) - 1} if int(choice) > 1 else {}
        return
    if not rows:
        return
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    are_stated = choice not in (None, "none")
    names_row = next((i for i, row in enumerate(rows[:TITLES]) if target in [cell.strip() for cell in row]), None)
    names_row = _own_names(layout, lines, width) if names_row is None and are_stated else names_row
    first = _first_of_table(rows, names_row, choice)
    if lines.above[first]:
        layout.csv["skip_lines"] = lines.above[first]
    if lines.above[first] and (names_row is None or not are_stated):
        layout.notes.append(_above(lines.above[first]))
    if choice is not None and are_stated:
        names = [name.strip() for name in choice.split(",")]
        if len(names) != width:
            raise ConfigError(
                f"--header must name {width} columns, but names {len(names)}; or give a line's number, or none"
            )
        layout.csv["column_names"] = names
    elif choice == "none" or (
        names_row is None and not is_header(rows[first], [r for r in rows[first + 1 :] if len(r) == width])
    ):
        layout.csv["column_names"] = [f"column_{i + 1}" for i in range(width)]
        if choice is None:
            examples = ", ".join(f"column_{i + 1} is {cell.strip()[:30]}" for i, cell in enumerate(rows[first][:4]))
            layout.notes.append(
                f"no line of names; in the first row {examples}{' ...' if width > 4 else ''}; --header a,b,c names them"
            )
    elif len(rows) > first + 1:
        _complete(layout, lines, first, width)


def _above(count: int) -> str:
    several = f"the first {count} lines are" if count > 1 else "the first line is"
    return f"{several} above the table; --header N sets the line of names"


def _own_names(layout: Layout, lines: _Lines, width: int) -> int | None:
    """The row of the file's own names beside those that people give; None where there is none. Words over words are a question."""
    rows = lines.rows
    first = next(i for i, row in enumerate(rows) if len(row) == width)
    cells, rest = [cell.strip() for cell in rows[first]], [row for row in rows[first + 1 :] if len(row) == width]
    names, values = signs_of_names(cells, rest)
    if not rest or values:
        return None
    some = ", ".join(cells[:4]) + (" ..." if width > 4 else "")
    if names:
        layout.notes.append(
            f"the file has names of its own, {some}: their line is left out, as --header names the columns"
        )
        return first
    layout.notes.append(
        f"question: are {some} names of columns? Their line is read as a row; if they are, --set data.csv.skip_lines="
        f"{lines.above[first + 1]} leaves it out"
    )
    return None


def _first_of_table(rows: Sequence[Sequence[str]], names_row: int | None, choice: str | None) -> int:
    """The row of names, where the table has one; of values, where it has none or people name the columns."""
    are_stated = choice not in (None, "none")
    if names_row is not None and choice != "none" and len(rows) > names_row + are_stated:
        return names_row + are_stated
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    return next(i for i, row in enumerate(rows) if len(row) == width)


def _complete(layout: Layout, lines: _Lines, first: int, width: int) -> None:
    """Give every column a name of its own, where the line of names does not."""
    line = [cell.strip() for cell in lines.rows[first]]
    names, notes = whole_names(line, [row for row in lines.rows[first + 1 :] if len(row) == width])
    if names != line:
        layout.csv |= {"column_names": names, "skip_lines": lines.above[first + 1]}
        layout.notes += [f"{note}; --header a,b,c names them all" for note in notes]


def _is_padded(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a space follows each delimiter."""
    return bool(rows) and sum(any(cell.startswith(" ") for cell in row[1:]) for row in rows) > 0.8 * len(rows)


OPTIONS: Mapping[str, str] = {
    "data.csv.skip_lines: N leaves out lines above them": "--header N sets their line",
    "data.csv.uneven_lines: drop": "--set data.csv.uneven_lines=drop",
    "data.csv.encoding": "--encoding",
    "data.csv.delimiter": "--delimiter",
    "data.csv.column_names": "--header",
    "data.format": "--format",
    "data.source": "--data",
    "data.target": "--target",
}
_SETTING = re.compile(r"(?<!--set )\b(data\.(?:date_format|unlabelled|positive|features\.\S+|written\.[\w.]+))\b")


def as_options(text: str) -> str:
    """A message with the options of `init` in place of settings in a YAML, which does not exist yet."""
    for setting, option in OPTIONS.items():
        text = text.replace(setting, option)
    return _SETTING.sub(r"--set \1", text)
