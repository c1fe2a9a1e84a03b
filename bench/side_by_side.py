"""Two things measured in turns, A B B A then B A A B, and the ratio of their times with an interval.

Times differ from machine to machine and drift within a run; the ratio of neighbours does not, so only ratios are kept.
Within A B B A a linear drift of the machine's speed cancels; each such block gives one ratio.

What holds for every benchmark:

- Both sides compute with the same number of threads, the number that suits the anchor best, and in the same number format.
- What ours does once (recording, compiling) is inside the clock wherever the anchor's start is.
- The anchor is also measured against itself. Where that interval excludes 1, the benchmark is void and says so.
- What other processes took of the machine meanwhile is kept beside the ratios, and said where it is more than a tenth.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.samples import Options, Samples, machine
from headway.files.atomic import write_json

RESULTS = Path(__file__).parent / "results"

Work = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """Seconds of ours over seconds of the anchor, below 1 where ours is faster, with its 95 % interval.

    ``goal`` is what the ratio must be at most; it is met when the whole interval is. ``samples``: how many are behind it, 0 for a count.
    """

    ratio: float
    low: float
    high: float
    goal: float | None = None
    samples: int = 0

    @property
    def met(self) -> bool | None:
        """Whether the goal is met beyond the noise; None without one."""
        return None if self.goal is None else self.high <= self.goal

    @property
    def excludes_1(self) -> bool:
        """Whether the two sides differ beyond the noise: in an A/A, the sign that something disturbed it."""
        return not self.low <= 1 <= self.high

    def __str__(self) -> str:
        goal = "" if self.goal is None else f", goal {self.goal:.3g}: {'met' if self.met else 'missed'}"
        return f"{self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}]{goal}"


@dataclass(frozen=True)
class Comparison:
    """What is measured in turns. A work may return its own seconds as a float, which leaves its set-up out.

    ``itself``: this is the anchor against itself, for all comparisons whose label begins with this text; None for the others.
    """

    label: str
    ours: Work
    anchor: Work
    pairs: int
    goal: float | None = None
    itself: str | None = None


def against_itself(anchor: Work, pairs: int, case: str = "") -> Comparison:
    """The A/A of every comparison whose label begins with ``case``."""
    return Comparison(f"{case}: A/A" if case else "A/A", anchor, anchor, pairs, itself=case)


def compare(
    ours: Work,
    anchor: Work,
    pairs: int,
    goal: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Ratio:
    """Run both ``2 * pairs`` times in turns after one unmeasured run each."""
    if pairs < 1:
        raise ValueError(f"pairs must be at least 1, but is {pairs}")
    ours(), anchor()
    return summarise([block(ours, anchor, number, clock) for number in range(pairs)], goal)


def block(ours: Work, anchor: Work, number: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """The logarithm of one ratio, from A B B A or, in every second block, from B A A B."""
    outer, inner = (ours, anchor) if number % 2 == 0 else (anchor, ours)
    a, b, c, d = (_seconds(work, clock) for work in (outer, inner, inner, outer))
    log = 0.5 * float(np.log((a * d) / (b * c)))
    return log if number % 2 == 0 else -log


def _seconds(work: Work, clock: Callable[[], float]) -> float:
    start = clock()
    own = work()
    return own if isinstance(own, float) else clock() - start


def summarise(logs: Sequence[float] | np.ndarray, goal: float | None = None) -> Ratio:
    """Geometric mean of ratios from their logarithms (P,), with Student's 95 % interval.

    The percentile bootstrap of six blocks holds the truth in 88 of 100 runs; Student's interval in 95. One sample has no interval.
    """
    from scipy import stats

    values = np.asarray(logs, np.float64)
    mean, half = float(values.mean()), 0.0
    if len(values) > 1:
        half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    middle, low, high = (float(np.exp(value)) for value in (mean, mean - half, mean + half))
    return Ratio(middle, low, high, goal, len(values))


def best_threads(anchor: Work, repeats: int = 2) -> int:
    """The number of torch's threads with which the anchor is fastest: of one and one a core. Leaves torch's number as it was."""
    import torch

    from headway.train.tune import physical_cores

    before, times = torch.get_num_threads(), dict[int, float]()
    for count in {1, physical_cores()}:
        torch.set_num_threads(count)
        anchor()
        times[count] = min(_seconds(anchor, time.perf_counter) for _ in range(repeats))
    torch.set_num_threads(before)
    return min(times, key=lambda count: times[count])


def kept_threads(samples: Samples, case: str, anchor: Work) -> int:
    """The anchor's best number of threads, measured in the first run of a benchmark and the same in those that go on."""
    label = f"{case}: threads"
    if not samples.of(label):
        samples.add(label, best_threads(anchor))
    return int(samples.of(label)[0])


def with_threads(count: int, work: Work) -> Work:
    """The work with so many of torch's threads."""
    import torch

    def threaded() -> object:
        torch.set_num_threads(count)
        return work()

    return threaded


OTHERS = "others"
"""The label of the shares that other processes took, one a run."""

BUSY = 0.1
"""The share of the machine that other processes may take before a result says so."""


class Machine:
    """What the whole machine and this process with its children have used, in CPU seconds, since it was made."""

    def __init__(self) -> None:
        self._before = self._seconds()

    def _seconds(self) -> tuple[float, float, float]:
        import psutil

        times, own = psutil.cpu_times(), psutil.Process()
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
        ours = sum(own.cpu_times()[:4])
        for child in own.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                ours += sum(child.cpu_times()[:2])
        return time.monotonic(), busy, ours

    def others(self) -> float:
        """The share of all cores that other processes took."""
        seconds, busy, ours = (now - before for now, before in zip(self._seconds(), self._before, strict=True))
        return max(0.0, busy - ours) / (max(1e-9, seconds) * (os.cpu_count() or 1))


def measure(samples: Samples, comparisons: Sequence[Comparison], options: Options) -> bool:
    """Take one block of each comparison in turns until each has its pairs or the time is over. Returns whether all are there."""
    deadline, warm, watched = options.deadline(), set[str](), Machine()
    try:
        return _measure(samples, comparisons, deadline, warm)
    finally:
        samples.add(OTHERS, watched.others())


def _measure(samples: Samples, comparisons: Sequence[Comparison], deadline: float, warm: set[str]) -> bool:
    while open_ones := [one for one in comparisons if len(samples.of(one.label)) < one.pairs]:
        for one in open_ones:
            if time.monotonic() >= deadline:
                return False
            if one.label not in warm:
                one.ours(), one.anchor()
                warm.add(one.label)
            samples.add(one.label, block(one.ours, one.anchor, len(samples.of(one.label))))
    return True


def conclude(name: str, samples: Samples, comparisons: Sequence[Comparison]) -> None:
    """Say and keep the ratios of all comparisons that have two samples or more."""
    if samples.others:
        print(f"{samples.others} samples of other code or another machine are left out: {samples.path}")
    ratios, itself = dict[str, Ratio](), dict[str, Ratio]()
    for one in comparisons:
        logs = samples.of(one.label)
        if len(logs) < one.pairs:
            print(f"{one.label}: {len(logs)} of {one.pairs} samples; run it again to go on")
        if len(logs) < 2:
            continue
        ratio = summarise(logs, one.goal)
        ratios[one.label] = ratio
        if one.itself is not None:
            itself[one.itself] = ratio
    tell(name, ratios, itself, max(samples.of(OTHERS), default=None))


def tell(
    name: str,
    ratios: Mapping[str, Ratio],
    itself: Mapping[str, Ratio] | None = None,
    others: float | None = None,
) -> None:
    """Print the ratios and write them.

    ``itself``: an A/A by the beginning of the labels that it vouches for. ``others``: the share of the machine that other processes took.
    """
    itself = itself or {}
    for label, ratio in ratios.items():
        print(f"{label}: {ratio}")
    for case in void_cases(itself):
        print(
            f"VOID: {case or name}: the anchor against itself is {itself[case]}, which excludes 1: something else disturbed it. "
            "Measure again on a quiet machine with --fresh."
        )
    if others is not None and others > BUSY:
        print(
            f"BUSY: other processes took {others:.0%} of the machine meanwhile. Measure again on a quiet one with --fresh."
        )
    print(write(name, ratios, itself=itself, others=others))


def void_cases(itself: Mapping[str, Ratio]) -> list[str]:
    """The cases whose A/A excludes 1."""
    return [case for case, ratio in itself.items() if ratio.excludes_1]


def write(
    name: str,
    ratios: Mapping[str, Ratio],
    folder: Path | None = None,
    itself: Mapping[str, Ratio] | None = None,
    others: float | None = None,
) -> Path:
    """Keep ratios as `bench/results/NAME.json`, with what is needed to judge them and no name of a host.

    A ratio whose A/A excludes 1 is marked ``void``, and its goal is neither met nor missed.
    """
    cases = void_cases(itself or {})
    rows = {label: _row_of(label, ratio, cases) for label, ratio in ratios.items()}
    path = (folder or RESULTS) / f"{name}.json"
    write_json(path, {"name": name, "machine": machine(), "others": others, "ratios": rows})
    return path


def _row_of(label: str, ratio: Ratio, void: Iterable[str]) -> dict[str, float | bool | None]:
    is_void = any(label.startswith(case) for case in void)
    return {
        "ratio": ratio.ratio,
        "low": ratio.low,
        "high": ratio.high,
        "goal": ratio.goal,
        "met": None if is_void else ratio.met,
        "samples": ratio.samples,
        "void": is_void,
    }
