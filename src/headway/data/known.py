"""Profiles of files that were read before: a table that grows by a file is profiled by reading that file alone.

data/prepared/profiles/<digest>.json    one file's profile; the digest is of its content, its ending, how it is read, the columns' kinds
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePath

from headway import __version__
from headway.data.digests import file_digests
from headway.data.folders import folder_values
from headway.data.profile import Profile, Profiler, kinds_of
from headway.data.source import Table
from headway.errors import DataError
from headway.files.atomic import read_json, write_json

FORM = 4
"""To be increased when a profile is computed or kept in another way."""


def profile_known(table: Table, root: Path, folder: Path) -> Profile:
    """As profile_table: counts are the same, moments to rounding, quantiles within the sketch's error.

    Files whose profile lies in ``folder`` are not read; the others' profiles are left there. Raises DataError as Table.chunks does.
    """
    _ = table.digest  # keeps the files' digests, so that they are hashed once
    digests = file_digests(table.files, root)
    whole, rows = Profiler(kinds_of(table)), 0
    for number, file in enumerate(table.files):
        path = folder / f"{_key(table, file, digests[file])}.json"
        part = _read(path, list(kinds_of(table)))
        if part is None:
            part = _profile_file(table, number, rows)
            if file_digests([file], root)[file] == digests[file]:  # else the file changed while it was read
                _keep(path, part)
        whole.merge(part)
        rows += part.rows
    if not rows:
        names = ", ".join(PurePath(file).name for file in table.files[:3])
        raise DataError(f"the data must have rows, but {names} has none")
    return whole.profile()


def _profile_file(table: Table, number: int, start: int) -> Profile:
    profiler = Profiler(kinds_of(table))
    for chunk in table.file_chunks(number, start, list(kinds_of(table))):
        profiler.update(chunk.batch)
    return profiler.profile()


def _key(table: Table, file: str, digest: str) -> str:
    values = [FORM, __version__, table.how, table.task, list(kinds_of(table).items()), PurePath(file).suffix, digest]
    values += [folders] if (folders := folder_values(file)) else []
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def _keep(path: Path, profile: Profile) -> None:
    """Write a profile with all its values, so that a profile that is read back is the same."""
    columns = {name: column.to_json(heavy=None) for name, column in profile.columns.items()}
    values = {**profile.to_json(), "columns": columns}
    try:
        write_json(path, {**values, "check": _check(values)})
    except OSError:  # a kept profile only saves time
        return


def _check(values: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()


def is_whole(path: Path) -> bool:
    """Whether a kept profile is undamaged."""
    try:
        values = read_json(path)
        return values.pop("check") == _check(values)
    except (OSError, ValueError, KeyError):
        return False


def _read(path: Path, columns: list[str]) -> Profile | None:
    """The kept profile; None where there is none, or it is damaged."""
    try:
        values = read_json(path)
        check = values.pop("check")
        if check != _check(values) or list(values["columns"]) != columns:
            return None
        return Profile.from_json(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
