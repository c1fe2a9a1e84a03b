"""Profiles of files that were read before: a table that grows by a file is profiled by reading that file alone.

data/prepared/profiles/<digest>.json    one file's profile; the digest is of its content, its ending, how it is read, the columns' kinds
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePath

from headway import __version__
from headway.data.profile import Profile, Profiler, kinds_of
from headway.data.source import Table, file_digests
from headway.errors import DataError
from headway.files.atomic import read_json, write_json

FORM = 3
"""Raised when a profile is computed or kept in another way."""


def profile_known(table: Table, root: Path, folder: Path) -> Profile:
    """As profile_table: counts are the same, moments to rounding, quantiles within the sketch's error.

    Files whose profile lies in ``folder`` are not read; the others' profiles are left there. Raises DataError as Table.chunks does.
    """
    _ = table.digest  # keeps the files' digests, so that they are hashed once
    digests = file_digests(table.files, root)
    whole, rows = Profiler(kinds_of(table)), 0
    for number, file in enumerate(table.files):
        path = folder / f"{_key(table, file, digests[file])}.json"
        seen = _read(path, list(kinds_of(table)))
        if seen is None:
            seen = _profile_file(table, number, rows)
            if file_digests([file], root)[file] == digests[file]:  # else it was changed while it was read
                _keep(path, seen)
        whole.merge(seen)
        rows += seen.rows
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
    said = [FORM, __version__, table.how, table.task, list(kinds_of(table).items()), PurePath(file).suffix, digest]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _keep(path: Path, profile: Profile) -> None:
    """Write a profile whole: every value in the order in which it was met, so that reading it back changes nothing."""
    told = profile.to_json()
    for name, column in profile.columns.items():
        told["columns"][name]["values"] = None if column.values is None else dict(column.values)
        told["columns"][name]["heavy"] = dict(column.heavy)
    try:
        write_json(path, {**told, "check": _check(told)})
    except OSError:  # a kept profile only saves time
        return


def _check(told: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()


def is_whole(path: Path) -> bool:
    """Whether a kept profile is what was written."""
    try:
        told = read_json(path)
        return told.pop("check") == _check(told)
    except (OSError, ValueError, KeyError):
        return False


def _read(path: Path, columns: list[str]) -> Profile | None:
    """The kept profile; None where there is none, or it is damaged."""
    try:
        told = read_json(path)
        check = told.pop("check")
        if check != _check(told) or list(told["columns"]) != columns:
            return None
        return Profile.from_json(told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
