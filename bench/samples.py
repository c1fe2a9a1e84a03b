"""Samples of a benchmark, kept line by line in `data/bench/NAME.jsonl`: a run that was stopped goes on, and several runs add up.

A sample counts only for the code and the machine that it was taken with.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.files.atomic import digest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "data" / "bench"


@dataclass(frozen=True)
class Options:
    """How long a benchmark may take this time, and whether it begins anew."""

    minutes: float = math.inf
    fresh: bool = False

    def deadline(self) -> float:
        """The moment of `time.monotonic` at which nothing more is begun."""
        return time.monotonic() + 60 * self.minutes


def options(words: Sequence[str] | None = None) -> Options:
    """From the command line: ``--minutes M`` and ``--fresh``."""
    parser = argparse.ArgumentParser(description="Without --minutes it ends when all samples are there.")
    text = "take samples for at most so long; the next run goes on"
    parser.add_argument("--minutes", type=_minutes, default=math.inf, metavar="M", help=text)
    parser.add_argument("--fresh", action="store_true", help="forget the samples of earlier runs")
    return Options(**vars(parser.parse_args(words)))


def _minutes(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"minutes must be more than 0, but is {text}")
    return number


class Samples:
    """Numbers by label. ``origin``: what they were taken with; samples of another origin are left out and counted in ``others``."""

    def __init__(self, name: str, *, fresh: bool = False, folder: Path = FOLDER, origin: str | None = None) -> None:
        self.path = folder / f"{name}.jsonl"
        self.origin = origin_of(name) if origin is None else origin
        self.others = 0
        self._values: dict[str, list[float]] = {}
        if fresh:
            self.path.unlink(missing_ok=True)
        for line in self.path.read_bytes().splitlines() if self.path.exists() else []:
            self._read(line)

    def _read(self, line: bytes) -> None:
        try:
            sample = json.loads(line)
        except ValueError:  # the run was killed while it wrote its last line
            return
        if sample["origin"] == self.origin:
            self._values.setdefault(sample["label"], []).append(float(sample["value"]))
        else:
            self.others += 1

    def of(self, label: str) -> tuple[float, ...]:
        """The samples of a label, oldest first."""
        return tuple(self._values.get(label, ()))

    def add(self, label: str, value: float) -> None:
        """Keep one more, at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"origin": self.origin, "label": label, "value": value})
        cut_off = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("\n" * cut_off + line + "\n")
        self._values.setdefault(label, []).append(float(value))


def origin_of(name: str) -> str:
    """A digest of the machine, the package's code, the projects in `conf/` and the benchmark itself."""
    whole = hashlib.sha256()
    paths = [*(ROOT / "src").rglob("*.py"), *(ROOT / "conf").glob("*.yaml"), ROOT / "bench" / f"{name}.py"]
    for path in sorted(path for path in paths if path.exists()):
        whole.update(f"{path.relative_to(ROOT)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest({"code": whole.hexdigest(), "machine": machine()})[:16]


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    from headway.machine.environment import environment

    here = environment()
    return {
        "cpu": here.cpu,
        "cores": here.cores,
        "memory_gib": round(here.memory_bytes / 2**30),
        "gpus": list(here.gpus),
        "python": here.python,
        "torch": here.packages.get("torch"),
    }
