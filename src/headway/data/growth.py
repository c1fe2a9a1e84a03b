"""A store whose table has grown: rows that an earlier store holds, prepared in the same way, are copied and not prepared again.

That is the case where files were added behind the others, and what the preparation is fitted to has not changed: see prepare.fitted_on.
store.json names in ``grown`` the way of preparing and the rows, by digests.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np

from headway.data.config import SPLITS
from headway.data.file_keys import file_key
from headway.data.prepare import Preparation
from headway.data.progress import Progress
from headway.data.raw import END, RAW_TEST
from headway.errors import ConfigError, DamagedError
from headway.files import checksums
from headway.files.atomic import digest, read_or_empty

if TYPE_CHECKING:
    from headway.data.source import Table
    from headway.data.split import Division


@dataclass(frozen=True)
class Borders:
    """The first files of a table, for each number of them: the ``rows`` (F + 1,) that they have, and a digest of the rows' values and parts
    for all but none, (F,). ``fits`` (F,): whether the preparation is fitted to a file.
    """

    rows: tuple[int, ...]
    values: tuple[str, ...]
    fitting: tuple[str, ...]
    """Digests of what a preparation is fitted to: the values of the training rows."""
    fits: tuple[bool, ...]
    training: int
    """How many files from the first one on have no rows but those of the training."""
    contents: Mapping[str, str]
    """Each file to the digest of its content."""

    @classmethod
    def of(cls, division: Division, fitted_on: str | None) -> Borders:
        """Raises ConfigError where ``fitted_on`` matches no file that holds training rows."""
        table, parts = division.table, division.parts
        fits = _fits(table, fitted_on)
        rows = np.concatenate([[0], np.cumsum(division.hashed.counts)]).tolist()
        if not any((parts[rows[n] : rows[n + 1]] == 0).any() for n, fit in enumerate(fits) if fit):
            raise ConfigError(
                f"prepare.fitted_on must match files that hold training rows, but those of {fitted_on!r} hold none; match earlier files too"
            )
        whole, training, digests = hashlib.sha256(), hashlib.sha256(), list[tuple[str, str]]()
        contents, alone = table.contents, 0
        for number, file in enumerate(table.files):
            own, key = parts[rows[number] : rows[number + 1]], file_key(table, file, contents[file]).encode()
            is_training = own == 0
            whole.update(key + own.tobytes())
            training.update(key + bytes([fits[number]]) + np.packbits(is_training).tobytes())
            digests.append((whole.hexdigest(), training.hexdigest()))
            alone = number + 1 if alone == number and is_training.all() else alone
        return cls(tuple(rows), tuple(a for a, _ in digests), tuple(b for _, b in digests), fits, alone, contents)

    @property
    def rows_of(self) -> dict[int, int]:
        """How many rows each file has."""
        return dict(enumerate(np.diff(self.rows).tolist()))


def _fits(table: Table, fitted_on: str | None) -> tuple[bool, ...]:
    if fitted_on is None:
        return (True,) * len(table.files)
    names = [PurePath(file).name for file in table.files]
    fits = tuple(fnmatch.fnmatch(name, fitted_on) for name in names)
    if not any(fits):
        raise ConfigError(
            f"prepare.fitted_on must match a file, but {fitted_on!r} matches none of {len(names)}: {', '.join(names[:5])}"
        )
    return fits


def way(table: Table, preparation: Preparation, weight: str | None) -> str:
    """A digest of all that decides what is written of a row."""
    values = preparation.to_json()
    target = {name: value for name, value in preparation.target.to_json().items() if name not in ("mean", "std")}
    return digest([{**values, "target": target}, weight, [*table.columns, *table.extra], table.widths])


def earlier(folder: Path, name: str, borders: Borders) -> Iterator[tuple[Path, int]]:
    """The stores that hold the first files' rows prepared in the same way, and how many files these are; the most first."""
    places = {values: number + 1 for number, values in enumerate(borders.values[:-1])}
    stores: list[tuple[int, Path]] = []
    for path in sorted(folder.glob("[!.]*/store.json")):
        origin: Mapping[str, str] = read_or_empty(path).get("grown", {})
        if origin.get("way") == name and origin.get("rows") in places:
            stores.append((places[origin["rows"]], path.parent))
    for files, path in sorted(stores, key=lambda pair: -pair[0]):
        yield path, files


def begin(partial: Path, path: Path, name: str, borders: Borders) -> Progress | None:
    """The progress of the store ``path``, filled in ``partial``, with the rows of an earlier one; None where no earlier one has any."""
    for store, files in earlier(path.parent, name, borders):
        try:
            os.utime(store / "store.json")  # so that `headway gc` leaves it
            checksums.check(store)
            sizes = _copy(store, partial)
        except (DamagedError, OSError):
            continue
        return Progress(path.name, borders.rows[files], sizes)
    return None


def _copy(path: Path, partial: Path) -> dict[str, int]:
    """Copy the arrays and the test rows. Returns how many bytes of each growing file are gone on with."""
    sizes: dict[str, int] = {}
    for part in SPLITS:
        (partial / part).mkdir(exist_ok=True)
        for file in sorted((path / part).glob("*.npy")):
            if file.name != "unit.npy":
                shutil.copyfile(file, partial / part / file.name)
            if file.name.endswith((".values.npy", ".offsets.npy")):
                sizes[f"{part}/{file.name}"] = file.stat().st_size
    (partial / RAW_TEST).parent.mkdir(exist_ok=True)
    shutil.copyfile(path / RAW_TEST, partial / RAW_TEST)
    sizes[RAW_TEST] = (path / RAW_TEST).stat().st_size - len(END)
    return sizes


def description(name: str, borders: Borders) -> dict[str, str]:
    """What store.json says for later ones."""
    return {"way": name, "rows": borders.values[-1]}
