"""What the doctor finds: one thing that is wrong, where, and what would be done about it."""

from __future__ import annotations

import os
import shutil
import tokenize
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headway.files.atomic import read_json

ASIDE = ".damaged"
"""The ending of what was set aside: nothing reads it any more, and a person may look at it."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. ``mend`` does what ``fix`` says; None where only a person can, which ``fix`` then says.

    ``is_first``: it is mended before all else is looked at, for what else is found may not be so afterwards.
    """

    what: str
    where: Path
    fix: str
    mend: Callable[[], object] | None = None
    is_first: bool = False

    def line(self, root: Path) -> str:
        """As people read it: where, what, what will be done."""
        place = self.where.relative_to(root) if self.where.is_relative_to(root) else self.where
        return f"{place}: {self.what}; {self.fix}"


def set_aside(path: Path) -> Path:
    """Rename so that nothing finds it under its own name; the new place."""
    return path.rename(_free(path))


def keep_aside(path: Path) -> Path:
    """Keep a file under a second name, which nothing reads, until another takes its own; the second name."""
    target = _free(path)
    link(path, target)
    return target


def link(path: Path, target: Path) -> None:
    """A second name of a file; a copy where the file system has no second names."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)


def _free(path: Path) -> Path:
    target = path.with_name(f"{path.name}{ASIDE}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{number}{ASIDE}")
    return target


def is_json(path: Path) -> bool:
    """Whether a file holds a JSON object, as all that Headway writes do."""
    try:
        read_json(path)
    except (OSError, ValueError):
        return False
    return True


def is_array(path: Path) -> bool:
    """Whether a file holds a NumPy array as long as its header says. NumPy reads a damaged header as Python, with Python's errors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, TypeError, SyntaxError, OverflowError, EOFError, OSError, tokenize.TokenError):
        return False
    return True
