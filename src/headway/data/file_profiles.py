"""Profiles of files that were read before: a table that grows by a file is profiled by reading that file alone.

data/prepared/profiles/<digest>.json    one file's profile; the digest is of its content, its ending, how it is read, the columns' kinds
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headway.columns.hashes import HASHES
from headway.data.digests import file_digests
from headway.data.file_keys import file_key
from headway.data.passes import run
from headway.data.profile import Profile, Profiler, kinds_of
from headway.data.source import Chunk, Table
from headway.files.atomic import read_json, write_json

if TYPE_CHECKING:
    from headway.data.continuation import Continuation


def profile_by_file(table: Table, root: Path, folder: Path) -> Profile:
    """As profile_table: counts are the same, moments to rounding, quantiles within the sketch's error.

    Files whose profile lies in ``folder`` are not read; the others' profiles are left there. Raises DataError as Table.chunks does.
    """
    profiles = FileProfiles(table, root, folder)
    run(table, [profiles], rows_of=profiles.rows_of)
    return profiles.profile()


class FileProfiles:
    """A `Pass` over the files of a table whose profile does not lie in ``folder``, where it leaves that of each.

    ``rows_of``: how many rows the others have, by their place in Table.files. ``continuation``: where the profile of all files is kept, so
    that those of the first files need not be added up again.
    """

    def __init__(self, table: Table, root: Path, folder: Path, continuation: Continuation | None = None) -> None:
        self._kinds, self._root = kinds_of(table), root
        self._files, self.rows_of = table.files, dict[int, int]()
        _ = table.digest  # keeps the files' digests, so that they are hashed once
        self._digests = file_digests(table.files, root)
        self._paths = [folder / f"{file_key(table, file, self._digests[file])}.json" for file in table.files]
        self._whole, self._file, self._part = Profiler(self._kinds), 0, Profiler(self._kinds)
        self._rows_now = dict[int, int]()
        self._first = self._take(continuation)
        for number, path in enumerate(self._paths[self._first :], self._first):
            part = _read(path, list(self._kinds))
            if part is not None:
                self._whole.merge(part)
                self.rows_of[number] = part.rows

    def _take(self, continuation: Continuation | None) -> int:
        """Begin with the profile of the first files, where it is kept. Returns how many these are."""
        count, values = continuation.values("profile", list(self._kinds)) if continuation is not None else (0, {})
        if count:
            self._whole.merge(Profile.from_json(values))
            self.rows_of.update(enumerate(values["rows_of"]))
        return count

    def keep(self, continuation: Continuation) -> None:
        """Keep the profile of all files, which are read."""
        whole = self._whole.profile()
        if self._first < len(self._files) and not _is_larger(whole):
            rows_of = {**self.rows_of, **self._rows_now}
            rows = [rows_of.get(number, 0) for number in range(len(self._files))]
            continuation.keep({**_plain(whole), "rows_of": rows}, "profile", list(self._kinds))

    def columns_of(self, file: int) -> Sequence[str]:
        """All columns of a file that is not known."""
        return [] if file in self.rows_of else list(self._kinds)

    def block(self, chunk: Chunk) -> tuple[int, Profile]:
        """The file and the profile of a block."""
        return chunk.file, self._whole.block(chunk)

    def add(self, partial: tuple[int, Profile]) -> None:
        """Add what `block` returned; with the first block of a file, the file before is whole."""
        file, part = partial
        if file != self._file:
            self._finish()
            self._file, self._part = file, Profiler(self._kinds)
        self._part.merge(part)

    def profile(self) -> Profile:
        """The profile of all files, when all blocks are added."""
        self._finish()
        self._part = Profiler(self._kinds)
        return self._whole.profile()

    def _finish(self) -> None:
        """Keep the profile of the file whose blocks were added, and add it to the whole."""
        part, file = self._part.profile(), self._files[self._file]
        if not part.rows:
            return
        if (
            not _is_larger(part) and file_digests([file], self._root)[file] == self._digests[file]
        ):  # otherwise it changed meanwhile
            _keep(self._paths[self._file], part)
        self._whole.merge(part)
        self._rows_now[self._file] = part.rows


def _is_larger(profile: Profile) -> bool:
    """Whether it is larger than the rows themselves, which are read as quickly."""
    return profile.is_wide and profile.rows < HASHES


def _keep(path: Path, profile: Profile) -> None:
    """Write a profile."""
    values = _plain(profile)
    try:
        write_json(path, {**values, "check": _check(values)})
    except OSError:  # a kept profile only saves time
        return


def _plain(profile: Profile) -> dict[str, object]:
    """With all its values, so that a profile that is read back is the same."""
    columns = {name: column.to_json(heavy=None) for name, column in profile.columns.items()}
    return {"rows": profile.rows, "columns": columns}


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
        with contextlib.suppress(OSError):  # `headway gc` removes those that nothing uses
            os.utime(path)
        return Profile.from_json(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
