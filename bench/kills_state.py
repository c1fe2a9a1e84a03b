"""What a folder must hold after a kill, for `bench/kills.py`: looked at from outside, with MLflow's and SQLite's own eyes."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from headway import tracking
from headway.doctor import main as doctor
from headway.files import checksums
from headway.files.atomic import read_json
from headway.files.database import reading, sqlite_file
from headway.files.leftovers import leftovers
from headway.run.lifetime import dead
from headway.server.placing import PENDING
from headway.tracking.decisions import MOVES

KINDS = (
    "commands that fail afterwards",
    "tracebacks",
    "processes that outlive it",
    "runs left open",
    "runs lost or doubled",
    "metrics told twice",
    "projects without one whole champion",
    "rollbacks to another version",
    "restored folders that lack something",
    "findings of the doctor",
    "damaged databases",
    "files that gc does not clear",
)
ORPHAN_SECONDS = 40.0
DAYS = 2 * 86_400.0


@dataclass
class Wrong:
    """What went wrong, by kind."""

    texts: list[str] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, text: str) -> None:
        """Note one thing."""
        assert kind in KINDS
        self._counts[kind] += 1
        self.texts.append(f"{kind}: {text}")

    def count(self, kind: str) -> int:
        """How many of a kind."""
        return self._counts[kind]

    def summary(self) -> str:
        """One line."""
        return ", ".join(f"{count} {kind}" for kind, count in self._counts.items()) or "nothing wrong"


def orphans(root: Path) -> list[str]:
    """Processes that still work in the folder after ORPHAN_SECONDS; they are ended, so that the next kill is judged by itself."""
    until = time.monotonic() + ORPHAN_SECONDS
    while at_work := _at_work(root):
        if time.monotonic() > until:
            break
        time.sleep(0.2)
    lines = []
    for process in at_work:
        with contextlib.suppress(psutil.NoSuchProcess):
            lines.append(" ".join(process.cmdline())[:300])
            process.kill()
    return lines


def _at_work(root: Path) -> list[psutil.Process]:
    """The processes whose current folder lies within ``root``."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            inside = Path(process.cwd()).is_relative_to(root) and process.status() != psutil.STATUS_ZOMBIE
            if inside and process.pid != os.getpid():
                processes.append(process)
    return processes


def counts(root: Path) -> dict[str, int]:
    """Rows that only ever become more: runs and versions."""
    with contextlib.closing(reading(sqlite_file(root, "mlflow"))) as database:
        return {
            table: int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
            for table in ("runs", "model_versions")
        }


def state(root: Path, restored: Path, projects: Sequence[str], before: dict[str, int], wrong: Wrong) -> None:
    """Add what the folder should not hold, or lacks."""
    for place in (root, restored):
        _databases(place, wrong)
    _runs(root, before, wrong)
    for name in projects:
        _champion(root, name, wrong)
    _files(root, wrong)
    for finding in doctor.examine(root):
        wrong.add("findings of the doctor", finding.line(root))


def _databases(root: Path, wrong: Wrong) -> None:
    for part in ("prefect", "mlflow"):
        path = sqlite_file(root, part)
        if path.exists():
            with contextlib.closing(reading(path)) as database:
                (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                wrong.add("damaged databases", f"{path}: {verdict}")


def _runs(root: Path, before: dict[str, int], wrong: Wrong) -> None:
    for run in dead(root):
        wrong.add("runs left open", str(run.path))
    with contextlib.closing(reading(sqlite_file(root, "mlflow"))) as database:
        for (name,) in database.execute("SELECT name FROM runs WHERE status = 'RUNNING'"):
            wrong.add("runs left open", f"MLflow: {name}")
        doubled = "SELECT value FROM tags WHERE key = 'headway.key' GROUP BY value HAVING count(*) > 1"
        for (key,) in database.execute(doubled):
            wrong.add("runs lost or doubled", f"key {key} twice")
        doubled = "SELECT run_id FROM model_versions GROUP BY run_id HAVING count(*) > 1"
        for (run_id,) in database.execute(doubled):
            wrong.add("runs lost or doubled", f"run {run_id} has two versions")
        # A stage that a resumed run does again takes other seconds, and both are true.
        query = "SELECT run_uuid, key, step FROM metrics WHERE key NOT LIKE 'timing/%'"
        doubled = f"{query} GROUP BY run_uuid, key, step HAVING count(*) > 1 LIMIT 3"
        for row in database.execute(doubled):
            wrong.add("metrics told twice", str(row))
        run_ids = {run_id for (run_id,) in database.execute("SELECT run_uuid FROM runs")}
    for path in (root / "data" / "runs").glob("*/tracking.json"):
        run_id = read_json(path)["run_id"]
        if run_id is not None and run_id not in run_ids:
            wrong.add("runs lost or doubled", f"{path.parent.name} is not in MLflow")
    for table, count in counts(root).items():
        if count < before[table]:
            wrong.add("runs lost or doubled", f"{table}: {count} rows, {before[table]} before")


def _champion(root: Path, name: str, wrong: Wrong) -> None:
    query = (
        "SELECT source FROM registered_model_aliases JOIN model_versions USING (name, version) "
        "WHERE name = ? AND alias = 'champion'"
    )
    with contextlib.closing(reading(sqlite_file(root, "mlflow"))) as database:
        sources = [Path(str(source)) for (source,) in database.execute(query, (name,))]
    bundle = sources[0] / "artifacts" / "bundle" if len(sources) == 1 else root
    if not (bundle / checksums.NAME).exists() or next(checksums.damages(bundle), None) is not None:
        wrong.add("projects without one whole champion", f"{name}: {sources}")


def _files(root: Path, wrong: Wrong) -> None:
    """What is hidden and half written beside what `headway gc` would clear two days later; that goes, too."""
    for path in list(leftovers(root, time.time() + DAYS)):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in root.rglob(".*"):
        if path.suffix in (".partial", ".working", ".trash", ".parts") or path.name.startswith(".headway-"):
            wrong.add("files that gc does not clear", str(path))


def in_charge(root: Path, name: str) -> tuple[str | None, str | None, bool]:
    """The versions that are `champion` and `previous`, and whether a rollback was the last change."""
    query = "SELECT alias, version FROM registered_model_aliases WHERE name = ?"
    with contextlib.closing(reading(sqlite_file(root, "mlflow"))) as database:
        aliases = {str(alias): str(version) for alias, version in database.execute(query, (name,))}
    moves = [one for one in tracking.history(root, name) if one.kind in MOVES]
    return aliases.get("champion"), aliases.get("previous"), bool(moves) and moves[-1].kind == "rollback"


def holding(root: Path) -> dict[str, int]:
    """What a backup must bring back: rows, files of runs and models, and YAML files."""
    artifacts = (path for path in (root / "mlruns" / "artifacts").rglob("*") if path.is_file())
    return {**counts(root), "artifacts": sum(1 for _ in artifacts), "conf": len(list((root / "conf").glob("*.yaml")))}


def restored(root: Path, counts: dict[str, int], wrong: Wrong) -> None:
    """Compare what was restored with what was kept."""
    contents = holding(root) if sqlite_file(root, "mlflow").exists() else {}
    if contents != counts or (root / PENDING).exists():
        wrong.add("restored folders that lack something", f"{contents}, kept: {counts}")
    for finding in doctor.examine(root):
        wrong.add("findings of the doctor", f"restored: {finding.line(root)}")
