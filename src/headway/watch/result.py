"""watch.json and watch.md: the result of comparing the newest rows with a training's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headway.files.records import Record
from headway.quality.judge import Result
from headway.run.report import markdown_table
from headway.watch.judge import Shift

SHOWN = 100
"""Columns in the terminal and on the page; watch.json has all."""


@dataclass(frozen=True)
class Belonging(Record):
    """The units that the newest rows belong to; ``count`` is None where the files do not tell it. ``note`` is for the reader."""

    name: str
    count: int | None
    size: float
    text: str
    note: str = ""


@dataclass(frozen=True)
class WatchResult(Record):
    """The verdict, with the champion, the files, each column, and the expectations as Great Expectations judged them."""

    drifted: bool
    summary: str
    champion: str
    files: tuple[str, ...]
    why: str
    rows: int
    units: Belonging
    digest: str
    columns: tuple[Shift, ...]
    expectations: tuple[Result, ...] = ()
    broken: tuple[str, ...] = ()
    limits: Mapping[str, object] | None = None

    @property
    def drifted_columns(self) -> list[str]:
        """The names of the columns that drifted."""
        return [column.column for column in self.columns if column.drifted]


def table(result: WatchResult) -> list[dict[str, str]]:
    """The columns' numbers as rows of text, the largest drift first; of a wide table the first SHOWN."""
    order = sorted(result.columns, key=lambda c: (not c.drifted, -(c.psi or 0)))
    return [
        {
            "column": c.column,
            "drift": "yes" if c.drifted else "",
            "PSI": _uncompared(c) if c.psi is None else f"{c.psi:.4f}",
            **({"design effect": f"{c.effect:.2f}"} if result.units.name != "row" else {}),
            "by chance": "–" if c.chance is None else f"{c.chance:.4f}",
            "Jensen-Shannon": "–" if c.jensen_shannon is None else f"{c.jensen_shannon:.4f}",
            "nulls before": f"{c.nulls_before:.2%}",
            "nulls now": f"{c.nulls_now:.2%}",
        }
        for c in order[:SHOWN]
    ]


def left_out(result: WatchResult) -> list[str]:
    """A line on the columns that the table leaves out, if any."""
    rest = result.columns[SHOWN:]
    drifted = max(0, len(result.drifted_columns) - SHOWN)
    return [f"and {len(rest):,} more columns, of which {drifted:,} drifted: watch.json has each"] if rest else []


def _uncompared(column: Shift) -> str:
    """Why a column has no PSI."""
    nulls = {"before": column.nulls_before, "now": column.nulls_now}
    empty = [when for when, share in nulls.items() if share == 1]
    return f"no value {' and '.join(empty)}" if empty else "free text has no shares"


def page(result: WatchResult) -> str:
    """The report as Markdown."""
    files = ", ".join(result.files[:12])
    parts = [
        f"# {'Drift' if result.drifted else 'No drift'}",
        result.summary,
        f"{result.units.text} of {files} ({result.why}), against the training of version {result.champion}.",
        markdown_table(table(result)),
        *left_out(result),
        *(f"- {text}" for text in result.broken),
        "A PSI above its limit is drift only if it is also larger than chance explains (the column `by chance`).",
        *_explanation(result.units),
    ]
    return "\n\n".join(parts) + "\n"


def _explanation(units: Belonging) -> list[str]:
    """What related rows mean for the numbers of the report."""
    note = units.note
    text = [f"{note[0].upper()}{note[1:]}."] if note else []
    if units.name == "row":
        return text
    return [
        f"Rows of one {units.name} are more alike than rows of different ones, so their shares vary more than those of independent rows: "
        "`design effect` says how many times more. How alike they are was measured in training.",
        *text,
    ]
