"""How text fits a terminal of any width: no word is ever cut, so that names, paths and addresses can be copied.

A line is broken at spaces only. A table that does not fit with whole words is shown row by row, one value a line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

GAP = 2
"""Cells between two columns of a table."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(text: str) -> str:
    """Without control characters: a column's name must not move the cursor or colour what follows."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def wrapped(text: str, width: int | None) -> list[str]:
    """Lines of at most ``width`` cells, broken at spaces; a longer word has a line of its own. None: as many as ``text`` has."""
    lines: list[str] = []
    for line in text.split("\n"):
        lines += [line] if width is None or cells(line) <= width else _broken(line, width)
    return lines


def _broken(line: str, width: int) -> list[str]:
    lines = [""]
    for space, word in re.findall(r"(\s*)(\S+)", line):
        if lines[-1].strip() and cells(lines[-1] + space + word) > width:
            lines.append(word)
        else:
            lines[-1] += space + word
    return lines


def cells(text: str) -> int:
    """How many cells of a terminal a text takes: wide characters take two."""
    from rich.cells import cell_len

    return cell_len(text)


def column_widths(rows: Sequence[Mapping[str, str]], width: int | None) -> dict[str, int] | None:
    """The cells of each column, so that all fit ``width`` and no word is cut; None where there is no room for that.

    The widest columns are narrowed first. ``rows`` have the same keys; None as ``width``: there is room for all.
    """
    texts = {name: [name, *(row[name] for row in rows)] for name in rows[0]}
    natural = {name: max(map(cells, column)) for name, column in texts.items()}
    if width is None:
        return natural
    room = width - GAP * (len(natural) - 1)
    least = {
        name: max(cells(word) for text in column for word in [*text.split(), ""]) for name, column in texts.items()
    }
    if sum(least.values()) > room:
        return None
    most = max(natural.values())
    while True:
        widths = {name: max(least[name], min(natural[name], most)) for name in natural}
        if sum(widths.values()) <= room:
            return widths
        most -= 1
