"""What the engine does on one NVIDIA GPU, beside loops by hand: `make bench-gpu`. Within 240 seconds by a clock of its own.

Needs torch, numpy, pandas, pyarrow, pydantic and PyYAML alone, no network; what needs torchao or safetensors is left out where these are
missing. Each figure is printed as soon as it is there, what there was no time for is said, and bench/results/gpu-*.json is written
after each part. A ratio is our time over the anchor's, measured in turns; a goal is an upper limit. `--tiny` rehearses it on a CPU with
networks of a few weights; those figures mean nothing and are not kept.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bench.side_by_side import Ratio, write
from headway.errors import HeadwayError

SECONDS = 240.0
RESERVE = 4.0
"""Seconds before the end at which whatever still computes is cut off."""


@dataclass
class Report:
    """What was measured so far, printed as it comes."""

    device: torch.device
    seconds: float = SECONDS
    keep: bool = True
    """Whether figures are written to bench/results."""
    start: float = field(default_factory=time.monotonic)
    ratios: dict[str, Ratio] = field(default_factory=dict)
    part: str = ""

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self.seconds - RESERVE - (time.monotonic() - self.start)

    def line(self, text: str) -> None:
        """Print one line with the time since the start."""
        print(f"[{time.monotonic() - self.start:5.1f} s] {self.part}: {text}", flush=True)

    def ratio(self, label: str, ratio: Ratio) -> None:
        """Print and keep a ratio."""
        self.ratios[label] = ratio
        self.line(f"{label}: {ratio}")

    def share(self, label: str, value: float, at_least: float | None = None) -> None:
        """Print and keep a share that should be large; kept with a goal, it is the goal over the share, so that at most 1 meets it."""
        if at_least is None:
            self.ratio(label, Ratio(value, value, value))
        else:
            self.line(f"{label}: {value:.3f}")
            over = at_least / max(value, 1e-9)
            self.ratio(f"{label}, goal {at_least:g} over it", Ratio(over, over, over, 1.0))

    def most(self, label: str, value: float, goal: float | None = None) -> None:
        """Print and keep a figure that should be small."""
        self.ratio(label, Ratio(value, value, value, goal))

    def allows(self, what: str, seconds: float) -> bool:
        """Whether there is time for what takes about so long; says so where there is not."""
        if self.left < seconds:
            self.line(f"{what}: no time left, it takes about {seconds:.0f} s and {max(0.0, self.left):.0f} s are left")
        return self.left >= seconds

    def finish(self) -> None:
        """Keep what this part measured."""
        ratios, self.ratios = dict(self.ratios), {}  # a copy: the clock's thread may write while a part goes on
        if ratios and self.keep and self.device.type == "cuda":
            print(write(f"gpu-{self.part}", ratios), flush=True)


Part = tuple[str, Callable[[Report], None]]


def run(report: Report, parts: list[Part]) -> int:
    """All parts in order; one that fails is said, and the next goes on. Returns how many failed."""
    failed = 0
    for name, part in parts:
        report.part = name
        if not report.allows("all of it", 1.0):
            continue
        try:
            part(report)
        except HeadwayError as error:
            report.line(f"left out: {error}")
        except Exception as error:
            failed += 1
            report.line(f"FAILED: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}")
        report.finish()
        gc.collect()  # the frames of what failed hold tensors
        if report.device.type == "cuda":
            torch.cuda.empty_cache()
    return failed


def cut_off(report: Report, end: Callable[[int], object] = os._exit) -> threading.Event:
    """Start a thread that ends the process in time, whatever hangs: a compiler cannot be asked to stop. It ends when the event is set."""
    stop = threading.Event()

    def watch() -> None:
        while report.left > 0:
            if stop.wait(min(0.2, max(0.01, report.left))):
                return
        try:
            report.line(f"cut off after {report.seconds:.0f} s; what comes later was not measured")
            report.finish()
        finally:
            end(3)

    threading.Thread(target=watch, name="clock", daemon=True).start()
    return stop


def age() -> float:
    """Seconds since this process was started: loading torch counts, too. 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    return 0.0


def main(words: list[str] | None = None, start: float | None = None) -> int:
    """Measure; 2 where there is no GPU, 1 where a part failed. ``start``: the moment of `time.monotonic` from which the time counts."""
    from bench import gpu_parts

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="rehearse on a CPU")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long all of it may take")
    parser.add_argument("--only", default="", help=f"parts, by commas: {', '.join(gpu_parts.NAMES)}")
    settings = parser.parse_args(words)
    if not settings.tiny and not torch.cuda.is_available():
        print("make bench-gpu needs an NVIDIA GPU that torch can use, but there is none; --tiny rehearses it on a CPU")
        return 2
    only = [name for name in settings.only.split(",") if name]
    unknown = sorted(set(only) - set(gpu_parts.NAMES))
    if unknown:
        print(f"--only must name parts ({', '.join(gpu_parts.NAMES)}), but names {', '.join(unknown)}")
        return 2
    device = torch.device("cpu" if settings.tiny else "cuda")
    report = Report(
        device, settings.seconds, keep=not settings.tiny, start=time.monotonic() if start is None else start
    )
    stop = cut_off(report)
    parts = [part for part in gpu_parts.parts(settings.tiny) if not only or part[0] in only]
    failed = run(report, parts)
    stop.set()
    report.part = "all"
    report.line("done" if not failed else f"{failed} parts failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(start=time.monotonic() - age()))
