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
DEFAULTS = {M_TRIM_THRESHOLD: 128 * 2**10, M_TOP_PAD: 128 * 2**10, M_MMAP_THRESHOLD: 128 * 2**10}


def keep_memory(keep: bool = True) -> bool:
    """Ask the C library to keep freed memory, or to do again as it does by itself. Returns whether it could be asked (glibc only)."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has none
        return False
    wanted = {M_TRIM_THRESHOLD: KEEP, M_TOP_PAD: GROW, M_MMAP_THRESHOLD: LARGEST_MMAP_THRESHOLD} if keep else DEFAULTS
    return all(mallopt(name, value) for name, value in wanted.items())
