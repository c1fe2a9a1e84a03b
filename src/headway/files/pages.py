"""HTML pages from templates, each beside the module that fills it. Whatever is filled in is escaped.

base.html   the frame of every page: its style, no scripts, no request to anywhere
parts.html  tables, facts and pictures, from the values below
look.css    the style
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Span:
    """A bar from ``start`` to ``end``, and a mark on it, in per cent of the cell's width."""

    start: float
    end: float
    dot: float | None = None


@dataclass(frozen=True)
class Cell:
    """A text, smaller below it ``more``, and its colour: good, bad, mild or soft. A ``span`` takes the text's place."""

    text: str
    more: str = ""
    mark: str = ""
    span: Span | None = None


@dataclass(frozen=True)
class Table:
    """``label``: for screen readers; ``numbers``: the columns, from 0, that stand to the right; ``rest``: what is left out."""

    label: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[int] = frozenset()
    rest: str = ""


@dataclass(frozen=True)
class Fact:
    """A name, its value, and what to know of it."""

    name: str
    text: str
    more: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture that the page holds itself: an SVG, or the ``source`` of an image. ``text``: its caption."""

    title: str
    text: str
    source: str = ""
    svg: str = ""
    is_wide: bool = False


def png_source(path: Path) -> str | None:
    """A PNG file as the address of an image in the page; None for one that is cut."""
    content = path.read_bytes()
    if not (content.startswith(b"\x89PNG\r\n") and content.endswith(b"IEND\xaeB`\x82")):
        return None
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def texts(*values: str) -> tuple[Cell, ...]:
    """A row of plain texts."""
    return tuple(map(Cell, values))


def spans(intervals: Sequence[tuple[float, float | None, float]], low: float, high: float) -> list[Span]:
    """Intervals, each with its value, drawn between ``low`` and ``high``."""
    width = (high - low) or 1.0

    def place(value: float) -> float:
        return round(100 * min(max((value - low) / width, 0.0), 1.0), 2)

    return [Span(place(a), place(b), None if value is None else place(value)) for a, value, b in intervals]


def render(template: Path, **values: object) -> str:
    """The page. A name that the template uses and that is not given is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # the command line is there before it

    environment = Environment(
        loader=FileSystemLoader([template.parent, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.get_template(template.name).render(values)
