"""Memory: whether it ran out, who holds it, and how freed memory is kept in the process between steps.

glibc gives large blocks back to the system as soon as they are free, and the next step pays a page fault for every four kilobytes that it
takes again: a quarter of a CPU step whose activations are megabytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""The most that glibc takes."""

KEEP = 2**31 - 1
GROW = 64 * 2**20


def keep_memory() -> bool:
    """Ask the C library to keep freed memory. Returns whether it could be asked (glibc only).

    There is no way back: what glibc does by itself adapts to the program, and naming the same numbers would stop that.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has none
        return False
    settings = {M_TRIM_THRESHOLD: KEEP, M_TOP_PAD: GROW, M_MMAP_THRESHOLD: LARGEST_MMAP_THRESHOLD}
    return all(mallopt(name, value) for name, value in settings.items())


RAN_OUT = re.compile(
    "out of memory|can't allocate memory|not enough memory|_ALLOC_FAILED|_STATUS_NOT_INITIALIZED.*cublasCreate"
)
"""What torch says of it: its allocators, CUDA itself, and CUDA's libraries, which allocate by themselves."""

WORTH_SAYING = 2**30
"""Bytes of a GPU that others must hold to be named: this process's own context counts among them, with a few hundred megabytes."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it was raised because memory ran out; on a CPU, torch's is a RuntimeError like any other."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(RAN_OUT.search(str(error))))


def held_by_others(device: torch.device | None = None) -> str:
    """What other processes hold of a GPU, in words; empty for a CPU, and where it is little."""
    import torch

    if not torch.cuda.is_initialized() or (device is not None and device.type != "cuda"):
        return ""
    with contextlib.suppress(RuntimeError):  # a context that is lost answers nothing
        free, total = torch.cuda.mem_get_info(device)
        others = total - free - torch.cuda.memory_reserved(device)
        if others >= WORTH_SAYING:
            return f"other processes hold {others / 2**30:.1f} of the GPU's {total / 2**30:.1f} GiB"
    return ""
