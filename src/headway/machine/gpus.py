"""The GPUs that this process may use, each by its UUID, which is the same in every process of the machine.

CUDA numbers the GPUs that a process may use: number 0 of two processes may be two GPUs, and one GPU may have two numbers. A lock is
therefore on the UUID.
"""

from __future__ import annotations

import os
from typing import Any


def installed() -> list[str]:
    """The UUIDs of the machine's GPUs, numbered as nvidia-smi does; empty where there is no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver or no permission: no GPU can be used
        return []
    try:
        count = pynvml.nvmlDeviceGetCount()
        return [str(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(i))) for i in range(count)]
    finally:
        pynvml.nvmlShutdown()


def visible() -> list[str]:
    """The GPUs of CUDA_VISIBLE_DEVICES, in its order. Its numbers are those of nvidia-smi.

    As in CUDA, the entries after a wrong one are ignored. A part of a GPU (MIG) has a name of its own, and counts as one.
    """
    devices = installed()
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None or not devices:
        return devices
    selection: list[str] = []
    for text in setting.split(","):
        name = _device_named(text.strip(), devices)
        if name is None:
            break
        if name not in selection:
            selection.append(name)
    return selection


def _device_named(text: str, devices: list[str]) -> str | None:
    """A GPU by its number, or by its UUID or the beginning of it."""
    if text.startswith("MIG-"):
        return text
    if text.isdecimal():
        return devices[int(text)] if int(text) < len(devices) else None
    same = [name for name in devices if text and name.startswith(text)]
    return same[0] if len(same) == 1 else None


def handle(index: int) -> Any:
    """The driver's handle of the process's GPU number ``index``. Raises where there is no driver, or no such GPU."""
    import pynvml

    names = visible()
    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByUUID(names[index])
