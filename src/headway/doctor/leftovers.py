"""What killed processes left: half-written files, working folders, and damaged notes of who serves."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from headway.doctor.finding import Finding, is_json, remove
from headway.retention import TRASH
from headway.zombies import lives

PLACES = (".", "conf", "data", "mlruns", ".prefect", "backups")
DEEP = ("data", "mlruns")
_PARTIAL = re.compile(r"\..*?(?:\.(\d+))?\.partial")
NOTES = ("up.json", "serving.json", "temporary.json")


def examine(root: Path) -> Iterator[Finding]:
    """Temporary files and folders whose process has died."""
    for path in _temporary(root):
        yield Finding("a process that died left it", path, "remove it", partial(remove, path))
    for name in NOTES:
        path = root / ".prefect" / name
        if path.exists() and not is_json(path):
            fix = "remove it: headway up writes it again"
            yield Finding("a note of headway up is damaged", path, fix, partial(remove, path))


def _temporary(root: Path) -> Iterator[Path]:
    for name in PLACES:
        folder = root / name
        if name not in DEEP:
            yield from (path for path in sorted(folder.glob(".*")) if _is_left(path))
            continue
        for base, folders, files in os.walk(folder):
            left = [inner for inner in sorted([*folders, *files]) if inner[0] == "." and _is_left(Path(base) / inner)]
            yield from (Path(base) / inner for inner in left)
            folders[:] = [inner for inner in folders if inner not in left]


def _is_left(path: Path) -> bool:
    """Whether nobody works with a temporary file or folder any more: its name holds the number of its process, or it is trash."""
    if path.name.endswith(TRASH):
        return True
    name = _PARTIAL.fullmatch(path.name)
    if name is None:
        return False
    if name[1] is None:  # a checkpoint's: its run says whether somebody writes it
        return not lives(path.parents[1])
    return not _is_alive(int(name[1]))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
