"""What else the machine did, against counters written by hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from headway.effect import contention
from headway.effect.contention import Contention, Counters, over
from headway.effect.lab import Session
from headway.effect.notebook import Notebook

TICKS = os.sysconf("SC_CLK_TCK")


def stat(*cores: tuple[int, int, int, int]) -> str:
    """/proc/stat with seconds of user, idle, steal and guest for each core; a line of totals goes before and others come after."""
    lines = ["cpu  9 9 9 9 9 9 9 9 9 9"]
    for number, (user, idle, steal, guest) in enumerate(cores):
        seconds = (user, 0, 1, idle, 2, 0, 1, steal, guest, 0)
        lines.append(f"cpu{number} {' '.join(str(value * TICKS) for value in seconds)}")
    return "\n".join([*lines, "intr 3 1 2", "ctxt 9"])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two cores of four are ours; ten seconds pass between two readings."""
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(contention, "STAT", tmp_path / "stat")
    monkeypatch.setattr(contention, "cores", lambda: [0, 1])
    monkeypatch.setattr(contention, "load", lambda: 3.0)
    monkeypatch.setattr(contention.time, "perf_counter", lambda: float(next(clock)))
    return tmp_path / "stat"


def test_what_others_used_is_what_all_used_less_our_own(machine: Path) -> None:
    machine.write_text(stat((100, 50, 0, 0), (10, 50, 5, 7), (0, 0, 0, 0), (0, 0, 0, 0)))
    before = Counters.read()
    machine.write_text(stat((110, 50, 0, 0), (15, 53, 7, 9), (500, 0, 90, 0), (0, 0, 0, 0)))
    sample = before.until_now(own=9.0, granted=0.8)
    assert sample.others == pytest.approx((10 + 5 - 9) / 10), "guests are in the user's seconds already"
    assert sample.stolen == pytest.approx(2 / (10 * 2))
    assert (sample.cores, sample.load, sample.granted) == (2, 3.0, 0.8)


def test_a_system_without_counters_has_no_figures(machine: Path) -> None:
    sample = Counters.read().until_now(own=1.0, granted=None)
    assert (sample.others, sample.stolen, sample.granted) == (None, None, None)
    machine.write_text("cpu0 what")
    assert Counters.read().busy is None


@pytest.mark.parametrize(
    ("figures", "state"),
    [
        ({"load": 1.1, "granted": 0.99, "others": 0.05, "stolen": 0.01}, "quiet"),
        ({"load": 1.9, "granted": 0.99, "others": 0.3, "stolen": 0.0}, "disturbed"),
        ({"load": 1.9, "granted": 0.9, "others": 0.0, "stolen": 0.0}, "disturbed"),
        ({"load": 1.9, "granted": 0.99, "others": 0.0, "stolen": 0.3}, "unusable"),
        ({"load": 1.9, "granted": 0.6, "others": 0.0, "stolen": 0.0}, "unusable"),
        ({"load": 1.9, "granted": 0.99, "others": 0.9, "stolen": 0.0}, "unusable"),
        ({"load": 25.0}, "unusable"),
        ({}, "quiet"),
    ],
)
def test_each_figure_alone_can_say_that_the_machine_was_busy(figures: dict[str, Any], state: str) -> None:
    assert Contention(2, **figures).state == state


def test_the_figures_are_said_in_words() -> None:
    busy = Contention(2, load=25.2, granted=0.31, others=1.62, stolen=0.0)
    assert str(busy) == "load 25 on 2 cores; other programs used 1.6 of 2 cores; a computing process had 31% of a core"
    assert str(Contention(1, load=0.9, granted=1.0, others=0.0, stolen=0.2)) == (
        "load 1 on 1 core; the hypervisor took 20% of the time"
    )


def test_the_load_is_of_the_whole_machine_of_which_a_study_may_have_a_part() -> None:
    part = Contention(1, load=3.0, machine=2)
    assert (part.state, str(part)) == ("quiet", "load 3 on 2 cores")
    assert Contention(1, load=4.0, machine=2).state == "unusable"


def test_over_a_study_each_figure_is_its_mean() -> None:
    samples = [Contention(2, 1.0, 1.0, None, 0.0), Contention(2, 25.0, 0.5, 0.4, 0.2)]
    assert over(samples) == Contention(2, 13.0, 0.75, 0.4, 0.1)
    assert over([]) is None


def test_the_notebook_keeps_it_and_reads_lines_without_it(tmp_path: Path) -> None:
    import numpy as np

    sample = Contention(2, 1.0, 0.9, 0.1, None)
    book = Notebook(tmp_path / "effect.jsonl")
    for one in (sample, None):
        book.add_session("technique/bf16", Session(np.ones((4, 4)), (1.0, 1.0), (1.0, 1.0), None, 1.0, one))
    old = book.path.read_text().replace(',"contention":null', "")
    book.path.write_text(old)
    assert [s.contention for s in Notebook(book.path).sessions("technique/bf16")] == [sample, None]
