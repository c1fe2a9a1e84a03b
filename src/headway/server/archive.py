"""The file that `headway backup` writes: one plain tar. A list at its end makes every missing or changed file noticeable.

manifest.json        kind of database, versions, the folder it was made in
databases/           prefect.db and mlflow.db (SQLite), or prefect.dump and mlflow.dump (pg_dump -Fc)
artifacts/           mlruns/artifacts
conf/                the projects' YAML
contents.json        every file before it with its size and SHA-256; the rows of each table of the SQLite databases
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, TypeVar

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from headway.errors import ConfigError
from headway.files.atomic import naming
from headway.files.database import disk_problem, reading
from headway.files.disk import disk_error

FORMAT = 2
READ_FORMATS = (1, 2)
"""Format 1 has no contents.json: missing files are not noticed, but its databases are checked."""

FOLDERS = ("databases", "artifacts", "conf")
MANIFEST, CONTENTS = "manifest.json", "contents.json"
SMALL = 64 << 20
MOST_JSON = 256 << 20

Rows = dict[str, dict[str, int]]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Manifest:
    """The description of an archive. ``root``: the folder that it was made in; ``time``: seconds since the epoch."""

    format: int
    database: Literal["sqlite", "postgresql"]
    root: str
    time: FiniteFloat
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """The list at an archive's end. ``files``: the size and SHA-256 of each; ``rows``: those of the tables of each SQLite database."""

    files: dict[str, tuple[int, str]]
    rows: Rows = field(default_factory=dict)


@dataclass(frozen=True)
class _Format:
    """The part of a manifest that is read first: a later format may have other fields, or other types."""

    format: int


class Writer:
    """Adds files to a tar and notes their sizes and digests."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._files: dict[str, tuple[int, str]] = {}

    def add(self, path: Path, name: str) -> None:
        """Add a file as it is now. A small one is read whole first: it may be written meanwhile. Raises FileNotFoundError."""
        with open(path, "rb") as file:
            entry = self._tar.gettarinfo(arcname=name, fileobj=file)
            content: IO[bytes] = io.BytesIO(file.read()) if entry.size <= SMALL else file
            if isinstance(content, io.BytesIO):
                entry.size = len(content.getbuffer())
            self._write(entry, content)

    def add_json(self, name: str, value: Any) -> None:
        """Add a JSON file."""
        content = json.dumps(value, indent=1).encode()
        entry = tarfile.TarInfo(name)
        entry.size, entry.mtime = len(content), int(time.time())
        self._write(entry, io.BytesIO(content))

    def finish(self, rows: Rows) -> None:
        """Add the list of the archive's files, as its last file."""
        self.add_json(CONTENTS, asdict(Contents(self._files, rows)))

    def _write(self, entry: tarfile.TarInfo, content: IO[bytes]) -> None:
        hashed = _Hashed(content)
        self._tar.addfile(entry, hashed)  # pyrefly: ignore
        self._files[entry.name] = (entry.size, hashed.digest())


class _Hashed:
    """A file that computes its digest while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sha = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._sha.update(block)
        return block

    def digest(self) -> str:
        return self._sha.hexdigest()


def damage_error(path: Path, fact: object) -> ConfigError:
    """The error for a file that is no whole backup."""
    line = " ".join(str(fact).splitlines())  # a name in the archive may hold an end of line
    return ConfigError(f"{path} must be an undamaged file of headway backup, but: {line}; nothing was restored")


@contextlib.contextmanager
def reading_archive(path: Path) -> Iterator[tarfile.TarFile]:
    """The open tar. Raises ConfigError, in one line, for all that may be wrong with the file."""
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except FileNotFoundError:
        raise ConfigError(f"{path} must exist, but there is no such file") from None
    except OSError as error:
        raise disk_error(error) or damage_error(path, error.strerror or error) from None
    except (tarfile.TarError, EOFError, ValueError, OverflowError, MemoryError) as error:
        if isinstance(error, ConfigError):
            raise
        raise damage_error(path, error) from None


def manifest_of(tar: tarfile.TarFile, path: Path) -> Manifest:
    """The archive's description. Raises ConfigError where the file is no archive of ours, or has a later format."""
    number = _read(tar, MANIFEST, _Format, path).format
    if number not in READ_FORMATS:
        raise ConfigError(f"{path} must have format {FORMAT}, but has {number}; use the newer Headway")
    return _read(tar, MANIFEST, Manifest, path)


def _read(tar: tarfile.TarFile, name: str, kind: type[Value], path: Path) -> Value:
    """A JSON file of the archive, with the types of all its values checked: later code relies on them."""
    with contextlib.suppress(KeyError):
        entry = tar.getmember(name)
        file = tar.extractfile(entry) if entry.isreg() and entry.size <= MOST_JSON else None
        if file is not None:
            try:
                return TypeAdapter(kind).validate_json(file.read(), strict=True)
            except ValidationError as error:
                problem = error.errors()[0]
                place = ".".join([name, *map(str, problem["loc"])])
                raise damage_error(path, f"{place}: {problem['msg']}") from None
    raise damage_error(path, f"it has no {name} that can be read")


def entries(tar: tarfile.TarFile, path: Path) -> list[tarfile.TarInfo]:
    """The files of an archive. Raises ConfigError for links, devices, names that lead elsewhere or stand there twice."""
    files: dict[str, tarfile.TarInfo] = {}
    for entry in tar:
        name = PurePosixPath(entry.name)
        if name.is_absolute() or ".." in name.parts or "\0" in entry.name or not name.parts:
            raise damage_error(path, f"{entry.name!r} points outside of it")
        if not (entry.isreg() or entry.isdir()) or entry.issparse():
            raise damage_error(path, f"{entry.name} is neither a file nor a folder")
        if name.parts[0] not in FOLDERS and entry.name not in (MANIFEST, CONTENTS):
            raise damage_error(path, f"{entry.name} does not belong there")
        if entry.isreg():
            if str(name) in files:
                raise damage_error(path, f"{entry.name} is there twice")
            files[str(name)] = entry
    return list(files.values())


def unpack(path: Path, folder: Path | None) -> Rows:
    """Read a whole archive, and write its files below ``folder`` if given. Returns the rows that its tables must have.

    Raises ConfigError where anything is missing, differs from the list, or has no room.
    """
    with reading_archive(path) as tar:
        manifest, files = manifest_of(tar, path), entries(tar, path)
        _refuse_full(folder, files)
        contents = _read(tar, CONTENTS, Contents, path) if manifest.format > 1 else None
        digests = {entry.name: (entry.size, _copy(tar, entry, folder)) for entry in files if entry.name != CONTENTS}
    if contents is not None and digests != (list_at_end := contents.files):
        names = [
            name for name in sorted(digests.keys() | list_at_end.keys()) if digests.get(name) != list_at_end.get(name)
        ]
        missing = names[0] not in digests
        raise damage_error(path, f"{names[0]} {'is missing' if missing else 'is changed'}")
    if not any(name.startswith("databases/") for name in digests):
        raise damage_error(path, "it holds no database")
    return {} if contents is None else contents.rows


def _refuse_full(folder: Path | None, files: list[tarfile.TarInfo]) -> None:
    if folder is None:
        return
    need, free = sum(entry.size for entry in files), shutil.disk_usage(folder).free
    if need > free:
        fact = f"{folder.parent} has room for {free / 1e6:.0f} MB"
        raise ConfigError(f"the disk must have room for the backup's {need / 1e6:.0f} MB, but {fact}; free some space")


def _copy(tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path | None) -> str:
    """The digest of an entry, which is written below ``folder`` on the way and synced."""
    file, sha, size = tar.extractfile(entry), hashlib.sha256(), 0
    assert file is not None
    with _new_file(folder / entry.name) if folder is not None else contextlib.nullcontext() as out:
        while block := file.read(1 << 20):
            sha.update(block)
            size += len(block)
            if out is not None:
                out.write(block)
    if size != entry.size:
        raise tarfile.ReadError(f"{entry.name} is cut off")
    return sha.hexdigest()


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file, which is on the disk after the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_private = path.parent.name == "databases"  # they hold Prefect's secrets
    opener = partial(os.open, mode=0o600) if is_private else None
    with naming(path), open(path, "xb", opener=opener) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def rows_of(path: Path) -> dict[str, int]:
    """Table by table, the rows of an SQLite file that is whole. Raises ConfigError where it is not."""
    try:
        with contextlib.closing(reading(path)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            counts = {str(name): _count(connection, str(name)) for (name,) in tables}
    except sqlite3.Error as error:
        raise disk_problem(error, path) or ConfigError(f"{path.name} must be a whole database, but: {error}") from None
    if not counts:
        raise ConfigError(f"{path.name} must be a whole database, but it has no tables")
    return counts


def _count(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    return int(connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])


def refuse_other_rows(path: Path, rows: Mapping[str, int]) -> None:
    """Raises ConfigError where a database of an archive is damaged or, with ``rows``, has other numbers of rows."""
    counts = rows_of(path)
    if rows and counts != dict(rows):
        name = next(name for name in sorted(counts.keys() | rows.keys()) if counts.get(name) != rows.get(name))
        fact = f"table {name} has {counts.get(name)} rows, not {rows.get(name)}"
        raise ConfigError(f"{path.name} must have the rows that the backup lists, but {fact}")
