"""What people see of commands on a real terminal of 80 and of 40 columns, and through a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.screen import COLOURS, lines_of, written
from tests.support.whole_project import WholeProject

WIDTHS = (40, 80)
WIDE = """
from headway.pipeline.terminal import Terminal
terminal = Terminal()
name = "a_column_" + "x" * 90
terminal.title("loans", "Whether a loan will default. " * 4)
with terminal.stage("train"):
    terminal.progress(0.5, "epoch 1 of at most 2")
    terminal.line("mlp in fp32 on cpu, best after epoch 3 of 6, 308,436 rows/s, at most 782 MB of memory")
    terminal.warn(f"{name} must be a number, but is a word")
terminal.table([{"column": name, "verdict": "drift"}, {"column": "[red]b[/red] :warning:", "verdict": "none"}], "")
"""


COMMANDS = (["list"], ["show", "rows", "--all"], ["status"], ["gc"], ["doctor"])
ALL = f"""
from headway.cli import commands
for words in {COMMANDS!r}:
    print("$", *words, flush=True)
    assert commands.main(words) == 0
"""


WRONG = """
from headway.cli import commands
assert commands.main(["show", "a" * 50]) == 2
assert commands.main(["init", "--data", "flowers.csv", "--target", "opens"]) == 0
"""


@dataclass(frozen=True)
class Screens:
    """What the commands print: through a pipe, and on terminals of so many columns."""

    piped: str
    by_width: dict[int, str]


@pytest.fixture(scope="module")
def screens(project: WholeProject) -> Screens:
    command = [sys.executable, "-c", ALL]
    variables = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    piped = subprocess.run(command, cwd=project.root, env=variables, capture_output=True, text=True, check=True).stdout
    return Screens(piped, {columns: written(command, project.root, columns) for columns in WIDTHS})


def test_runs_are_named_as_the_next_commands_want_them(screens: Screens) -> None:
    assert all(f"rows-{name}" in screens.piped for name in ("finished", "champion", "dead"))


@pytest.mark.parametrize("columns", WIDTHS)
def test_nothing_that_a_next_command_needs_is_cut(screens: Screens, columns: int) -> None:
    lines = lines_of(screens.by_width[columns])
    assert "…" not in "".join(lines)
    piped = screens.piped.splitlines()
    rules = {number for number, line in enumerate(piped) if line and set(line) <= {"─", " "}}
    rows = [line for number, line in enumerate(piped) if not {number, number + 1} & rules]  # headings need no command
    needed = {word.rstrip(":,;") for line in rows for word in line.split()}
    missing = {word for word in needed if not any(word in line for line in lines)}
    assert not missing, "each word of the output without a terminal stands in one line"


@pytest.mark.parametrize("columns", WIDTHS)
def test_lines_are_as_wide_as_the_terminal_unless_one_word_is_wider(screens: Screens, columns: int) -> None:
    wide = [line for line in lines_of(screens.by_width[columns]) if len(line) > columns]
    assert all(max(map(len, line.split())) > columns - 12 for line in wide), "a long word stands alone, behind its name"


def test_a_pipe_has_one_line_for_each_row(screens: Screens) -> None:
    (line,) = [line for line in screens.piped.splitlines() if "rows-champion" in line and "UTC" in line]
    assert "finished" in line
    assert "\x1b" not in screens.piped


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_very_long_name_is_shown_whole_and_as_it_is(tmp_path: Path, columns: int) -> None:
    lines = lines_of(written([sys.executable, "-c", WIDE], tmp_path, columns))
    name = "a_column_" + "x" * 90
    assert sum(name in line for line in lines) >= 2
    assert any("[red]b[/red] :warning:" in line for line in lines)
    others = [line for line in lines if name not in line]
    assert max(map(len, others)) <= columns


@pytest.mark.parametrize("columns", WIDTHS)
def test_errors_and_decisions_are_broken_between_their_words(tmp_path: Path, columns: int) -> None:
    (tmp_path / "conf").mkdir()
    rows = "".join(f"{n % 17},{'yes' if n % 3 else 'no'}\n" for n in range(200))
    (tmp_path / "flowers.csv").write_text(f"height,opens\n{rows}")
    lines = lines_of(written([sys.executable, "-c", WRONG], tmp_path, columns))
    assert any("headway run flowers" in line for line in lines)
    assert any("a" * 50 in line for line in lines)
    assert all(len(line) <= columns or " " not in line for line in lines)


def test_colours_are_there_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    assert COLOURS.search(written([sys.executable, "-c", WIDE], tmp_path, 80))
    assert not COLOURS.search(written([sys.executable, "-c", WIDE], tmp_path, 80, NO_COLOR="1"))
    piped = subprocess.run([sys.executable, "-c", WIDE], capture_output=True, text=True, check=True)
    assert "\x1b" not in piped.stdout
