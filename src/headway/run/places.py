"""Where a project's folder lies: MLflow and Prefect write down absolute places, which are wrong once the folder was moved or copied.

Everything of ours names places from the project's folder. What MLflow keeps in its database (and Prefect, of what `prefect deploy` made) is
put right by the first command in the new place, in one transaction. A copy then has artifacts of its own, and writes nothing into the
folder that it was copied from.
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
"""Where MLflow writes down absolute places."""

COLUMNS = {
    "?": "SELECT name FROM pragma_table_info(?)",
    "%s": "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s",
}
"""The columns of a table, by how the database's driver marks a value: SQLite's, and PostgreSQL's."""

WAIT_SECONDS = 20
_LOCATION = re.compile(r"(?:file://)?(?P<root>/.*)(?P<rest>/mlruns/artifacts/.+)")
_DEFAULT = re.compile(r"(?:file://)?(?P<root>/.*)(?P<rest>/mlruns/\d+)")
"""What MLflow makes of its own accord lies below the folder in which a command was first given, which need not be the project's."""


@dataclass(frozen=True)
class Elsewhere:
    """An experiment of the project in ``root`` whose artifacts MLflow looks for below the folder ``former``."""

    root: Path
    former: Path
    rest: str

    @property
    def here(self) -> Path:
        """Where its artifacts should lie."""
        return Path(f"{self.root}{self.rest}")

    @property
    def there(self) -> Path:
        """Where MLflow says that they lie."""
        return Path(f"{self.former}{self.rest}")

    @property
    def ours(self) -> bool:
        """Whether the database came here with its folder; else the other folder uses this one's database for artifacts of its own."""
        return self.here.is_dir() or not _is_there(self.there) or _is_there(sqlite_file(self.former, "mlflow"))

    @property
    def copied(self) -> bool:
        """Whether both folders have artifacts of one run. The other one's database is not opened: even reading it would write there."""
        try:
            return bool(
                {path.name for path in self.here.iterdir()} & {path.name for path in self.there.iterdir()} - {"models"}
            )
        except FileNotFoundError:
            return False
        except OSError:  # it is there, but not for this user
            return True


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # but not for this user
        return True


def former(root: Path) -> list[Path]:
    """The folders that MLflow names instead of this one, without changing anything; none where its database cannot be read."""
    path = sqlite_file(root, "mlflow")
    if not path.exists() or not path.stat().st_size:
        return []
    with contextlib.suppress(sqlite3.Error), _opened(path, "ro") as database:
        return list(dict.fromkeys(one.former for one in elsewhere(database.cursor(), root.resolve())))
    return []


def settle(root: Path) -> list[str]:
    """Put the places of a project's own databases right. Returns one line for each folder that they named instead of this one.

    Changes nothing, and takes a millisecond, where all is as it should be. Raises sqlite3.Error or OSError where a database cannot be
    read or written, ConfigError where a run of the folder is at work under the former path.
    """
    path, root = sqlite_file(root, "mlflow"), root.resolve()
    if not path.exists() or not path.stat().st_size:
        return []
    with _opened(path, "ro") as database:
        moved = elsewhere(database.cursor(), root)
    if not moved:
        return []
    working = lifetime.others(root)
    if working:  # it has this folder under another path: by a bind mount, or in a container
        raise ConfigError(
            f"a folder must have one path while its runs are at work, but {working[0]} knows {root} as {moved[0].former}; "
            "go on there, or wait for its end"
        )
    lines = [_line(one) for one in {one.former: one for one in reversed(moved)}.values()]
    # MLflow's database is the one that tells where the folder was, so it comes last: whatever dies before, all is done again.
    _settle_prefect(sqlite_file(root, "prefect"), {str(one.former) for one in moved}, str(root))
    with _opened(path, "rw") as database:
        database.execute("BEGIN IMMEDIATE")
        for one in elsewhere(database.cursor(), root):
            rename(database.cursor(), str(one.there), str(one.here), "?")
        database.commit()
    return lines


def settle_shared(connection: Any, root: Path) -> None:
    """The same for a PostgreSQL database, which other folders may share: a copy is refused, for it would write into their artifacts.

    Raises ConfigError for a copy.
    """
    cursor, root = connection.cursor(), root.resolve()
    for one in elsewhere(cursor, root):
        if one.copied:
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
    """Put ``new`` where MLflow wrote down ``old`` or a place within it. ``mark``: how the database's driver marks a value.

    Done again, it changes nothing, also where ``new`` lies within ``old``. What a database that an earlier MLflow made does not have
    yet, is left out.
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
    if one.copied:
        return f"this folder is a copy of {one.former}; from here on its runs and models are its own, and nothing is written there"
    return f"this folder was {one.former} before; its runs and models now name {one.root}"


def _settle_prefect(path: Path, former: set[str], root: str) -> None:
    """Put the folder right in which Prefect starts what `prefect deploy` made; `headway up` makes its deployments anew."""
    if not path.exists():
        return
    with contextlib.suppress(sqlite3.Error), _opened(path, "rw") as database:
        database.execute("BEGIN IMMEDIATE")
        rows = database.execute("SELECT id, path, pull_steps FROM deployment").fetchall()
        for row, place, steps in rows:
            told = (
                _moved(place, former, root),
                None if steps is None else json.dumps(_moved(json.loads(steps), former, root)),
            )
            if told[0] != place or (steps is not None and json.loads(told[1] or "") != json.loads(steps)):
                database.execute("UPDATE deployment SET path = ?, pull_steps = ? WHERE id = ?", (*told, row))
        database.commit()


def _moved(value: Any, former: set[str], root: str) -> Any:
    """The value with the new folder in the place of the old one, wherever a text in it is that or begins with it."""
    if isinstance(value, str):
        old = next((folder for folder in former if value == folder or value.startswith(f"{folder}/")), None)
        return value if old is None else root + value[len(old) :]
    if isinstance(value, list):
        return [_moved(one, former, root) for one in value]
    if isinstance(value, dict):
        return {key: _moved(one, former, root) for key, one in value.items()}
    return value


@contextlib.contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """An SQLite database that exists, in autocommit: transactions are begun by name."""
    address = f"{path.absolute().as_uri()}?mode={mode}"
    with contextlib.closing(
        sqlite3.connect(address, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
    ) as connection:
        yield connection
