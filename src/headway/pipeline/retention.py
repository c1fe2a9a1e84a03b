"""Clearing up: what is past the limits of the YAML's `retention` section, and that nothing kept needs.

Nothing half-removed is ever found under its own name: it is first renamed to `.<name>.trash`, then deleted; what a kill
left of that is deleted the next time.
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
from headway.server.retention_config import RetentionConfig
from headway.tracking.kept import Tracked, tracked_runs

HOUR, DAY = 3600.0, 86_400.0
HEAVY = ("bundle", "predictions")


@dataclass(frozen=True)
class Item:
    """A file or folder that would go. ``newest``: its latest change, in seconds since the epoch."""

    what: str
    project: str
    path: Path
    bytes: int
    newest: float


@dataclass(frozen=True)
class Found:
    """A run directory. ``project`` is empty where run.json cannot be read; ``store`` is what store.json names."""

    path: Path
    project: str
    run_id: str | None
    store: Path | None
    number: int
    started: float
    newest: float


@dataclass(frozen=True)
class Limits:
    """The limits of the projects asked for; ``every``: of projects without a YAML as well, by the defaults."""

    named: Mapping[str, RetentionConfig]
    every: bool

    def of(self, project: str) -> RetentionConfig | None:
        """A project's limits; None for one that was not asked for."""
        found = self.named.get(project)
        return found or (RetentionConfig() if self.every and project else None)


def limits(root: Path, projects: Sequence[str]) -> Limits:
    """The limits of these projects, or of all. Raises ConfigError where a YAML is wrong: guessed limits destroy."""
    names = projects or [path.stem for path in project_files(root)]
    loaded = [load_project(name, root) for name in names]
    return Limits({project.name: project.retention for project in loaded}, not projects)


@dataclass(frozen=True)
class Past(Record):
    """One thing that is past its limit; ``path`` from the project's folder."""

    what: str
    project: str
    path: str
    bytes: int


@dataclass(frozen=True)
class Collected(Record):
    """What is past its limit, and whether it is gone."""

    applied: bool
    items: tuple[Past, ...]
    bytes: int


def collect(root: Path, projects: Sequence[str], apply: bool) -> Collected:
    """What is past its limit; with ``apply`` it is gone afterwards.

    Raises ConfigError for an unknown project, when MLflow does not answer, or while another process clears up.
    """
    asked = limits(root, projects)
    if not apply:
        return _told(plan(root, asked), root, False)
    busy = ConfigError("headway gc --apply must run alone, but another one is at work; wait for it")
    with locks.hold(root / "data" / "gc.lock", busy):  # whatever is called trash is nobody's
        return _told([item for item in plan(root, asked) if _remove(item)], root, True)


def plan(root: Path, asked: Limits, now: float | None = None) -> list[Item]:
    """All that would go, in the order of removal. Nothing is changed."""
    now = time.time() if now is None else now
    known = tracked_runs(root)
    runs = list(_runs(root))
    kept = _kept(runs, known, asked)
    items: list[Item] = []
    for run in runs:
        if run.path not in kept:
            items += _parts(run, _limit(run, asked), now)
    items += _stores(root, runs, kept, asked, now)
    items += _artifacts(known, asked, now)
    going = {item.path for item in items}
    left = [path for path in leftovers(root, now) if not going & {path, *path.parents}]
    return items + [_item("leftover", "", path) for path in left]


def _runs(root: Path) -> Iterator[Found]:
    for path in sorted((root / "data" / "runs").glob("*")):
        if path.is_dir():
            project = _field(path / "run.json", "project", "name")
            store = _field(path / "store.json", "path")
            run_id = _field(path / "tracking.json", "run_id")
            started = _measure(path / "run.json")[1]
            named = None if store is None else Path(store)
            yield Found(path, project or "", run_id, named, RunDirectory(path).number, started, _measure(path)[1])


def _field(path: Path, *keys: str) -> str | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        value = read_json(path)
        for key in keys:
            value = value[key]
        return None if value is None else str(value)
    return None


def _kept(runs: Sequence[Found], known: Mapping[str, Tracked], asked: Limits) -> set[Path]:
    """The run directories that stay whole, whatever their age."""
    kept = set()
    seen: dict[str, int] = defaultdict(int)
    for run in sorted(runs, key=lambda run: (run.number, run.started), reverse=True):
        limit = asked.of(run.project)
        seen[run.project] += 1
        if limit is None or seen[run.project] <= limit.keep_last or lives(run.path):
            kept.add(run.path)
        elif run.run_id is not None and (run.run_id not in known or known[run.run_id].registered):
            kept.add(run.path)  # unknown: it was tracked by another MLflow, which may have registered it
    return kept


def _past(newest: float, days: int, now: float) -> bool:
    return now - newest > max(days * DAY, HOUR)


def _limit(run: Found, asked: Limits) -> RetentionConfig:
    return asked.of(run.project) or RetentionConfig()


def _parts(run: Found, limit: RetentionConfig, now: float) -> Iterator[Item]:
    old = _past(run.newest, limit.runs_days, now)
    checkpoints = ("checkpoints",) if old or _past(run.newest, limit.checkpoints_days, now) else ()
    for name in (*checkpoints, *(HEAVY if old else ())):
        if (run.path / name).is_dir():
            yield _item(name, run.project, run.path / name)


def _stores(root: Path, runs: Sequence[Found], kept: set[Path], asked: Limits, now: float) -> Iterator[Item]:
    """Prepared data belongs to the projects whose runs name it; what no run names, to all of them together."""
    users: dict[str, list[Found]] = defaultdict(list)
    for run in runs:
        if run.store is not None:
            users[run.store.name].append(run)
    everyone = [*asked.named.values(), RetentionConfig()]
    for path in sorted((root / "data" / "prepared").glob("[!.]*")):
        named = users[path.name]
        own = [limit for limit in (asked.of(run.project) for run in named) if limit is not None]
        needed = any(run.path in kept or not _past(run.newest, _limit(run, asked).runs_days, now) for run in named)
        days = max((limit.prepared_days for limit in own or everyone), default=0)
        newest = max([_measure(path)[1], *(run.newest for run in named)])
        if path.is_dir() and not needed and (named or asked.every) and _past(newest, days, now):
            yield _item("prepared data", ", ".join(sorted({run.project for run in named})), path)


def _artifacts(known: Mapping[str, Tracked], asked: Limits, now: float) -> Iterator[Item]:
    seen: dict[str, int] = defaultdict(int)
    for run in sorted(known.values(), key=lambda run: (run.number, run.started), reverse=True):
        limit = asked.of(run.project)
        seen[run.project] += not run.variant
        if limit is None or run.registered or run.ended is None or seen[run.project] <= limit.keep_last:
            continue
        if _past(run.ended, limit.artifacts_days, now):
            yield from (_item("MLflow artifacts", run.project, path) for path in run.folders)


def _measure(path: Path) -> tuple[int, float]:
    """Bytes of a file or of all files below a folder, and their latest change; (0, 0.0) for what is gone.

    The times of folders within say nothing: removing something from a folder makes it look new.
    """
    size, newest = 0, 0.0
    waiting = [path]
    while waiting:
        found = waiting.pop()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            told = found.lstat()
            if found.is_dir() and not found.is_symlink():
                inner = list(found.iterdir())
                waiting += inner
                if not inner and found == path:
                    newest = told.st_mtime
            else:
                size, newest = size + told.st_size, max(newest, told.st_mtime)
    return size, newest


def _item(what: str, project: str, path: Path) -> Item:
    return Item(what, project, path, *_measure(path))


def _remove(item: Item) -> bool:
    """Whether it is gone now. What has come into use since it was listed stays."""
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


def _told(items: Sequence[Item], root: Path, applied: bool) -> Collected:
    rows = []
    for item in items:
        path = item.path.relative_to(root) if item.path.is_relative_to(root) else item.path
        rows.append(Past(item.what, item.project, str(path), item.bytes))
    return Collected(applied, tuple(rows), sum(item.bytes for item in items))


def table(collected: Collected) -> list[dict[str, str]]:
    """The items with sizes for people."""
    items = collected.items
    return [{"what": one.what, "project": one.project, "path": one.path, "size": size(one.bytes)} for one in items]


def line(collected: Collected) -> str:
    """The sum, and what to do next."""
    if collected.applied:
        return f"freed {size(collected.bytes)}"
    again = "; nothing was changed: --apply removes them" if collected.items else ""
    return f"{size(collected.bytes)} would be freed{again}"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
