"""A file system of its own, that can be made small, large, or read-only."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(folder: Path, size: str = "400m") -> Iterator[Callable[[str], None]]:
    """Mount one at ``folder``; what is yielded takes other options for it, such as `ro` or `size=2m`."""
    folder.mkdir(exist_ok=True)
    outcome = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if outcome.returncode != 0:
        pytest.skip("skipped: uses a file system of its own, and this user may not mount one")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
