"""Clearing up: files past the limits of the YAML's `retention` section that nothing else needs.

A file is first renamed to `.<name>.trash`, then deleted, so that nothing is half-removed under its own name. Trash that a kill left is
deleted the next time.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import read_json
from headway.files.leftovers import TRASH, leftovers
from headway.files.records import Record
from headway.project import load_project, project_files
from headway.run.directory import RunDirectory
from headway.run.lifetime import lives
from headway.run.report import size
from headway.server.retention_config import RetentionConfig
from headway.tracking.run_files import TrackedRun, tracked_runs

HOUR, DAY = 3600.0, 86_400.0
HEAVY = ("bundle", "predictions")


@dataclass(frozen=True)
class Item:
    """A file or folder to remove. ``newest``: its latest change, in seconds since the epoch."""

    what: str
    project: str
    path: Path
    bytes: int
    newest: float


@dataclass(frozen=True)
class RunFolder:
    """A run directory. ``project`` is empty where run.json cannot be read; ``store``: the folder in store.json."""

    path: Path
    project: str
    run_id: str | None
    store: Path | None
    number: int
    start: float
    newest: float


@dataclass(frozen=True)
class Limits:
    """The limits of the requested projects; ``every``: also of projects without a YAML, by the defaults."""

    by_project: Mapping[str, RetentionConfig]
    every: bool

    def of(self, project: str) -> RetentionConfig | None:
        """A project's limits; None for one that was not requested."""
        limits = self.by_project.get(project)
        return limits or (RetentionConfig() if self.every and project else None)


def limits(root: Path, projects: Sequence[str]) -> Limits:
    """The limits of these projects, or of all. Raises ConfigError where a YAML is wrong: a guess could delete too much."""
    names = projects or [path.stem for path in project_files(root)]
    configs = [load_project(name, root) for name in names]
    return Limits({project.name: project.retention for project in configs}, not projects)


@dataclass(frozen=True)
class Past(Record):
    """A file or folder past its limit; ``path`` from the project's folder."""

    what: str
    project: str
    path: str
    bytes: int


@dataclass(frozen=True)
class Collection(Record):
    """Files past their limits, and whether they were removed."""

    applied: bool
    items: tuple[Past, ...]
    bytes: int


def collect(root: Path, projects: Sequence[str], apply: bool) -> Collection:
    """Files past their limits; with ``apply``, they are removed.

    Raises ConfigError for an unknown project, when MLflow does not answer, or while another process clears up.
    """
    bounds = limits(root, projects)
    if not apply:
        return _collection(plan(root, bounds), root, False)
    busy = ConfigError("headway gc --apply must run alone, but another one runs; wait for its end")
    with locks.hold(root / "data" / "gc.lock", busy):  # under the lock, no other process uses the trash
        return _collection([item for item in plan(root, bounds) if _remove(item)], root, True)


def plan(root: Path, bounds: Limits, now: float | None = None) -> list[Item]:
    """Everything to remove, in order. Changes nothing."""
    now = time.time() if now is None else now
    tracked = tracked_runs(root)
    runs = list(_runs(root))
    kept_paths = _kept_paths(runs, tracked, bounds)
    items: list[Item] = []
    for run in runs:
        if run.path not in kept_paths:
            items += _parts(run, _limit(run, bounds), now)
    items += _stores(root, runs, kept_paths, bounds, now)
    items += _artifacts(tracked, bounds, now)
    paths = {item.path for item in items}
    rest = [path for path in leftovers(root, now) if not paths & {path, *path.parents}]
    return items + [_item("leftover", "", path) for path in rest]


def _runs(root: Path) -> Iterator[RunFolder]:
    for path in sorted((root / "data" / "runs").glob("*")):
        if path.is_dir():
            project = _field(path / "run.json", "project", "name")
            store = _field(path / "store.json", "path")
            run_id = _field(path / "tracking.json", "run_id")
            start = _measure(path / "run.json")[1]
            store_path = None if store is None else Path(store)
            yield RunFolder(
                path, project or "", run_id, store_path, RunDirectory(path).number, start, _measure(path)[1]
            )


def _field(path: Path, *keys: str) -> str | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        value = read_json(path)
        for key in keys:
            value = value[key]
        return None if value is None else str(value)
    return None


def _kept_paths(runs: Sequence[RunFolder], tracked: Mapping[str, TrackedRun], bounds: Limits) -> set[Path]:
    """The run directories that are kept whole, whatever their age."""
    paths = set()
    counts: dict[str, int] = defaultdict(int)
    for run in sorted(runs, key=lambda run: (run.number, run.start), reverse=True):
        limit = bounds.of(run.project)
        counts[run.project] += 1
        if limit is None or counts[run.project] <= limit.keep_last or lives(run.path):
            paths.add(run.path)
        elif run.run_id is not None and (run.run_id not in tracked or tracked[run.run_id].is_registered):
            paths.add(run.path)  # unknown: it was tracked by another MLflow, which may have registered it
    return paths


def _past(newest: float, days: int, now: float) -> bool:
    return now - newest > max(days * DAY, HOUR)


def _limit(run: RunFolder, bounds: Limits) -> RetentionConfig:
    return bounds.of(run.project) or RetentionConfig()


def _parts(run: RunFolder, limit: RetentionConfig, now: float) -> Iterator[Item]:
    old = _past(run.newest, limit.runs_days, now)
    checkpoints = ("checkpoints",) if old or _past(run.newest, limit.checkpoints_days, now) else ()
    for name in (*checkpoints, *(HEAVY if old else ())):
        if (run.path / name).is_dir():
            yield _item(name, run.project, run.path / name)


def _stores(root: Path, runs: Sequence[RunFolder], kept_paths: set[Path], bounds: Limits, now: float) -> Iterator[Item]:
    """Prepared data belongs to the projects whose runs use it; unused data belongs to all projects."""
    users: dict[str, list[RunFolder]] = defaultdict(list)
    for run in runs:
        if run.store is not None:
            users[run.store.name].append(run)
    everyone = [*bounds.by_project.values(), RetentionConfig()]
    if bounds.every:  # what is kept of single files is made new by each use
        days = max((limit.prepared_days for limit in everyone), default=0)
        files = (path for path in sorted((root / "data" / "prepared" / "profiles").rglob("[!.]*")) if path.is_file())
        yield from (_item("kept of a file", "", path) for path in files if _past(_measure(path)[1], days, now))
    for path in sorted((root / "data" / "prepared").glob("[!.]*")):
        if path.name == "profiles":
            continue
        users_of_store = users[path.name]
        own = [limit for limit in (bounds.of(run.project) for run in users_of_store) if limit is not None]
        is_needed = any(
            run.path in kept_paths or not _past(run.newest, _limit(run, bounds).runs_days, now)
            for run in users_of_store
        )
        days = max((limit.prepared_days for limit in own or everyone), default=0)
        newest = max([_measure(path)[1], *(run.newest for run in users_of_store)])
        if path.is_dir() and not is_needed and (users_of_store or bounds.every) and _past(newest, days, now):
            yield _item("prepared data", ", ".join(sorted({run.project for run in users_of_store})), path)


def _artifacts(tracked: Mapping[str, TrackedRun], bounds: Limits, now: float) -> Iterator[Item]:
    counts: dict[str, int] = defaultdict(int)
    for run in sorted(tracked.values(), key=lambda run: (run.number, run.start), reverse=True):
        limit = bounds.of(run.project)
        counts[run.project] += not run.is_variant
        if limit is None or run.is_registered or run.end is None or counts[run.project] <= limit.keep_last:
            continue
        if _past(run.end, limit.artifacts_days, now):
            yield from (_item("MLflow artifacts", run.project, path) for path in run.folders)


def _measure(path: Path) -> tuple[int, float]:
    """Bytes of a file or of all files below a folder, and their latest change; (0, 0.0) for a missing path.

    The times of inner folders do not count: removing a file from a folder makes it look new.
    """
    size, newest = 0, 0.0
    waiting = [path]
    while waiting:
        current = waiting.pop()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            status = current.lstat()
            if current.is_dir() and not current.is_symlink():
                inner = list(current.iterdir())
                waiting += inner
                if not inner and current == path:
                    newest = status.st_mtime
            else:
                size, newest = size + status.st_size, max(newest, status.st_mtime)
    return size, newest


def _item(what: str, project: str, path: Path) -> Item:
    return Item(what, project, path, *_measure(path))


def _remove(item: Item) -> bool:
    """Remove an item; whether that was done. An item that came into use since it was listed stays."""
    path = item.path
    if item.what in ("checkpoints", *HEAVY) and lives(path.parent):
        return False
    if not path.name.endswith(TRASH):
        trash = path.with_name(f".{path.name}{TRASH}")
        _delete(trash)
        try:
            path.rename(trash)
        except FileNotFoundError:
            return False
        if _measure(trash)[1] > item.newest:  # a run marked it as in use a moment ago
            trash.rename(path)
            return False
        path = trash
    _delete(path)
    return True


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _collection(items: Sequence[Item], root: Path, applied: bool) -> Collection:
    rows = []
    for item in items:
        path = item.path.relative_to(root) if item.path.is_relative_to(root) else item.path
        rows.append(Past(item.what, item.project, str(path), item.bytes))
    return Collection(applied, tuple(rows), sum(item.bytes for item in items))


def table(collection: Collection) -> list[dict[str, str]]:
    """The items with sizes for people."""
    items = collection.items
    return [{"what": one.what, "project": one.project, "path": one.path, "size": size(one.bytes)} for one in items]


def line(collection: Collection) -> str:
    """The sum, and what to do next."""
    if collection.applied:
        return f"freed {size(collection.bytes)}"
    again = "; nothing was changed: --apply removes them" if collection.items else ""
    return f"{size(collection.bytes)} would be freed{again}"
