"""Leftovers of killed processes on the disk: half-written files and working folders, and the places where they may lie.

Most lie within the project. Backups and scored rows may be written anywhere: `note_place` records such folders in data/outside/.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from headway.files import locks
from headway.files.atomic import digest, write_atomically

DAY = 86_400.0
TRASH = ".trash"
PARTS = ".parts"
OWNER = "owner.lock"
"""In a folder that is being filled: locked by the process that fills it."""
WORKPLACES = ("", ".prefect", "backups", "mlruns")
"""Folders that contain working folders, besides data/."""


def note_place(root: Path, folder: Path) -> None:
    """Record a folder outside the project that is written to, so that its leftovers are found.

    Where the project's own disk is full or read-only, nothing is recorded, and the backup elsewhere goes on.
    """
    folder = folder.resolve()
    if not folder.is_relative_to(root.resolve()):
        path = root / "data" / "outside" / f"{digest(str(folder))}.txt"
        with contextlib.suppress(OSError):
            if not path.exists():
                write_atomically(path, str(folder))


def places(root: Path) -> Iterator[Path]:
    """The recorded folders outside the project; the record of a missing folder is removed."""
    for path in sorted((root / "data" / "outside").glob("*.txt")):
        folder = Path(path.read_text(encoding="utf-8"))
        if folder.is_dir():
            yield folder
        else:
            path.unlink(missing_ok=True)


def leftovers(root: Path, now: float) -> Iterator[Path]:
    """All leftovers of processes that have ended; those within another leftover are not listed."""
    for place in WORKPLACES:
        yield from _at_work(root / place)
    for folder in (root / "data", root / "mlruns" / "artifacts", *places(root)):
        yield from _within(folder, now)


def _at_work(folder: Path) -> Iterator[Path]:
    return filter(locks.is_left, sorted(folder.glob(f".*{locks.WORKING}")))


def _within(top: Path, now: float) -> Iterator[Path]:
    for folder, folders, files in os.walk(top):
        leftover_names = []
        for name in [*folders, *files]:
            path = Path(folder) / name
            if _is_leftover(path, now):
                leftover_names.append(name)
                yield path
        folders[:] = [name for name in folders if name not in leftover_names]


def _is_leftover(path: Path, now: float) -> bool:
    if not path.name.startswith("."):
        return False
    if path.name.endswith(TRASH) or locks.is_left(path):
        return True
    if path.name == PARTS:  # a killed scoring resumes from these parts within a day
        return not locks.is_held(path.parent / ".lock") and now - newest(path) > DAY
    if not is_half_written(path) or now - newest(path) <= DAY:
        return False
    return not is_written(path.name) and not locks.is_held(path / OWNER)


def is_half_written(path: Path) -> bool:
    """Whether a file or folder has the name that it has until it is whole."""
    return path.name.startswith(".") and path.name.endswith(".partial")


def is_written(partial: str) -> bool:
    """Whether the process in a half-written file's name still runs; after a clock is set forward, every file looks old."""
    pid = re.search(r"\.(\d+)\.partial$", partial)
    return pid is not None and Path(f"/proc/{pid[1]}").exists()


def remove(path: Path) -> None:
    """Delete a file or a folder; a folder is renamed first, so that a partly deleted one never has its name."""
    if path.is_dir() and not path.is_symlink():
        trash = path.with_name(f".{path.name.removeprefix('.')}.{os.getpid()}{TRASH}")
        path.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def newest(path: Path) -> float:
    """The latest change of a file, of any file below a folder, or of an empty folder; 0 where it is missing."""
    with contextlib.suppress(FileNotFoundError):
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_mtime
        return max((newest(inner) for inner in path.iterdir()), default=path.lstat().st_mtime)
    return 0.0
