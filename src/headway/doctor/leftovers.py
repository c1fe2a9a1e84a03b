"""Leftovers of killed processes: half-written files, working folders, and damaged notes of `headway up`.

`headway gc` takes a half-written file for a leftover after a day. The doctor does so when the process in the file's name no longer runs.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from headway.doctor.finding import Finding, is_json
from headway.files.leftovers import leftovers, remove
from headway.run.lifetime import lives
from headway.server.placing import PENDING, finish

PLACES = ("conf", ".prefect", "backups", "data", "mlruns")
_PARTIAL = re.compile(r"\..*?(?:\.(\d+))?\.partial")
NOTES = ("up.json", "serving.json", "temporary.json")


def examine(root: Path) -> Iterator[Finding]:
    """Temporary files and folders whose process has ended."""
    pending = root / PENDING
    if pending.is_dir():
        yield Finding("a restore was interrupted", pending, "finish it", partial(finish, root))
    for path in dict.fromkeys([*leftovers(root, time.time()), *_partials(root)]):
        yield Finding("it is left from a killed process", path, "remove it", partial(remove, path))
    for name in NOTES:
        path = root / ".prefect" / name
        if path.exists() and not is_json(path):
            fix = "remove it: headway up writes it again"
            yield Finding("a note of headway up is damaged", path, fix, partial(remove, path))


def _partials(root: Path) -> Iterator[Path]:
    for place in PLACES:
        for base, folders, files in os.walk(root / place):
            leftover_names = [name for name in sorted([*folders, *files]) if _is_left(Path(base) / name)]
            yield from (Path(base) / name for name in leftover_names)
            folders[:] = [name for name in folders if name not in leftover_names]


def _is_left(path: Path) -> bool:
    """Whether no process writes a half-written file any more."""
    name = _PARTIAL.fullmatch(path.name)
    if name is None:
        return False
    if name[1] is None:  # a checkpoint: its run tells whether a process writes it
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
