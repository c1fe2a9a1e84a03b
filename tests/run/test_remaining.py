"""The time left of a stage."""

from __future__ import annotations

import pytest

from headway.run.remaining import FEWEST_MOVES, Remaining, in_words


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_at_a_steady_pace_the_rest_takes_what_the_pace_says() -> None:
    clock = Clock()
    remaining, left = Remaining(clock), None
    for second in range(1, 60):
        clock.now += 1
        left = remaining.after(second / 60)
    assert left == pytest.approx(1.0)


def test_what_was_done_before_and_the_wait_for_the_first_report_do_not_count() -> None:
    clock = Clock()
    clock.now += 500  # starting a process
    remaining, left = Remaining(clock), None
    for second in range(11):
        left = remaining.after(0.5 + second / 100)
        clock.now += 1
    assert left == pytest.approx(40.0), "a hundredth a second, and forty hundredths are left"


def test_a_stage_of_few_parts_says_no_time() -> None:
    clock = Clock()
    remaining = Remaining(clock)
    for share in (0.05, 0.5, 0.8):
        clock.now += 10
        assert remaining.after(share) is None
    assert FEWEST_MOVES > 2


def test_a_share_that_falls_does_not_lengthen_what_is_left_for_ever() -> None:
    clock = Clock()
    remaining, left = Remaining(clock), None
    for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.1):
        clock.now += 1
        left = remaining.after(share)
    assert left is not None
    assert left > 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (7.4, "7 s"), (42, "40 s"), (89, "90 s"), (150, "2 min"), (3000, "50 min"), (9000, "2.5 h")],
)
def test_an_estimate_is_said_as_exactly_as_it_is(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
