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
from headway.pipeline.tables import class_rows, metric_rows, slice_rows

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

    from headway.evaluate.result import Evaluation
    from headway.pipeline.runs import Summary

PLAIN_SECONDS = 10.0
"""Without a terminal, progress is a line of its own, at most this often."""

SHOWN_WITH_RESULTS = ("evaluate", "register")
"""The lines of these stages are shown below the table of metrics."""


class Terminal:
    """A Reporter for people. ``stream``: standard output, or with --json standard error."""

    def __init__(self, stream: TextIO | None = None, width: int | None = None) -> None:
        stream = stream or sys.stdout
        if width is None and not stream.isatty() and "COLUMNS" not in os.environ:
            width = 120
        self.console: Console = _console(stream, width)
        self._lines: list[str] = []
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._last_line_time = 0.0
        self._stage = ""

    def title(self, name: str, text: str) -> None:
        """The first line of a run."""
        from rich.text import Text

        self.console.print(Text.assemble((name, "bold"), f"  {text}" if text else ""))

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
        texts = [{name: "" if row.get(name) is None else str(row[name]) for name in names} for row in rows]
        self.console.print(_table(texts, numbers=False))

    def line(self, text: str) -> None:
        """Kept until the stage ends, then shown beside its name; shown at once between stages."""
        if self._stage:
            self._lines.append(text)
        else:
            self._print(text)

    def warn(self, text: str) -> None:
        """Shown at once."""
        from rich.text import Text

        self._row(Text(self._sign("!", "!"), style="bold yellow"), "", Text(text, style="yellow"))

    def progress(self, share: float, text: str) -> None:
        """Moves the bar; without a terminal, prints a line now and then."""
        share = min(max(share, 0.0), 1.0)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=share, total=1.0, text=text)
        elif time.monotonic() - self._last_line_time >= PLAIN_SECONDS:
            self._last_line_time = time.monotonic()
            self._print(f"  {self._stage} {share:4.0%}  {text}")

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Shows ``name`` with a bar, then with a tick or a cross, its seconds and its lines."""
        start, self._last_line_time = time.monotonic(), time.monotonic()
        self._stage, self._lines = name, []
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
        text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn(), text)
        with Progress(*columns, console=self.console, transient=True) as self._progress:
            self._task = self._progress.add_task(f"{name:<8}", total=None, text="")
            try:
                yield
            finally:
                self._progress.update(self._task, visible=False)
        self._progress = None

    def _tick(self, name: str, seconds: float, is_done: bool) -> None:
        from rich.text import Text

        sign = (
            Text(self._sign("✓", "+"), style="bold green") if is_done else Text(self._sign("✗", "x"), style="bold red")
        )
        lines = [] if is_done and name in SHOWN_WITH_RESULTS else self._lines
        first, *more = lines or [""]
        self._row(sign, f"{name:<8} {seconds:7.1f} s ", Text(first))
        for text in more:
            self._row(Text(" "), " " * 19, Text(text))

    def _row(self, sign: RenderableType, left: str, text: RenderableType) -> None:
        """Sign, fixed part, and a text that wraps under itself."""
        from rich.table import Table

        row = Table.grid(padding=(0, 1))
        row.add_column(no_wrap=True)
        if left:
            row.add_column(no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(*(part for part in (sign, left, text) if part != ""))
        self.console.print(row)

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=not self.console.is_terminal)

    def _sign(self, sign: str, plain: str) -> str:
        return sign if self.console.encoding.lower().startswith("utf") else plain

    def results(self, summary: Summary) -> None:
        """Metrics beside champion and baselines, the comparison with the baselines, the decision, where to look."""
        from rich.text import Text

        if summary.evaluation is not None:
            self._metrics(summary.evaluation)
        if summary.decision is not None:
            style = "bold green" if summary.decision.promoted else "bold yellow"
            self.console.print(Text(summary.decision.reason, style=style))
        self._print("")
        for left, right in _next(summary):
            self._row(Text(f"{left:<9}", style="dim"), "", Text(right))

    def _metrics(self, evaluation: Evaluation) -> None:
        from rich.text import Text

        for rows in (metric_rows(evaluation), class_rows(evaluation), slice_rows(evaluation)):
            if rows:
                self.console.print()
                self.console.print(_table(rows))
        for text in evaluation.gaps:
            self.console.print(Text(text, style="yellow"))
        standing, reference = evaluation.earns_its_keep, evaluation.reference
        if standing is not None:
            self.console.print()
            self.console.print(Text(standing.text, style="" if standing.verdict else "bold yellow"))
        for one in (evaluation.event, evaluation.threshold, reference, evaluation.coverage, evaluation.importance):
            if one is not None:
                self.console.print(Text(one.text))


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
    return Terminal(sys.stderr if getattr(options, "json", False) else sys.stdout)


def _next(summary: Summary) -> list[tuple[str, str]]:
    """Where to look next."""
    decision, lines = summary.decision, []
    if decision is not None and decision.version is not None:
        lines.append(
            ("model", f"models:/{decision.name}{'@champion' if decision.promoted else f'/{decision.version}'}")
        )
    lines.append(("report", f"headway report {summary.project}"))
    lines.append(("files", str(summary.run.path)))
    lines.append(("look", f"headway show {summary.project}, or headway up for the two web pages"))
    return lines


def _table(rows: list[dict[str, str]], numbers: bool = True) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for n, name in enumerate(rows[0]):
        table.add_column(
            name,
            justify="right" if n and numbers else "left",
            style="bold" if n == 1 and numbers else "",
            no_wrap=bool(n) and numbers,
        )
    for row in rows:
        table.add_row(*row.values())
    return table
