"""Corrects the absolute paths that MLflow and Prefect record, which are wrong after the project's folder was moved or copied.

Headway's own files have paths relative to the project's folder. The first command in the new folder corrects those in MLflow's database,
and Prefect's of `prefect deploy`, in one transaction. A copy then has artifacts of its own, and writes nothing into the folder that it
was copied from.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.errors import ConfigError
from headway.files.database import sqlite_file
from headway.run import lifetime

PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}
"""The columns in which MLflow records absolute paths."""

COLUMNS = {
    "?": "SELECT name FROM pragma_table_info(?)",
    "%s": "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s",
}
"""The query for a table's columns, by the driver's placeholder: SQLite's, and PostgreSQL's."""

WAIT_SECONDS = 20
_LOCATION = re.compile(r"(?:file://)?(?P<root>/.*)(?P<rest>/mlruns/artifacts/.+)")
_DEFAULT = re.compile(r"(?:file://)?(?P<root>/.*)(?P<rest>/mlruns/\d+)")
"""MLflow's default experiment lies below the folder in which a command first ran, which need not be the project's."""


@dataclass(frozen=True)
class Elsewhere:
    """An experiment of the project in ``root`` whose artifacts MLflow looks for below the folder ``former``."""

    root: Path
    former: Path
    rest: str

    @property
    def here(self) -> Path:
        """The right place of its artifacts."""
        return Path(f"{self.root}{self.rest}")

    @property
    def there(self) -> Path:
        """The place of its artifacts in MLflow."""
        return Path(f"{self.former}{self.rest}")

    @property
    def ours(self) -> bool:
        """Whether the database came with its folder; otherwise another folder uses this database for artifacts of its own."""
        return self.here.is_dir() or not _is_there(self.there) or _is_there(sqlite_file(self.former, "mlflow"))

    @property
    def copy(self) -> bool:
        """Whether both folders have artifacts of one run. The other folder's database is not opened, as even reading would write there."""
        try:
            return bool(
                {path.name for path in self.here.iterdir()} & {path.name for path in self.there.iterdir()} - {"models"}
            )
        except FileNotFoundError:
            return False
        except OSError:  # it exists, but this user may not read it
            return True


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # this user may not read it
        return True


def former(root: Path) -> list[Path]:
    """The folders that MLflow names instead of this one; none where its database cannot be read. Changes nothing."""
    path = sqlite_file(root, "mlflow")
    if not path.exists() or not path.stat().st_size:
        return []
    with contextlib.suppress(sqlite3.Error), _open(path, "ro") as database:
        return list(dict.fromkeys(one.former for one in elsewhere(database.cursor(), root.resolve())))
    return []


def settle(root: Path) -> list[str]:
    """Correct the paths in a project's own databases. Returns one line for each folder that they named instead of this one.

    Takes a millisecond where all paths are right. Raises sqlite3.Error or OSError where a database cannot be read or written, and
    ConfigError where a run of the folder is at work under the former path.
    """
    path, root = sqlite_file(root, "mlflow"), root.resolve()
    if not path.exists() or not path.stat().st_size:
        return []
    with _open(path, "ro") as database:
        has_moved = elsewhere(database.cursor(), root)
    if not has_moved:
        return []
    working = lifetime.others(root)
    if working:  # it reaches this folder by another path: a bind mount, or in a container
        raise ConfigError(
            f"a folder must keep its path while a run works in it, but {working[0]} works in {root} by its path {has_moved[0].former}; "
            "use that path, or wait until the run has ended"
        )
    lines = [_line(one) for one in {one.former: one for one in reversed(has_moved)}.values()]
    # MLflow's database comes last, as it has the former path: after a kill before that, all is done again.
    _settle_prefect(sqlite_file(root, "prefect"), {str(one.former) for one in has_moved}, str(root))
    with _open(path, "rw") as database:
        database.execute("BEGIN IMMEDIATE")
        for one in elsewhere(database.cursor(), root):
            rename(database.cursor(), str(one.there), str(one.here), "?")
        database.commit()
    return lines


def settle_shared(connection: Any, root: Path) -> None:
    """The same for a PostgreSQL database, which other folders may share. A copy is refused, as it would write into their artifacts.

    Raises ConfigError for a copy.
    """
    cursor, root = connection.cursor(), root.resolve()
    for one in elsewhere(cursor, root):
        if one.copy:
            raise ConfigError(
                f"a copy of a project must have a database of its own, but {root} is a copy of {one.former} and HEADWAY_DATABASE names the "
                "database of both; name another one"
            )
        if one.here.is_dir() and not _is_there(one.there):
            rename(cursor, str(one.there), str(one.here), "%s")
    connection.commit()


def elsewhere(cursor: Any, root: Path) -> list[Elsewhere]:
    """The experiments whose artifacts came with this folder, but are looked for in another one."""
    cursor.execute("SELECT artifact_location FROM experiments")
    locations = [str(location) for (location,) in cursor.fetchall()]

    def matching(shape: re.Pattern[str]) -> Iterator[Elsewhere]:
        for parts in filter(None, map(shape.fullmatch, locations)):
            if Path(parts["root"]) != root:
                yield Elsewhere(root, Path(parts["root"]), parts["rest"])

    ours = [one for one in matching(_LOCATION) if one.ours]
    former = {one.former for one in ours}
    return ours + [one for one in matching(_DEFAULT) if one.former in former]


def rename(cursor: Any, old: str, new: str, mark: str) -> None:
    """Replace the folder ``old`` by ``new`` in the paths of MLflow. ``mark``: the driver's placeholder for a value.

    A second call changes nothing, even where ``new`` lies within ``old``. Columns that an earlier MLflow's database lacks are left out.
    """
    for table, columns in PLACES.items():
        cursor.execute(COLUMNS[mark], (table,))
        there = {name for (name,) in cursor.fetchall()}
        for column in filter(there.__contains__, columns):
            for before, after in ((old, new), (f"file://{old}", f"file://{new}")):
                within = f"({column} = {mark} OR substr({column}, 1, {mark}) = {mark})"
                query = f"UPDATE {table} SET {column} = {mark} || substr({column}, {mark}) WHERE {within}"
                values = [after, len(before) + 1, before, len(before) + 1, f"{before}/"]
                if after.startswith(f"{before}/"):
                    query, values = f"{query} AND NOT {within}", [*values, after, len(after) + 1, f"{after}/"]
                cursor.execute(query, values)


def _line(one: Elsewhere) -> str:
    if one.copy:
        return f"this folder is a copy of {one.former}; from now on it has its own runs and models, and that folder is not changed"
    return f"this folder was {one.former} before; its runs and models now name {one.root}"


def _settle_prefect(path: Path, former: set[str], root: str) -> None:
    """Correct the folder in which Prefect starts deployments of `prefect deploy`; `headway up` makes its own anew."""
    if not path.exists():
        return
    with contextlib.suppress(sqlite3.Error), _open(path, "rw") as database:
        database.execute("BEGIN IMMEDIATE")
        rows = database.execute("SELECT id, path, pull_steps FROM deployment").fetchall()
        for row, place, steps in rows:
            texts = (
                _move(place, former, root),
                None if steps is None else json.dumps(_move(json.loads(steps), former, root)),
            )
            if texts[0] != place or (steps is not None and json.loads(texts[1] or "") != json.loads(steps)):
                database.execute("UPDATE deployment SET path = ?, pull_steps = ? WHERE id = ?", (*texts, row))
        database.commit()


def _move(value: Any, former: set[str], root: str) -> Any:
    """The value with the new folder in place of the old one in all texts that are the old folder or a path in it."""
    if isinstance(value, str):
        old = next((folder for folder in former if value == folder or value.startswith(f"{folder}/")), None)
        return value if old is None else root + value[len(old) :]
    if isinstance(value, list):
        return [_move(one, former, root) for one in value]
    if isinstance(value, dict):
        return {key: _move(one, former, root) for key, one in value.items()}
    return value


@contextlib.contextmanager
def _open(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """An existing SQLite database, in autocommit: transactions begin explicitly."""
    address = f"{path.absolute().as_uri()}?mode={mode}"
    with contextlib.closing(
        sqlite3.connect(address, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
    ) as connection:
        yield connection
