"""Whether a prepared store can be used again. A damaged one is removed and made anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from headway.files import checksums, leftovers, locks
from headway.files.atomic import read_or_empty


def in_use(path: Path) -> bool:
    """Whether a store is there. It is marked as in use, so that `headway gc` does not remove it during a run."""
    try:
        os.utime(path / "store.json")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:  # another user's, which is read only
        return (path / "store.json").exists()
    return True


def is_ready(path: Path, warn: Callable[[str], None]) -> bool:
    """Whether a whole store lies there. One that is damaged, or was never checked, is taken away; ``warn`` gets the reason."""
    if not path.exists():
        return False
    if in_use(path) and problem_of(path) is None:
        return True
    problem = take_away(path)
    if problem is None:
        return in_use(path)
    warn(f"the prepared data in {path} is made again: {problem}")
    return False


def take_away(path: Path) -> str | None:
    """Remove a store that is still damaged, and say why; None where it is whole by now."""
    with locks.hold(path.parent / ".lock"):  # a second process must not remove what the first has made anew
        problem = problem_of(path)
        if problem is not None:
            leftovers.remove(path)
    return problem


def is_earlier(path: Path) -> bool:
    """Whether an earlier version made a store in a form that is not read any more: documents had one of their own."""
    return read_or_empty(path / "store.json").get("kind") == "tokens"


def problem_of(path: Path) -> str | None:
    """Why a store cannot be used; None where it is whole."""
    if not (path / "store.json").exists():
        return "store.json is missing"
    if is_earlier(path):
        return "an earlier version made it"
    if not (path / checksums.NAME).exists():
        return "it has no checksums, for an older version made it"
    damage = next(checksums.damages(path), None)
    return None if damage is None else str(damage)
