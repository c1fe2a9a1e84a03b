"""The environment of a run: the code's version, the machine, the packages."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headway import __version__
from headway.files.records import Record

PACKAGES = (
    "torch",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "scikit-learn",
    "lightgbm",
    "tabm",
    "prefect",
    "mlflow",
    "great-expectations",
)


@dataclass(frozen=True)
class Code(Record):
    """Headway's version; the commit of the project's folder, and whether tracked files differ from it; None where it is no git checkout."""

    version: str
    commit: str | None
    dirty: bool | None


@dataclass(frozen=True)
class Environment(Record):
    """The machine and the installed packages."""

    python: str
    system: str
    cpu: str
    cores: int | None
    memory_bytes: int
    gpus: tuple[str, ...]
    packages: Mapping[str, str]


def code_version(root: Path) -> Code:
    """Headway's version, and the commit of the project's folder where it is a git checkout."""

    def git(*words: str) -> str | None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(
                ["git", *words], cwd=root, capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
        return None

    changes = git("status", "--porcelain", "--untracked-files=no")
    return Code(__version__, git("rev-parse", "HEAD"), None if changes is None else bool(changes))


def environment() -> Environment:
    """The machine and the installed versions, without names of hosts or users."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return Environment(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        cpu=cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        gpus=tuple(gpu_names()),
        packages=versions,
    )


def cpu_name() -> str:
    """The processor's model name, where the system reports it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu_names() -> list[str]:
    """NVIDIA GPUs by name; empty where there is no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver or no permission: no GPU can be named
        return []
    try:
        return [
            str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(i)))
            for i in range(pynvml.nvmlDeviceGetCount())
        ]
    finally:
        pynvml.nvmlShutdown()
