"""Keep freed memory in the process between steps.

glibc gives large blocks back to the system as soon as they are free, and the next step pays a page fault for every four kilobytes that it
takes again: a quarter of a CPU step whose activations are megabytes.
"""

from __future__ import annotations

import ctypes
import sys

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
