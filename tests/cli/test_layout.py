"""Texts and tables on terminals of any width: words stay whole."""

from __future__ import annotations

import argparse
import ast
import io
import itertools
import random
import re
from collections.abc import Iterator, Sequence
from functools import cache

import pytest
from rich.cells import cell_len

from headway.cli.arguments import parser
from headway.cli.commands import COMMANDS
from headway.pipeline.layout import GAP, column_widths, units, visible, wrapped
from headway.pipeline.terminal import Terminal
from tests.support.pages import ROOT

WORDS = (
    "a",
    "of",
    "rows",
    "loans-20300101-020000Z",
    "http://127.0.0.1:4200/runs/flow-run/0b0e2f2c",
    "列名",
    "AUC",
    "=",
)


NAME = "loans-20300101-020000Z"


def sentences() -> Iterator[str]:
    """Every line of a text of the program that holds a command, with a name in place of each value.

    Without docstrings, which are not printed, and the examples of the help, which stand as they are.
    """
    paths = [path for folder in ("src", "flows") for path in (ROOT / folder).rglob("*.py")]
    for path in paths:
        source = path.read_text(encoding="utf-8")
        nodes = list(ast.walk(ast.parse(source))) if "headway " in source and path.name != "examples.py" else []
        others = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        others |= {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            if id(node) not in others and isinstance(node, ast.JoinedStr | ast.Constant):
                yield from (line for line in text_of(node).splitlines() if commands_of(line))


def text_of(node: ast.JoinedStr | ast.Constant) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else NAME for part in node.values)


def commands_of(text: str) -> list[str]:
    """The commands in a text: the least that the command line accepts after `headway`, with all options that follow."""
    commands = []
    for start in re.finditer(r"(?<![\w/.-])headway (?=[a-z])", text):
        words = re.split(r"[;:,.)`](?:\s|$)", text[start.end() :])[0].strip("`").split()
        lengths = [n for n in range(1, len(words) + 1) if is_accepted(words[:n])]
        for n in lengths[1:]:
            is_value = words[n - 2].startswith("--") and n - 1 not in lengths
            if words[n - 1].startswith("--") or is_value:
                lengths[0] = n
        commands += [" ".join(["headway", *words[:n]]) for n in lengths[:1]]
    return commands


@cache
def command_line() -> argparse.ArgumentParser:
    return parser(COMMANDS)


def is_accepted(words: Sequence[str]) -> bool:
    try:
        command_line().parse_args(words)
    except SystemExit:
        return False
    return True


def some_text(random_state: random.Random, most: int = 12) -> str:
    return " ".join(random_state.choices(WORDS, k=random_state.randint(1, most)))


@pytest.mark.parametrize("width", [1, 7, 20, 40, 80])
def test_a_wrapped_text_keeps_its_words_and_fits_where_one_word_does(width: int) -> None:
    draws = random.Random(width)
    for _ in range(200):
        text = some_text(draws)
        lines = wrapped(text, width)
        assert " ".join(lines).split() == text.split()
        assert all(cell_len(line) <= width or len(line.split()) == 1 for line in lines)
        assert all(cell_len(f"{line} {later.split()[0]}") > width for line, later in itertools.pairwise(lines)), (
            "a line is broken although the next word has room"
        )


SENTENCES = sorted(set(sentences()))


def test_the_texts_that_hold_a_command_are_these() -> None:
    assert len(SENTENCES) > 60
    assert any("headway resume" in text for text in SENTENCES)


@pytest.mark.parametrize("text", SENTENCES)
def test_no_command_of_a_printed_text_is_ever_broken(text: str) -> None:
    commands = commands_of(text)
    assert commands
    for width in range(12, 100, 4):
        lines = wrapped(text, width)
        assert " ".join(lines).split() == text.split()
        missing = [command for command in commands if not any(command in line for line in lines)]
        assert not missing, f"at {width} columns"


def test_a_command_in_a_table_is_not_broken() -> None:
    row = {"what": "loans ended after epoch 3; headway resume loans-20300101-020000Z", "why": "its process was killed"}
    for width in range(30, 90):
        widths = column_widths([row], width)
        assert (widths is None) == (width < len("headway resume loans-20300101-020000Z") + GAP + len("process"))
        terminal = Terminal(io.StringIO(), width)
        terminal.table([row], "")
        assert isinstance(terminal.console.file, io.StringIO)
        assert "headway resume loans-20300101-020000Z" in terminal.console.file.getvalue()


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (
            'promoted; headway rollback loans --reason "complaints since Monday" --to 3; see above',
            'headway rollback loans --reason "complaints since Monday" --to 3;',
        ),
        ("no package; pip install torchao", "pip install torchao"),
        ("(or headway run --resume)", "headway run --resume)"),
    ],
)
def test_quoted_values_and_options_belong_to_a_command(text: str, command: str) -> None:
    assert any(command in unit for unit in units(text))


def test_without_a_width_each_line_stays_one_line() -> None:
    assert wrapped("a " * 500 + "\nb", None) == ["a " * 500, "b"]
    assert wrapped("run         x  done", 80) == ["run         x  done"], "spaces within a line that fits stay"


def test_columns_fit_the_width_with_whole_words_or_there_are_none() -> None:
    draws = random.Random(0)
    outcomes = set()
    for _ in range(300):
        names = draws.sample(("run", "last decision", "95 % interval", "path"), k=draws.randint(1, 4))
        rows = [{name: some_text(draws, 4) for name in names} for _ in range(3)]
        width = draws.choice((40, 80, 120))
        widths = column_widths(rows, width)
        longest = {
            name: max(cell_len(w) for t in (name, *(r[name] for r in rows)) for w in t.split()) for name in names
        }
        needed = sum(longest.values()) + GAP * (len(names) - 1)
        assert (widths is None) == (needed > width)
        outcomes.add(widths is None)
        if widths is not None:
            assert sum(widths.values()) + GAP * (len(names) - 1) <= width
            assert all(widths[name] >= longest[name] for name in names)
    assert outcomes == {True, False}


def test_a_table_with_room_is_as_wide_as_its_texts() -> None:
    rows = [{"run": "one two", "why": "three"}]
    assert column_widths(rows, 80) == column_widths(rows, None) == {"run": 7, "why": 5}


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert visible("a\x1b[31mb\x07\x9bc\td") == "a�[31mb��c\td"
