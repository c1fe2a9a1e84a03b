"""`headway status` and `headway down`: what runs in this folder, and stopping it."""

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
    """Where Prefect and MLflow have their databases, and the problem with them, if any."""

    kind: str
    problem: str | None = None
    prefect: str | None = None
    mlflow: str | None = None


@dataclass(frozen=True)
class RunState(Record):
    """A run directory and its state."""

    run: str
    state: str


@dataclass(frozen=True)
class Disk(Record):
    """Bytes of the folders, and free bytes."""

    used: Mapping[str, int]
    free: int


@dataclass(frozen=True)
class Status(Record):
    """The output of `headway status`."""

    root: str
    up: Up | None
    temporary_server: str | None
    database: DatabaseState
    versions: Mapping[str, str]
    runs: tuple[RunState, ...]
    disk: Disk


def status(root: Path) -> Status:
    """Servers and whether they answer, database, versions, last runs, disk. Does not raise where a server is down."""
    servers = running(root)
    up = None
    if servers is not None:
        checks = {"prefect": f"{servers.prefect}/api/health", "mlflow": f"{servers.mlflow}/health"}
        answering = {name: answers(address) for name, address in checks.items()}
        up = Up(servers.pid, servers.prefect, servers.mlflow, answering)
    packages = ("prefect", "mlflow")
    sizes = {name: _size(root / name) for name in FOLDERS if (root / name).is_dir()}
    return Status(
        root=str(root),
        up=up,
        temporary_server=_temporary(root),
        database=_database(root),
        versions={"headway": __version__, **{name: importlib.metadata.version(name) for name in packages}},
        runs=tuple(_runs(root)),
        disk=Disk(sizes, shutil.disk_usage(root).free),
    )


def _temporary(root: Path) -> str | None:
    server = keeper(root / ".prefect")
    return None if server is None else server.address


def _database(root: Path) -> DatabaseState:
    try:
        setting = database()
        if setting is None:
            return DatabaseState("sqlite", **{part: str(sqlite_file(root, part)) for part in PARTS})
        state = DatabaseState("postgresql", **{part: setting.address(part) for part in PARTS})
        try:
            for part in PARTS:
                connect(setting, setting.database(part)).close()
        except ConfigError as error:
            return replace(state, problem=str(error))
        return state
    except HeadwayError as error:
        return DatabaseState("postgresql", str(error))


def _runs(root: Path) -> list[RunState]:
    """The newest run directories and their states."""
    folders = [path.parent for path in (root / "data" / "runs").glob("*/run.json")]
    dead_paths = {run.path for run in dead(root)}
    rows = []
    for path in sorted(folders, key=lambda path: (RunDirectory(path).number, path.name), reverse=True)[:RUNS_SHOWN]:
        rows.append(RunState(path.name, _state(RunDirectory(path), path in dead_paths)))
    return rows


def _state(run: RunDirectory, is_dead: bool) -> str:
    if is_dead or (run.path / "owner.gone").exists():
        return "its process was killed"
    if (run.path / "owner.lock").exists():
        return "running"
    with contextlib.suppress(OSError, ValueError, KeyError):
        ending = read_json(run.path / "tracking.json")["ending"]
        return "not concluded" if ending is None else str(ending["status"]).lower()
    return "done" if run.result is not None else "not begun"


def _size(folder: Path) -> int:
    """Bytes of a folder's files, without those that disappear meanwhile."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(base, name)).st_size  # noqa: PTH118 - a million files, and no Path for each
    return total


def lines(status: Status) -> list[str]:
    """The status as lines for people."""
    up, base = status.up, status.database
    texts = ["headway up does not run here"]
    if up is not None:
        texts = [f"headway up  process {up.pid}"]
        for name in PARTS:
            texts.append(
                f"{PARTS[name]:10}  {getattr(up, name)}  {'answers' if up.answers[name] else 'does not answer'}"
            )
    if status.temporary_server:
        texts.append(f"temporary Prefect server  {status.temporary_server}")
    texts.append(f"database    {base.prefect or base.kind}, {base.mlflow or ''}".rstrip(", "))
    if base.problem:
        texts.append(f"problem     {base.problem}")
    texts.append("versions    " + ", ".join(f"{name} {version}" for name, version in status.versions.items()))
    texts += [f"run         {run.run}  {run.state}" for run in status.runs]
    sizes = ", ".join(f"{name}/ {size / 1e6:.0f} MB" for name, size in status.disk.used.items())
    return [*texts, f"disk        {sizes or 'nothing yet'}; {status.disk.free / 1e9:.1f} GB free"]


def down(root: Path) -> list[int]:
    """Stop this folder's `headway up`, or each that serves a part, and wait. Returns their processes. Raises ConfigError if one stays."""
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
