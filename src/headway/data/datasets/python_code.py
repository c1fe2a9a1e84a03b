"""The source of Python's own standard library, found on every machine that runs this: each file is a document."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Any

from headway.data.datasets import Dataset
from headway.data.naming import below

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "__pycache__"}
"""Folders of Python's library that are no part of it, or are not on every machine."""


def _files(_options: Any, _folder: Path) -> tuple[Path, ...]:
    files = [p for p in LIBRARY.rglob("*.py") if not LEFT_OUT & set(p.relative_to(LIBRARY).parts[:-1])]
    return tuple(sorted(p for p in files if _is_utf8(p)))


def _is_utf8(path: Path) -> bool:
    """A few files of the library are in other encodings on purpose."""
    try:
        path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        return False
    return True


DATASET = Dataset(generate=_files, clean=below(str(LIBRARY)), format="text")
