"""`headway backup` and `headway restore`: both databases, the artifacts and conf/ in one plain tar file.

manifest.json        what is inside: kind of database, versions, the folder it was made in
databases/           prefect.db and mlflow.db (SQLite), or prefect.dump and mlflow.dump (pg_dump -Fc)
artifacts/           mlruns/artifacts
conf/                the projects' YAML
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headway import __version__
from headway.base import ConfigError, find_root, stamp
from headway.database import PARTS, Database, check_versions, connect, database, make_databases, sqlite_file
from headway.local import running

FORMAT = 1
# Where MLflow wrote down absolute places: a project restored into another folder finds its artifacts again.
PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}


def backup(root: Path, to: str) -> dict[str, Any]:
    """Write a backup while everything runs; what it holds. Databases come first, so all that they name is inside.

    ``to``: a file, or a folder (one that exists, or ends in /). Raises ConfigError when there is nothing to keep, when
    PostgreSQL does not answer, or when the file exists.
    """
    path = _target(root, to)
    found = database()
    check_versions(root, found)
    if found is None and not any(sqlite_file(root, part).exists() for part in PARTS):
        raise ConfigError(f"{root} must have a database to keep, however nothing ran here yet; headway run NAME")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".headway-backup-") as folder:
            kept = _dump_databases(root, found, Path(folder))
            if not kept:
                raise ConfigError(
                    f"{root} must have a database to keep, however nothing ran here yet; headway run NAME"
                )
            with open(partial, "wb") as file:
                with tarfile.open(fileobj=file, mode="w") as tar:
                    _add_manifest(tar, root, found)
                    for name in kept:
                        tar.add(Path(folder) / name, f"databases/{name}")
                    _add_folder(tar, root / "mlruns" / "artifacts", "artifacts")
                    _add_folder(tar, root / "conf", "conf")
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    what = f"{' and '.join(kept)}, artifacts, conf/"
    return {"file": str(path), "bytes": path.stat().st_size, "what": what}


def _target(root: Path, to: str) -> Path:
    path = Path(to)
    if to.endswith("/") or path.is_dir():
        # The default folder belongs to the project, wherever below it one stands.
        base = root / path if to == "backups/" else path
        path = base / f"headway-{stamp()}.tar"
    if path.exists():
        raise ConfigError(f"--to must name a new file, however {path} exists")
    return path


def _add_manifest(tar: tarfile.TarFile, root: Path, found: Database | None) -> None:
    packages = {name: importlib.metadata.version(name) for name in PARTS}
    manifest = {
        "format": FORMAT,
        "database": "sqlite" if found is None else "postgresql",
        "versions": {"headway": __version__, **packages},
        "root": str(root),
        "time": time.time(),
    }
    content = json.dumps(manifest, indent=1).encode()
    entry = tarfile.TarInfo("manifest.json")
    entry.size, entry.mtime = len(content), int(manifest["time"])
    tar.addfile(entry, io.BytesIO(content))


def _add_folder(tar: tarfile.TarFile, folder: Path, name: str) -> None:
    """Add a folder's files; one that goes while we read was not registered yet, or is not any more."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and not path.name.endswith(".partial"):
            with contextlib.suppress(FileNotFoundError):
                tar.add(path, f"{name}/{path.relative_to(folder)}", recursive=False)


def _dump_databases(root: Path, found: Database | None, folder: Path) -> list[str]:
    if found is not None:
        for part in PARTS:
            _postgres("pg_dump", found, part, "-Fc", "--no-owner", "-f", str(folder / f"{part}.dump"))
        return [f"{part}.dump" for part in PARTS]
    kept = []
    for part in PARTS:
        path = sqlite_file(root, part)
        if path.exists():
            _copy_sqlite(path, folder / f"{part}.db")
            kept.append(f"{part}.db")
    return kept


def _copy_sqlite(source: Path, copy: Path) -> None:
    """SQLite's online backup: whole and consistent, while others write."""
    uri = f"file:{source}?mode=ro"
    with (
        contextlib.closing(sqlite3.connect(uri, uri=True, timeout=60)) as old,
        contextlib.closing(sqlite3.connect(copy)) as new,
    ):
        old.backup(new)


def _postgres(tool: str, found: Database, part: str, *words: str) -> None:
    """Run one of PostgreSQL's own tools; the password goes by the environment. Raises ConfigError in one line."""
    program = shutil.which(tool) or next(
        iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{tool}"), reverse=True)), None
    )
    if program is None:
        raise ConfigError(f"{tool} must be installed, however it is not; install PostgreSQL's client tools")
    place = ["-h", found.host, "-p", str(found.port), "-d", found.database(part)]
    user = ["-U", found.user] if found.user else []
    done = subprocess.run([str(program), *place, *user, "--no-password", *words], capture_output=True, text=True)
    if done.returncode:
        said = next(iter(done.stderr.strip().splitlines()), f"exit code {done.returncode}")
        raise ConfigError(f"{tool} of {found.shown(part)} must succeed, however: {said}")


def empty_root() -> Path:
    """The project to restore into: the folder that has conf/, else the current one."""
    with contextlib.suppress(ConfigError):
        return find_root()
    return Path.cwd()


def restore(file: str, root: Path) -> dict[str, Any]:
    """Bring a backup back into a project where nothing is yet. Raises ConfigError when something is, and changes nothing."""
    found = database()
    servers = running(root)
    if servers is not None:
        raise ConfigError(f"headway up must not run while restoring, however process {servers.pid} does; headway down")
    with _opened(Path(file)) as tar:
        manifest = _manifest(tar, file)
        _refuse_unlike(manifest, found, file)
        _refuse_taken(root, tar, found)
        with tempfile.TemporaryDirectory(dir=root, prefix=".headway-restore-") as folder:
            try:
                tar.extractall(folder, filter="data")
            except (tarfile.TarError, EOFError, OSError) as error:
                raise ConfigError(f"{file} must be a whole backup, however: {error}; nothing was restored") from None
            _put_back(Path(folder), root, found, str(manifest["root"]))
    kinds = f"{manifest['database']} databases, artifacts, conf/"
    return {"root": str(root), "what": kinds, "made": manifest["time"]}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except FileNotFoundError:
        raise ConfigError(f"{path} must exist, however there is no such file") from None
    except (tarfile.TarError, IsADirectoryError) as error:
        raise ConfigError(f"{path} must be what headway backup wrote, however: {error}") from None


def _manifest(tar: tarfile.TarFile, file: str) -> dict[str, Any]:
    try:
        content = tar.extractfile("manifest.json")
        assert content is not None
        manifest = json.loads(content.read())
    except (KeyError, ValueError):
        raise ConfigError(f"{file} must be what headway backup wrote, however it has no manifest.json") from None
    if manifest.get("format") != FORMAT:
        raise ConfigError(f"{file} must have format {FORMAT}, however it has {manifest.get('format')}")
    return dict(manifest)


def _refuse_unlike(manifest: dict[str, Any], found: Database | None, file: str) -> None:
    here = "sqlite" if found is None else "postgresql"
    if manifest["database"] != here:
        fix = "set HEADWAY_DATABASE" if found is None else "unset HEADWAY_DATABASE"
        raise ConfigError(f"{file} must be restored into {manifest['database']}, however this is {here}; {fix}")


def _refuse_taken(root: Path, tar: tarfile.TarFile, found: Database | None) -> None:
    """Raises ConfigError when restoring would overwrite anything; a YAML that is the same already is no obstacle."""
    taken = [sqlite_file(root, part) for part in PARTS] if found is None else []
    for path in (*taken, root / "mlruns" / "artifacts"):
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise ConfigError(f"a backup must be restored into an empty project, however {path} is there")
    for entry in tar:
        path = root / entry.name
        content = tar.extractfile(entry) if entry.name.startswith("conf/") else None
        if content is not None and path.exists() and path.read_bytes() != content.read():
            raise ConfigError(f"a backup must be restored into an empty project, however {path} is another one")
    if found is None:
        return
    make_databases(found)
    for part in PARTS:
        with contextlib.closing(connect(found, found.database(part))) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            row = cursor.fetchone()
            if row is not None and row[0]:
                fact = f"it has {row[0]} tables"
                raise ConfigError(f"{found.shown(part)} must be empty before a backup is restored, however {fact}")


def _put_back(folder: Path, root: Path, found: Database | None, old: str) -> None:
    """The databases come last: before they are there, the project counts as empty and can be restored again."""
    artifacts = folder / "artifacts"
    if artifacts.is_dir():
        (root / "mlruns").mkdir(exist_ok=True)
        with contextlib.suppress(OSError):  # an empty one
            (root / "mlruns" / "artifacts").rmdir()
        artifacts.rename(root / "mlruns" / "artifacts")
    for path in sorted((folder / "conf").rglob("*")):
        target = root / "conf" / path.relative_to(folder / "conf")
        if path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    if found is not None:
        for part in PARTS:
            dump = str(folder / "databases" / f"{part}.dump")
            _postgres("pg_restore", found, part, "--no-owner", "--exit-on-error", "--single-transaction", dump)
        with contextlib.closing(connect(found, found.database("mlflow"))) as connection, connection:
            _move_places(connection.cursor(), old, str(root), "%s")
        return
    for path in (folder / "databases").glob("*.db"):
        if path.stem == "mlflow":
            with contextlib.closing(sqlite3.connect(path)) as copy, copy:
                copy.execute("PRAGMA journal_mode=WAL")
                _move_places(copy.cursor(), old, str(root), "?")
        target = sqlite_file(root, path.stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def _move_places(cursor: Any, old: str, new: str, mark: str) -> None:
    """Put the new folder where MLflow wrote down the old one."""
    for table, columns in PLACES.items():
        for column in columns:
            statement = f"UPDATE {table} SET {column} = {mark} || substr({column}, {mark}) WHERE {column} LIKE {mark}"
            cursor.execute(statement, (new, len(old) + 1, f"{old}/%"))
