"""Checksums of a finished folder, so that a truncated, changed or missing file is noticed before it is used.

checksums.json   {"format", "files": {"weights.safetensors": {"bytes", "sha256"}, ...}, "check"}

It is written last, after every file and folder has been synced: where it exists, the rest is on disk. Sizes are compared at every use,
contents at a file's first use in a process. A folder without it is of an older version, and cannot be checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from headway.errors import DamagedError
from headway.files import locks
from headway.files.atomic import digest, read_json, sync, write_json
from headway.files.leftovers import OWNER, is_half_written, is_written, remove

NAME = "checksums.json"
FORMAT = 1
THREADS = 4

Result = TypeVar("Result")

_comparisons: dict[Path, tuple[int, int, int, str]] = {}
"""Files whose content this process has compared: size, time of change, inode, and the checksum that it was compared with."""


@dataclass(frozen=True)
class Checksum:
    """A file's size and checksum as it was written."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Damage:
    """A file that differs from what was written, and how."""

    path: Path
    fact: str

    def __str__(self) -> str:
        return f"{self.path.name} {self.fact}"


def seal(folder: Path, *names: str) -> None:
    """Sync a finished folder and write its checksums: of all files below it, or of ``names`` in addition to earlier ones.

    Raises DamagedError where the earlier checksums are damaged.
    """
    if names:
        for name in names:
            sync(folder / name)
    else:
        sync_tree(folder)
    record(folder, *names)
    sync(folder)


def record(folder: Path, *names: str) -> None:
    """As seal, without syncing, for a folder that need not survive a power cut."""
    sums = dict(checksums(folder) or {}) if names else {}
    paths = [folder / name for name in names] or [path for path in folder.rglob("*") if path.is_file()]
    paths = [path for path in paths if path not in (folder / NAME, folder / OWNER) and not is_half_written(path)]
    for path, one in zip(paths, _side_by_side(_checksum, paths), strict=True):
        sums[path.relative_to(folder).as_posix()] = one
    files = {name: asdict(one) for name, one in sorted(sums.items())}
    write_json(folder / NAME, {"format": FORMAT, "files": files, "check": digest(files)})


@contextlib.contextmanager
def replacing_folder(path: Path, goes_on: bool = False) -> Iterator[Path]:
    """A new folder to fill, which is sealed and renamed to ``path`` after the block, or removed where the block fails.

    Where it ``goes_on``, the folder may be that of a process that was killed, with all that is in it but half-written files. Where
    another process has made ``path`` meanwhile, that folder stays. A lock in the folder says that it is being filled, also to other
    machines and containers that share the storage: process numbers are each machine's own.
    """
    partial, lock = (_taken_over(path) if goes_on else None) or _new_partial(path)
    try:
        yield partial
        seal(partial)
        try:
            partial.rename(path)
        except OSError:
            if not (path / NAME).exists():
                raise
        else:
            (path / OWNER).unlink(missing_ok=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def _new_partial(path: Path) -> tuple[Path, int]:
    """An empty folder and its lock. One of this name that no process fills was left by a killed one."""
    for number in count():
        middle = f".{number}" if number else ""
        partial = path.with_name(f".{path.name}{middle}.{os.getpid()}.partial")
        if partial.exists() and locks.is_held(partial / OWNER):
            continue  # by a thread of this process, or by one of this number on another machine
        shutil.rmtree(partial, ignore_errors=True)
        with contextlib.suppress(FileExistsError):
            partial.mkdir(parents=True)
            lock = locks.take(partial / OWNER)
            if lock is not None and locks.is_at(partial / OWNER, lock):
                return partial, lock
    raise AssertionError("numbers do not end")


def _taken_over(path: Path) -> tuple[Path, int] | None:
    """A folder of a process that was killed, and its lock. Of two processes that try, one has it."""
    for leftover in sorted(path.parent.glob(f".{path.name}.*.partial")):
        is_own = leftover.name.endswith(f".{os.getpid()}.partial")
        if (
            not (leftover / OWNER).exists() and is_written(leftover.name) and not is_own
        ):  # of an earlier version, without a lock
            continue
        lock = locks.take(leftover / OWNER, seconds=0.0)
        if lock is not None and locks.is_at(leftover / OWNER, lock):
            for inner in filter(is_half_written, list(leftover.rglob(".*"))):
                remove(inner)
            return leftover, lock
        if lock is not None:
            os.close(lock)
    return None


def sync_tree(folder: Path) -> None:
    """Wait until a folder with everything below it is on disk."""
    _side_by_side(sync, list(folder.rglob("*")))
    sync(folder)


def _side_by_side(work: Callable[[Path], Result], paths: Sequence[Path]) -> list[Result]:
    """``work`` on all paths by a few threads: it waits for the disk, or computes without Python's lock."""
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(work, paths))


def _checksum(path: Path) -> Checksum:
    return Checksum(path.stat().st_size, sha256(path))


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_as_named(path: Path) -> bool:
    """Whether a file whose name ends in the first 16 digits of its SHA-256, as a checkpoint's does, has that content."""
    return sha256(path)[:16] == path.stem.rpartition("-")[2]


def checksums(folder: Path) -> Mapping[str, Checksum] | None:
    """A folder's checksums by file; None where it has none. Raises DamagedError where they are damaged themselves."""
    try:
        values = read_json(folder / NAME)
    except (FileNotFoundError, NotADirectoryError):
        return None
    files = values.get("files")
    if values.get("check") != digest(files) or not isinstance(files, dict):
        raise DamagedError(f"{folder / NAME} must be what Headway wrote, but it was changed; headway doctor")
    return {name: Checksum(int(one["bytes"]), str(one["sha256"])) for name, one in files.items()}


def damages(folder: Path, names: Iterable[str] | None = None) -> Iterator[Damage]:
    """The damaged files of a folder, or those among ``names``: sizes first, then contents not compared before."""
    try:
        sums = checksums(folder)
    except DamagedError:
        yield Damage(folder / NAME, "is cut or changed")
        return
    if sums is None:
        return
    selection = {name: one for name, one in sums.items() if names is None or name in names}
    whole: dict[Path, str] = {}
    for name, one in selection.items():
        path = folder / name
        try:
            size = path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            yield Damage(path, "is missing")
            continue
        if size != one.bytes:
            yield Damage(path, f"has {size:,} bytes instead of {one.bytes:,}")
        else:
            whole[path] = one.sha256
    for path, checksum in whole.items():
        if not _is_same(path, checksum):
            yield Damage(path, "holds other bytes than were written")


def _is_same(path: Path, checksum: str) -> bool:
    stat = path.stat()
    previous = (stat.st_size, stat.st_mtime_ns, stat.st_ino, checksum)
    if _comparisons.get(path) != previous:
        if sha256(path) != checksum:
            return False
        _comparisons[path] = previous
    return True


def check(folder: Path, *names: str) -> bool:
    """Verify all files, or those of ``names``; False where the folder has no checksums. Raises DamagedError for the first damaged file."""
    for damage in damages(folder, names or None):
        raise DamagedError(
            f"{damage.path} must be what Headway wrote, but {damage.fact}; headway doctor finds what else"
        )
    return (folder / NAME).exists()
