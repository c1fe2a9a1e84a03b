"""`headway status` and `headway down`: what runs in this folder, and its end."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from headway import __version__
from headway.errors import ConfigError, HeadwayError
from headway.files.atomic import read_json
from headway.files.database import PARTS, connect, database, sqlite_file
from headway.files.records import Record
from headway.machine.processes import answers
from headway.run.directory import RunDirectory
from headway.run.lifetime import dead
from headway.server.local import running
from headway.server.owner import Owner, ask_to_stop, owners
from headway.server.temporary import keeper

RUNS_SHOWN = 5
DOWN_SECONDS = 60.0
FOLDERS = ("data", "mlruns", ".prefect", "backups")


@dataclass(frozen=True)
class Up(Record):
    """`headway up`: its process, the addresses of its servers, and which of them answer."""

    pid: int
    prefect: str
    mlflow: str
    answers: Mapping[str, bool]


@dataclass(frozen=True)
class DatabaseState(Record):
    """Where Prefect and MLflow keep theirs, and what is wrong with it."""

    kind: str
    problem: str | None = None
    prefect: str | None = None
    mlflow: str | None = None


@dataclass(frozen=True)
class RunState(Record):
    """A run directory, and how it stands with it."""

    run: str
    state: str


@dataclass(frozen=True)
class Disk(Record):
    """Bytes that the folders take, and that are free."""

    used: Mapping[str, int]
    free: int


@dataclass(frozen=True)
class Status(Record):
    """What `headway status` says."""

    root: str
    up: Up | None
    temporary_server: str | None
    database: DatabaseState
    versions: Mapping[str, str]
    runs: tuple[RunState, ...]
    disk: Disk


def status(root: Path) -> Status:
    """Servers and whether they answer, database, versions, last runs, disk. Never raises for what is down."""
    servers = running(root)
    up = None
    if servers is not None:
        checks = {"prefect": f"{servers.prefect}/api/health", "mlflow": f"{servers.mlflow}/health"}
        answering = {name: answers(address) for name, address in checks.items()}
        up = Up(servers.pid, servers.prefect, servers.mlflow, answering)
    packages = ("prefect", "mlflow")
    used = {name: _size(root / name) for name in FOLDERS if (root / name).is_dir()}
    return Status(
        root=str(root),
        up=up,
        temporary_server=_temporary(root),
        database=_database(root),
        versions={"headway": __version__, **{name: importlib.metadata.version(name) for name in packages}},
        runs=tuple(_runs(root)),
        disk=Disk(used, shutil.disk_usage(root).free),
    )


def _temporary(root: Path) -> str | None:
    kept = keeper(root / ".prefect")
    return None if kept is None else kept.address


def _database(root: Path) -> DatabaseState:
    try:
        found = database()
        if found is None:
            return DatabaseState("sqlite", **{part: str(sqlite_file(root, part)) for part in PARTS})
        told = DatabaseState("postgresql", **{part: found.shown(part) for part in PARTS})
        try:
            for part in PARTS:
                connect(found, found.database(part)).close()
        except ConfigError as error:
            return replace(told, problem=str(error))
        return told
    except HeadwayError as error:
        return DatabaseState("postgresql", str(error))


def _runs(root: Path) -> list[RunState]:
    """The newest run directories: their name, and how it stands with them."""
    folders = [path.parent for path in (root / "data" / "runs").glob("*/run.json")]
    lost = {run.path for run in dead(root)}
    rows = []
    for path in sorted(folders, key=lambda path: (RunDirectory(path).number, path.name), reverse=True)[:RUNS_SHOWN]:
        rows.append(RunState(path.name, _state(RunDirectory(path), path in lost)))
    return rows


def _state(run: RunDirectory, lost: bool) -> str:
    if lost or (run.path / "owner.gone").exists():
        return "its process was killed"
    if (run.path / "owner.lock").exists():
        return "running"
    with contextlib.suppress(OSError, ValueError, KeyError):
        ending = read_json(run.path / "tracking.json")["ending"]
        return "not concluded" if ending is None else str(ending["status"]).lower()
    return "done" if run.result is not None else "not begun"


def _size(folder: Path) -> int:
    """Bytes of a folder's files; what goes while we look does not count."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(base, name)).st_size  # noqa: PTH118 - a million files, and no Path for each
    return total


def lines(found: Status) -> list[str]:
    """What `status` found, for people."""
    up, base = found.up, found.database
    told = ["headway up does not run here"]
    if up is not None:
        told = [f"headway up  process {up.pid}"]
        for name in PARTS:
            told.append(
                f"{PARTS[name]:10}  {getattr(up, name)}  {'answers' if up.answers[name] else 'does not answer'}"
            )
    if found.temporary_server:
        told.append(f"temporary Prefect server  {found.temporary_server}")
    told.append(f"database    {base.prefect or base.kind}, {base.mlflow or ''}".rstrip(", "))
    if base.problem:
        told.append(f"problem     {base.problem}")
    told.append("versions    " + ", ".join(f"{name} {version}" for name, version in found.versions.items()))
    told += [f"run         {run.run}  {run.state}" for run in found.runs]
    used = ", ".join(f"{name}/ {size / 1e6:.0f} MB" for name, size in found.disk.used.items())
    return [*told, f"disk        {used or 'nothing yet'}; {found.disk.free / 1e9:.1f} GB free"]


def down(root: Path) -> list[int]:
    """Stop this folder's `headway up`, or each that serves a part, and wait; their processes. Raises ConfigError if one stays."""
    return [_stop(holder) for holder in owners(root)]


def _stop(holder: Owner) -> int:
    if not holder.is_here:
        where = f"on {holder.host}" if holder.host else "where this command does not see it"
        raise ConfigError(
            f"headway up must run on this machine to be stopped from here, but runs {where}; stop it there"
        )
    ask_to_stop(holder)
    deadline = time.monotonic() + DOWN_SECONDS
    while holder.is_here:
        if time.monotonic() > deadline:
            fix = f"look at .prefect/logs, or kill -9 {holder.pid}"
            raise ConfigError(f"headway up must stop within {DOWN_SECONDS:.0f} s, but it does not; {fix}")
        time.sleep(0.1)
    return holder.pid
