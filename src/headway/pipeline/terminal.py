"""The terminal's output: one line for each stage, a progress bar, a table of results, the decision.

✓ validate   1.2 s  48,842 rows × 14 columns, 27 expectations hold
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from headway.machine.interruption import reader_left
from headway.pipeline.layout import GAP, cells, column_widths, visible, wrapped
from headway.pipeline.tables import DECIDES, class_rows, metric_rows, slice_rows
from headway.run.remaining import Remaining, in_words

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

    from headway.evaluate.result import Evaluation
    from headway.pipeline.runs import Summary

PLAIN_SECONDS = 10.0
"""Without a terminal, progress is a line of its own, at most this often."""

SHOWN_WITH_RESULTS = ("evaluate", "register")
"""The lines of these stages are shown below the table of metrics."""

STOP_EARLY = ("train", "seeds")
"""Stages that end before their last epoch where nothing improves any more: the time left is the most that they take."""

WIDE = 10_000
"""Cells of a line where there is no terminal; rich would take 80."""

FEWEST_CELLS = 24
"""A text beside a fixed part has at least so much room."""


class Terminal:
    """A Reporter for people. ``stream``: standard output by default; ``width``: in cells, by default the terminal's.

    Without a terminal there is no width: each line and each row of a table is one line, whatever its length.
    """

    def __init__(self, stream: TextIO | None = None, width: int | None = None) -> None:
        stream = stream or sys.stdout
        is_bounded = width is not None or stream.isatty() or "COLUMNS" in os.environ
        self.console: Console = _console(stream, width if is_bounded else WIDE)
        self._width = self.console.width if is_bounded else None
        self._lines: list[str] = []
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._last_line_time = 0.0
        self._stage = ""
        self._remaining = Remaining()

    def title(self, name: str, text: str) -> None:
        """The first line of a run."""
        from rich.text import Text

        lines = "\n".join(wrapped(visible(f"{name}  {text}" if text else name), self._width))
        title = Text(lines)
        title.stylize("bold", 0, len(name))
        self.console.print(title, soft_wrap=True)

    @contextlib.contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Shows a spinner on a terminal during the block."""
        if not self.console.is_terminal or self.console.is_dumb_terminal:
            yield
            return
        with self.console.status(text):
            yield

    def table(self, rows: Sequence[Mapping[str, object]], empty: str) -> None:
        """Any rows as a table; ``empty`` when there are none."""
        if not rows:
            self._print(empty)
            return
        names = list(dict.fromkeys(name for row in rows for name in row))
        self._table([{name: "" if row.get(name) is None else str(row[name]) for name in names} for row in rows])

    def line(self, text: str) -> None:
        """Kept until the stage ends, then shown beside its name; shown at once between stages."""
        if self._stage:
            self._lines.append(text)
        else:
            self._print(text)

    def warn(self, text: str) -> None:
        """Shown at once."""
        self._row(self._sign("!", "!"), "bold yellow", "", text, "yellow")

    def progress(self, share: float, text: str) -> None:
        """Moves the bar; without a terminal, prints a line now and then. The time left is told once it can be estimated."""
        share = min(max(share, 0.0), 1.0)
        seconds = self._remaining.after(share)
        about = "at most" if self._stage in STOP_EARLY else "about"
        left = "" if seconds is None else f"{about} {in_words(seconds)} left"
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=share, total=1.0, text=visible(text), left=left)
        elif time.monotonic() - self._last_line_time >= PLAIN_SECONDS:
            self._last_line_time = time.monotonic()
            self._print(f"  {self._stage} {share:4.0%}  {text}{f', {left}' if left else ''}")

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Shows ``name`` with a bar, then with a tick or a cross, its seconds and its lines."""
        start, self._last_line_time = time.monotonic(), time.monotonic()
        self._stage, self._lines, self._remaining = name, [], Remaining()
        is_done = False
        try:
            with self._live(name):
                yield
            is_done = True
        finally:
            self._stage = ""
            self._tick(name, time.monotonic() - start, is_done)

    @contextlib.contextmanager
    def _live(self, name: str) -> Iterator[None]:
        """A bar that disappears when the stage ends; nothing without a terminal."""
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column

        if not self.console.is_terminal or self.console.is_dumb_terminal:
            yield
            return
        left = TextColumn("{task.fields[left]}", markup=False, table_column=Column(no_wrap=True))
        text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        bar = BarColumn(min(20, self.console.width // 8))
        columns = (SpinnerColumn(), TextColumn("{task.description}"), bar, TimeElapsedColumn(), left, text)
        with Progress(*columns, console=self.console, transient=True) as self._progress:
            self._task = self._progress.add_task(f"{name:<8}", total=None, text="", left="")
            try:
                yield
            finally:
                self._progress.update(self._task, visible=False)
        self._progress = None

    def _tick(self, name: str, seconds: float, is_done: bool) -> None:
        sign, style = (self._sign("✓", "+"), "bold green") if is_done else (self._sign("✗", "x"), "bold red")
        lines = [] if is_done and name in SHOWN_WITH_RESULTS else self._lines
        first, *more = lines or [""]
        self._row(sign, style, f"{name:<8} {seconds:7.1f} s ", first)
        for text in more:
            self._row(" ", "", " " * 19, text)

    def _row(self, sign: str, style: str, left: str, text: str, text_style: str = "") -> None:
        """Sign, fixed part, and a text that wraps under itself; where that leaves too little room, under the sign."""
        from rich.text import Text

        start = f"{sign} {left} " if left else f"{sign} "
        indent = " " * cells(start)
        width = None if self._width is None else self._width - cells(start)
        if width is not None and left and width < FEWEST_CELLS:
            start, indent = f"{start.rstrip()}\n  " if left.strip() else "  ", "  "
            width = (self._width or 0) - len(indent)
        text = f"\n{indent}".join(wrapped(visible(text), width))
        row = Text.assemble((start[: len(sign)], style), start[len(sign) :], (text, text_style))
        row.rstrip()
        self.console.print(row, soft_wrap=True)

    def _table(self, rows: Sequence[Mapping[str, str]], numbers: bool = False) -> None:
        """A table with whole words, or where that is too wide, row by row. ``numbers``: all columns but the first are numbers."""
        rows = [{visible(name): visible(value) for name, value in row.items()} for row in rows]
        widths = column_widths(rows, self._width)
        if widths is None:
            for row in rows:
                self._stacked(row)
            return
        self.console.print(_columns(rows, widths, numbers), crop=False, overflow="ignore", no_wrap=True)

    def _stacked(self, row: Mapping[str, str]) -> None:
        """One row of a table: its first value, and below it each other one with its name."""
        (_, first), *others = row.items()
        self._print(first, "bold")
        for name, value in others:
            if value:
                self._row(" ", "", "", f"{name}: {value}")

    def _print(self, text: str, style: str = "") -> None:
        """A text of whole words: one that is longer than a line goes on in the next, as the terminal itself breaks it."""
        from rich.text import Text

        self.console.print(Text("\n".join(wrapped(visible(text), self._width)), style), soft_wrap=True)

    def _sign(self, sign: str, plain: str) -> str:
        return sign if self.console.encoding.lower().startswith("utf") else plain

    def results(self, summary: Summary, pages: Sequence[tuple[str, str]] = ()) -> None:
        """Metrics beside champion and baselines, the comparison with the baselines, the decision, where to look.

        ``pages``: where the two web pages show this run, by their names.
        """
        if summary.evaluation is not None:
            self._metrics(summary.evaluation)
        if summary.decision is not None:
            style = "bold green" if summary.decision.promoted else "bold yellow"
            self._print(summary.decision.reason, style)
        self._print("")
        self.places([*_next(summary), *pages])

    def places(self, rows: Sequence[tuple[str, str]]) -> None:
        """Where to look next: what is there, and its path or address."""
        for name, place in rows:
            self._row(f"{name:<8}", "dim", "", place)

    def _metrics(self, evaluation: Evaluation) -> None:
        for rows, note in (
            (metric_rows(evaluation), DECIDES),
            (class_rows(evaluation), ""),
            (slice_rows(evaluation), ""),
        ):
            if rows:
                self._print("")
                self._table(rows, numbers=True)
                if note:
                    self._print(note, "dim")
        for text in evaluation.gaps:
            self._print(text, "yellow")
        standing, reference = evaluation.earns_its_keep, evaluation.reference
        if standing is not None:
            self._print("")
            self._print(standing.text, "" if standing.verdict else "bold yellow")
        for one in (evaluation.event, evaluation.threshold, reference, evaluation.coverage, evaluation.importance):
            if one is not None:
                self._print(one.text)


def _console(stream: TextIO, width: int | None) -> Console:
    """Rich's console, which is silent once its reader has ended; `interruption.reader_left` reports it."""
    from rich.console import Console

    class Page(Console):
        def on_broken_pipe(self) -> None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            reader_left()

    return Page(file=stream, highlight=False, width=width)


def terminal_of(options: argparse.Namespace) -> Terminal:
    """The terminal of a command: with --json, standard output is only for the JSON."""
    return Terminal(sys.stderr if options.json else sys.stdout)


def _next(summary: Summary) -> list[tuple[str, str]]:
    """The model, the command that opens the report, and the folder of the run."""
    decision, lines = summary.decision, []
    if decision is not None and decision.version is not None:
        alias = "@champion" if decision.promoted else f"/{decision.version}"
        lines.append(("model", f"models:/{decision.name}{alias}"))
    return [*lines, ("report", f"headway report {summary.project}"), ("run", str(summary.run.path))]


def _columns(rows: Sequence[Mapping[str, str]], widths: Mapping[str, int], numbers: bool) -> RenderableType:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for n, (name, width) in enumerate(widths.items()):
        table.add_column(
            Text(name),
            justify="right" if n and numbers else "left",
            style="bold" if n == 1 and numbers else "",
            width=width,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text("\n".join(wrapped(value, widths[name]))) for name, value in row.items()))
    return table
