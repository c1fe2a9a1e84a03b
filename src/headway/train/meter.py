"""What a training costs: rows a second, where a step's time goes, arithmetic, memory, energy, money.

Nothing here waits for the device within a step: on a GPU, a few steps of each epoch are marked with CUDA events that are read when the
epoch is over. What cannot be measured (energy without a counter, utilisation without a known peak) is absent, never estimated.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from headway.machine import gpus
from headway.machine.cores import Watch

RAPL = Path("/sys/class/powercap")


def peak_memory() -> int:
    """Most bytes held so far: of the GPU where one is used, otherwise of this process."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_flops(device: torch.device, precision: str) -> float | None:
    """The chip's dense peak in this format; None where it is not known."""
    return None if device.type != "cuda" else gpus.peak_of(torch.cuda.get_device_name(device), precision)


def read_energy(device: torch.device) -> float | None:
    """Joules that the GPU, or without one the processor packages, have used since they were started; None without a readable counter."""
    if device.type == "cuda":
        with contextlib.suppress(Exception):  # no driver library, no permission, a chip without the counter
            import pynvml

            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(gpus.handle(device.index or 0))) / 1000
        return None
    with contextlib.suppress(OSError, ValueError):
        packages = [p / "energy_uj" for p in RAPL.glob("intel-rapl:*") if p.name.count(":") == 1]
        return sum(int(p.read_text()) for p in packages) / 1e6 if packages else None
    return None


@dataclass
class Meter:
    """Seconds by what they went to, while the clock ran: validation and checkpoints are left out by ``pause``.

    ``wait`` is for batches, ``compute`` the step itself, ``other`` what the loop's caller does in between (journal, progress). On a GPU
    these are the seconds of the launching thread; the marked steps tell what the device itself took.
    """

    device: torch.device
    count: int = 0
    steps: int = 0
    wait: float = 0.0
    compute: float = 0.0
    flops_a_unit: float = 0.0
    """Floating-point operations of a row, or a token, forward and backward, as counted; 0 where they cannot be."""
    usual_flops_a_unit: float = 0.0
    """By the formula that publications use for this kind of network; 0 where there is none."""
    cores: int = 0
    """Those that this process may use; 0 where the system does not say what they do."""
    ours: float = 0.0
    others: float = 0.0
    """Core-seconds of this process and of others while the clock ran."""
    _seconds: float = 0.0
    _since: float | None = None
    marks: list[tuple[Any, Any]] = field(default_factory=list)
    _energy: float | None = None
    _start: float = field(default_factory=time.perf_counter)
    _device_ms: float = 0.0
    _marked: int = 0

    def __post_init__(self) -> None:
        self._energy = read_energy(self.device)
        self._watch = Watch()

    def resume(self) -> None:
        """Start the clock."""
        if self._since is None:
            self._watch.look()
            self._since = time.perf_counter()

    def stop(self) -> bool:
        """As pause; tells whether the clock ran."""
        running = self._since is not None
        self.pause()
        return running

    def pause(self) -> None:
        """Stop the clock, after what the device still has to do."""
        if self._since is None:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._seconds += time.perf_counter() - self._since
        self._since = None
        use = self._watch.look()
        if use is not None:
            self.cores = use.cores
            self.ours += use.ours * use.seconds
            self.others += use.others * use.seconds
        for start, end in self.marks:
            self._device_ms += start.elapsed_time(end)
        self._marked += len(self.marks)
        self.marks.clear()

    @property
    def seconds(self) -> float:
        """Seconds while the clock ran."""
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self._seconds + running

    @property
    def per_second(self) -> float:
        """Rows, or tokens, a second."""
        return self.count / max(self.seconds, 1e-9)

    @property
    def shares(self) -> dict[str, float]:
        """Where a step's time went: shares that sum to 1."""
        total = max(self.seconds, self.wait + self.compute, 1e-9)
        return {
            "wait": self.wait / total,
            "compute": self.compute / total,
            "other": 1 - (self.wait + self.compute) / total,
        }

    def cost(self, precision: str, price_per_hour: float) -> dict[str, float]:
        """All that was measured, by metric name."""
        costs = {f"time/{name}": share for name, share in self.shares.items()}
        costs |= {
            "time/seconds": self.seconds,
            "time/step_ms": 1000 * self.seconds / max(1, self.steps),
            "memory/peak_mb": peak_memory() / 2**20,
        }
        if self.cores and self._seconds:
            costs |= {"cores/ours": self.ours / self._seconds, "cores/others": self.others / self._seconds}
            costs["cores/all"] = float(self.cores)
        if self._marked:
            costs["time/device_ms"] = self._device_ms / self._marked
        peak = peak_flops(self.device, precision)
        for suffix, flops in (("", self.flops_a_unit), ("_palm", self.usual_flops_a_unit)):
            if flops:
                achieved = flops * self.per_second
                costs[f"compute/tflops{suffix}"] = achieved / 1e12
                if peak:
                    costs[f"compute/mfu{suffix}"] = achieved / peak
        joules = read_energy(self.device)
        if joules is not None and self._energy is not None and joules >= self._energy:  # RAPL's counter wraps
            costs["energy/wh"] = (joules - self._energy) / 3600
        if price_per_hour:
            costs["cost/money"] = price_per_hour * (time.perf_counter() - self._start) / 3600
        return costs


def count_flops(network: torch.nn.Module, step: Any) -> float:
    """Floating-point operations of ``step()``, a forward and backward pass, counted by torch; 0 where it cannot.

    Products and attention are counted, elementwise work is not, as in the usual model-FLOPs figure. Random states stay as they were.
    """
    from torch.utils.flop_counter import FlopCounterMode

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices), FlopCounterMode(display=False) as counter:
        try:
            step()
        except Exception:  # an operation that the counter's dispatch mode cannot follow must not cost the training
            return 0.0
        finally:
            network.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())
