"""The GPUs that this process may use, each by its UUID, which is the same in every process of the machine.

CUDA numbers the GPUs that a process may use: number 0 of two processes may be two GPUs, and one GPU may have two numbers. A lock is
therefore on the UUID.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PEAK_TFLOPS: tuple[tuple[str, dict[str, float]], ...] = (
    (r"B200", {"fp8": 4500, "bf16": 2250, "fp16": 2250, "tf32": 1125, "fp32": 75}),
    (r"H200 NVL", {"fp8": 1671, "bf16": 835.5, "fp16": 835.5, "tf32": 417.5, "fp32": 60}),
    (r"G?H200", {"fp8": 1979, "bf16": 989, "fp16": 989, "tf32": 494.7, "fp32": 66.9}),
    (r"H100 PCIe", {"fp8": 1513, "bf16": 756, "fp16": 756, "tf32": 378, "fp32": 51}),
    (r"H100 NVL", {"fp8": 1671, "bf16": 835.5, "fp16": 835.5, "tf32": 417.5, "fp32": 60}),
    (r"H100", {"fp8": 1979, "bf16": 989, "fp16": 989, "tf32": 494.7, "fp32": 66.9}),
    (r"A100", {"bf16": 312, "fp16": 312, "tf32": 156, "fp32": 19.5}),
    (r"L40S", {"fp8": 733, "bf16": 362, "fp16": 362, "tf32": 183, "fp32": 91.6}),
    (r"L4", {"fp8": 242.5, "bf16": 121, "fp16": 121, "tf32": 60, "fp32": 30.3}),
    (r"RTX 4090", {"fp8": 330.3, "bf16": 165.2, "fp16": 165.2, "tf32": 82.6, "fp32": 82.6}),
    (r"RTX 3090", {"bf16": 71, "fp16": 71, "tf32": 35.6, "fp32": 35.6}),
    (r"T4", {"fp16": 65, "fp32": 8.1}),
)
"""Dense peak by chip and format, products summed in fp32, without sparsity: from NVIDIA's data sheets, of RTX cards from the white papers
of GA102 and Ada. The chip is a whole word of the device's name; the first that is there counts."""


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


@dataclass(frozen=True)
class Gpu:
    """A GPU of this machine; ``memory`` in bytes."""

    uuid: str
    name: str
    memory: int

    def __str__(self) -> str:
        return f"{self.name} ({self.memory / 2**30:.0f} GiB)"


def details(uuids: Sequence[str]) -> list[Gpu]:
    """What the driver says of GPUs; empty where it says nothing."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
        return [
            Gpu(uuid, str(pynvml.nvmlDeviceGetName(one)), int(pynvml.nvmlDeviceGetMemoryInfo(one).total))
            for uuid, one in zip(uuids, handles, strict=True)
        ]
    except Exception:  # no package, no driver or no permission
        return []


def fastest_first(among: Sequence[Gpu]) -> list[Gpu]:
    """By the peak of the format that trains fastest, then by memory; by memory alone where a peak is not known."""
    peaks = {gpu.uuid: peak_of(gpu.name, "bf16") or peak_of(gpu.name, "fp16") for gpu in among}
    have_peaks = None not in peaks.values()
    return sorted(among, key=lambda gpu: (peaks[gpu.uuid] or 0.0 if have_peaks else 0.0, gpu.memory), reverse=True)


def peak_of(chip: str, precision: str) -> float | None:
    """Operations a second of a GPU by its name, at the peak of a format; None where it is not known.

    A part of a chip (MIG) has a part of the peak, which its name does not say.
    """
    if re.search(r"\bMIG\b", chip):
        return None
    peaks = next((peaks for name, peaks in PEAK_TFLOPS if re.search(rf"\b{name}\b", chip)), {})
    return peaks[precision] * 1e12 if precision in peaks else None
