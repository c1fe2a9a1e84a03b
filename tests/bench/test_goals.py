"""The table of goals says what the committed results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.goals import BENCHMARKS, PAGE, table, with_table
from bench.side_by_side import Ratio, write


def goals_of(folder: Path) -> list[str]:
    """The rows of the benchmarks that have a result."""
    return [row for row in table(folder).splitlines()[2:] if "not measured" not in row]


def test_a_benchmark_without_a_result_says_so(tmp_path: Path) -> None:
    write("loop", {"fast": Ratio(0.2, 0.15, 0.25, goal=0.3)}, tmp_path)
    rows = table(tmp_path).splitlines()[2:]
    assert "| seeds | | not measured by these rules yet | **open** |" in rows
    assert sum("not measured" in row for row in rows) == len(BENCHMARKS) - 1


def test_the_page_lists_every_goal_as_the_results_have_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page, table()) == page, "bring it up to date: python -m bench.goals"


def test_goals_missed_and_void_stand_beside_those_met(tmp_path: Path) -> None:
    ratios = {
        "fast": Ratio(0.2, 0.15, 0.25, goal=0.3),
        "slow": Ratio(0.42, 0.38, 0.46, goal=0.3),
        "odd: ours": Ratio(0.2, 0.1, 0.25, goal=0.3),
        "no goal": Ratio(0.5, 0.4, 0.6),
    }
    write("loop", ratios, tmp_path, {"odd": Ratio(0.9, 0.8, 0.95)})
    assert goals_of(tmp_path) == [
        "| [loop](../bench/results/loop.json): fast | 0.3 | 0.2 [0.15, 0.25] | met |",
        "| [loop](../bench/results/loop.json): slow | 0.3 | 0.42 [0.38, 0.46] | **missed** |",
        "| [loop](../bench/results/loop.json): odd: ours | 0.3 | 0.2 [0.1, 0.25] | **void**: the anchor differs from itself |",
    ]


def test_counts_of_nothing_share_a_row_and_any_other_count_has_its_own(tmp_path: Path) -> None:
    write(
        "crowd",
        {name: Ratio(n, n, n, goal=0.0) for name, n in {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.5}.items()},
        tmp_path,
    )
    assert goals_of(tmp_path) == [
        "| [crowd](../bench/results/crowd.json): 3 counts of what may go wrong | 0 | 0 | met |",
        "| [crowd](../bench/results/crowd.json): d | 0 | 0.5 | **missed** |",
    ]


def test_what_was_measured_on_a_busy_machine_says_so(tmp_path: Path) -> None:
    for name, others in {"quiet": 0.02, "shared": 0.6}.items():
        write(name, {"fast": Ratio(0.2, 0.15, 0.25, goal=0.3)}, tmp_path, others=others)
    verdicts = [row.split(" | ")[-1] for row in goals_of(tmp_path)]
    assert verdicts == ["met |", "met, on a busy machine |"]


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"benchmarks\.md must hold the lines"):
        with_table("# Headway\n", "")
