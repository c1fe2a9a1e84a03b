"""The rate of a scoring: what starts before it does not count."""

from __future__ import annotations

import pytest

from headway.serve import pace as module
from headway.serve.pace import Pace


class Clock:
    now = 50.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_processes_that_start_are_waited_for_outside_of_the_rate(clock: Clock) -> None:
    pace = Pace()
    clock.now += 100  # they start
    pace.add(2048)
    for _ in range(10):
        clock.now += 1
        pace.add(1000)
    assert pace.rows_per_second == pytest.approx(1000)


def test_where_the_model_is_loaded_already_all_rows_count(clock: Clock) -> None:
    pace = Pace()
    pace.begin()
    clock.now += 2
    pace.add(500)
    pace.begin()  # the next file
    clock.now += 2
    pace.add(500)
    assert pace.rows_per_second == pytest.approx(250)


def test_nothing_predicted_has_no_rate(clock: Clock) -> None:
    pace = Pace()
    assert pace.rows_per_second is None
    pace.add(10)
    assert pace.rows_per_second is None, "the only batch waited for the start"
