"""One fault: what, where, and the fix."""

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
"""The ending of files that were set aside: Headway ignores them, and a person may look at them."""


@dataclass(frozen=True)
class Finding:
    """One fault. ``mend`` does what ``fix`` says; None where only a person can do that.

    ``is_first``: it is repaired before the others, which may be wrong afterwards.
    """

    what: str
    where: Path
    fix: str
    mend: Callable[[], object] | None = None
    is_first: bool = False

    def line(self, root: Path) -> str:
        """The finding as one line: where, what, and the fix."""
        place = self.where.relative_to(root) if self.where.is_relative_to(root) else self.where
        return f"{place}: {self.what}; {self.fix}"


def set_aside(path: Path) -> Path:
    """Rename a file or folder so that Headway ignores it; returns the new path."""
    return path.rename(_free(path))


def keep_aside(path: Path) -> Path:
    """Link a file that will be replaced to a name that Headway ignores; returns that path."""
    target = _free(path)
    link(path, target)
    return target


def link(path: Path, target: Path) -> None:
    """Make a hard link, or a copy where the file system has no links."""
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
    """Whether a file holds a JSON object, as all JSON files of Headway do."""
    try:
        read_json(path)
    except (OSError, ValueError):
        return False
    return True


def is_array(path: Path) -> bool:
    """Whether a file holds a NumPy array of the length in its header. NumPy parses the header as Python, with Python's errors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, TypeError, SyntaxError, OverflowError, EOFError, OSError, tokenize.TokenError):
        return False
    return True
