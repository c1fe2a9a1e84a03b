"""The GPUs that this process may use, each by the one name that every process of the machine knows it by: its UUID.

CUDA numbers what a process may see: number 0 of two processes may be two GPUs, and one GPU may have two numbers. A lock must be on the GPU.
"""

from __future__ import annotations

import os
from typing import Any


def installed() -> list[str]:
    """The UUIDs of the machine's GPUs, numbered as nvidia-smi does; empty where there is no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver, no permission: each means that there is no GPU to use
        return []
    try:
        count = pynvml.nvmlDeviceGetCount()
        return [str(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(i))) for i in range(count)]
    finally:
        pynvml.nvmlShutdown()


def visible() -> list[str]:
    """Those that CUDA_VISIBLE_DEVICES leaves, in its order. A number there is nvidia-smi's.

    As for CUDA, what comes after a wrong one is left out. A part of a GPU (MIG) has a name of its own, and is one.
    """
    known = installed()
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None or not known:
        return known
    chosen: list[str] = []
    for text in setting.split(","):
        name = _named(text.strip(), known)
        if name is None:
            break
        if name not in chosen:
            chosen.append(name)
    return chosen


def _named(text: str, known: list[str]) -> str | None:
    """A GPU by its number, or by its UUID or the beginning of it."""
    if text.startswith("MIG-"):
        return text
    if text.isdecimal():
        return known[int(text)] if int(text) < len(known) else None
    same = [name for name in known if text and name.startswith(text)]
    return same[0] if len(same) == 1 else None


def handle(index: int) -> Any:
    """The driver's handle of the process's GPU number ``index``. Raises where there is no driver, or no such GPU."""
    import pynvml

    names = visible()
    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByUUID(names[index])
