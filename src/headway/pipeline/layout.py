"""How text fits a terminal of any width: no word and no command is ever cut, so that both can be copied.

A line is broken at spaces only, and at no space of a command. A table that does not fit so is shown row by row, one value a line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

GAP = 2
"""Cells between two columns of a table."""

_NEXT = r"(?<![;:,.)`])[ ]"
"""The space before a further word of a command, which ends with the first punctuation mark."""

_WORD = r"""(?:"[^"]*"|'[^']*'|[^\s"'(`-])\S*"""
_VALUE = rf"""(?=["']|\S*[\d-]){_WORD}"""
"""A further word that is no prose: quoted, or with a figure or a hyphen in it."""

_COMMAND = rf"""
    [(`]* (?: headway[ ][a-z]+ | prefect[ ]deploy | mlflow[ ]db[ ]upgrade | pip[ ]install ) \S*
    (?: {_NEXT}{_WORD} (?: {_NEXT}{_VALUE} )* )?                       # loans; of prose one word is kept, too, which does no harm
    (?: {_NEXT}--?\w\S* (?: {_NEXT}{_WORD} (?: {_NEXT}{_VALUE} )* )? )*    # --to 3
"""
_UNIT = re.compile(rf"(\s*)({_COMMAND}|\S+)", re.VERBOSE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    """Without control characters: a column's name must not move the cursor or colour what follows."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def wrapped(text: str, width: int | None) -> list[str]:
    """Lines of at most ``width`` cells, broken between words and commands; a longer one has a line of its own.

    None as ``width``: as many lines as ``text`` has.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        lines += [line] if width is None or cells(line) <= width else _broken(line, width)
    return lines


def _broken(line: str, width: int) -> list[str]:
    lines = [""]
    for space, word in _UNIT.findall(line):
        if lines[-1].strip() and cells(lines[-1] + space + word) > width:
            lines.append(word)
        else:
            lines[-1] += space + word
    return lines


def units(text: str) -> list[str]:
    """The words and commands of a text, each of which stays in one line."""
    return [word for _, word in _UNIT.findall(text)]


def cells(text: str) -> int:
    """How many cells of a terminal a text takes: wide characters take two."""
    if text.isascii():
        return len(text)  # as in every text of --help, which stays quick without rich
    from rich.cells import cell_len

    return cell_len(text)


def column_widths(rows: Sequence[Mapping[str, str]], width: int | None) -> dict[str, int] | None:
    """The cells of each column, so that all fit ``width`` and no word or command is cut; None where there is no room for that.

    The widest columns are narrowed first. ``rows`` have the same keys; None as ``width``: there is room for all.
    """
    texts = {name: [name, *(row[name] for row in rows)] for name in rows[0]}
    natural = {name: max(map(cells, column)) for name, column in texts.items()}
    if width is None:
        return natural
    room = width - GAP * (len(natural) - 1)
    least = {name: max(cells(word) for text in column for word in [*units(text), ""]) for name, column in texts.items()}
    if sum(least.values()) > room:
        return None
    most = max(natural.values())
    while True:
        widths = {name: max(least[name], min(natural[name], most)) for name in natural}
        if sum(widths.values()) <= room:
            return widths
        most -= 1
