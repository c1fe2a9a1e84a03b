"""What the doctor finds: one thing that is wrong, where, and what would be done about it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headway.base import read_json

ASIDE = ".damaged"
"""The ending of what was set aside: nothing reads it any more, and a person may look at it."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. ``mend`` does what ``fix`` says; None where only a person can, which ``fix`` then says."""

    what: str
    where: Path
    fix: str
    mend: Callable[[], object] | None = None

    def line(self, root: Path) -> str:
        """As people read it: where, what, what will be done."""
        place = self.where.relative_to(root) if self.where.is_relative_to(root) else self.where
        return f"{place}: {self.what}; {self.fix}"


def set_aside(path: Path) -> Path:
    """Rename so that nothing finds it under its own name; the new place."""
    target = path.with_name(f"{path.name}{ASIDE}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{number}{ASIDE}")
    return path.rename(target)


def remove(path: Path) -> None:
    """Delete a file or a folder; a folder is renamed first, so that no half of it is ever found under its name."""
    if path.is_dir() and not path.is_symlink():
        trash = path.with_name(f".{path.name.removeprefix('.')}.{os.getpid()}.trash")
        path.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def is_json(path: Path) -> bool:
    """Whether a file holds a JSON object, as all that Headway writes do."""
    try:
        read_json(path)
    except (OSError, ValueError):
        return False
    return True
