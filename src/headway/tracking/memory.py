"""Which version an alias or a number stands for, kept beside MLflow's database until that file changes.

Importing MLflow and its first query take 2 s of a core, more than everything else that scoring a few rows does. Any write to the database
changes its file or its write-ahead log, by another process too, and what was kept then no longer counts. It holds nothing that
MLflow does not know: it may be removed at any time.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headway.errors import DamagedError
from headway.files.records import Record
from headway.tracking.addresses import database_file, is_file, tracking_uri
from headway.tracking.bundles import sealed_damage

NAME = ".versions.json"
SETTLED_SECONDS = 0.1
"""A file is trusted once it is this old: two writes within a tick of the clock (up to 10 ms) have one time."""


@dataclass(frozen=True)
class RememberedVersion(Record):
    """A version, its run, and its bundle relative to the project's folder, which may be moved."""

    version: str
    run_id: str
    bundle: str


@dataclass(frozen=True)
class Memory(Record):
    """The file: what is known of a store in the ``state``."""

    state: str = ""
    versions: Mapping[str, RememberedVersion] = field(default_factory=dict)


def state_of(root: Path) -> str | None:
    """What changes with every write to the store; None where that cannot be seen: a server, a file that was written just now."""
    uri = tracking_uri(root)
    if not is_file(uri):
        return None
    path, parts, now = database_file(uri), [], time.time()
    for file in (path, path.with_name(f"{path.name}-wal")):
        try:
            stat = file.stat()
        except FileNotFoundError:
            continue
        if stat.st_size == 0:  # a log without entries comes and goes with readers
            continue
        if now - stat.st_mtime < SETTLED_SECONDS or stat.st_mtime_ns % 10**9 == 0:  # a disk that knows no fractions
            return None
        parts.append(f"{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}")
    return " ".join(parts) or None


def recall(root: Path, state: str | None, name: str, version_or_alias: str) -> tuple[str, str, Path] | None:
    """Version, run and bundle as they were kept, where the store has not changed and the bundle is undamaged."""
    memory = _read(root) if state is not None else Memory()
    version = memory.versions.get(f"{name}@{version_or_alias}")
    if version is None or memory.state != state:
        return None
    bundle = root.resolve() / version.bundle
    return (version.version, version.run_id, bundle) if sealed_damage(bundle) is None else None


def remember(root: Path, state: str | None, name: str, version_or_alias: str, version: tuple[str, str, Path]) -> None:
    """Keep what a store in that state said. A folder that cannot be written keeps nothing."""
    number, run_id, bundle = version
    if state is None or not bundle.is_relative_to(root.resolve()):
        return
    memory = _read(root)
    others = memory.versions if memory.state == state else {}
    remembered = RememberedVersion(number, run_id, str(bundle.relative_to(root.resolve())))
    with contextlib.suppress(OSError):
        Memory(state, {**others, f"{name}@{version_or_alias}": remembered}).write(_file(root))


def _read(root: Path) -> Memory:
    with contextlib.suppress(OSError, DamagedError):
        return Memory.read(_file(root))
    return Memory()


def _file(root: Path) -> Path:
    return database_file(tracking_uri(root)).with_name(NAME)
