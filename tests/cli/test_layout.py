"""Texts and tables on terminals of any width: words stay whole."""

from __future__ import annotations

import itertools
import random

import pytest
from rich.cells import cell_len

from headway.pipeline.layout import GAP, column_widths, visible, wrapped

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
