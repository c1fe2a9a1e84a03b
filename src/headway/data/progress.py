"""How far a store is written, so that one whose process was killed goes on with the next rows.

progress.json   {"of": what is written, by which version, "rows": so many of the table are on disk, "bytes": of each file that grows}

Before it says so, the rows are on disk. They are waited for beside the computing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from headway import __version__
from headway.data.arrays import AppendedFile, PlacedArray
from headway.files.atomic import read_or_empty, write_json

NAME = "progress.json"
EVERY_ROWS = 1 << 20
"""Rows after which progress is kept: some seconds of work."""


@dataclass(frozen=True)
class Progress:
    """``of``: the name of the store; ``rows`` of the table are done; ``bytes``: the size of each growing file at that moment."""

    of: str
    rows: int = 0
    bytes: Mapping[str, int] = field(default_factory=dict)
    version: str = __version__

    @classmethod
    def read(cls, folder: Path, of: str) -> Progress | None:
        """What was kept in the folder of a store; None without it, and of another store or version."""
        values = read_or_empty(folder / NAME)
        try:
            progress = cls(**values)
        except TypeError:
            return None
        return progress if (progress.of, progress.version) == (of, __version__) else None

    def write(self, folder: Path) -> None:
        """Keep it."""
        write_json(folder / NAME, asdict(self))


class Saving:
    """Keeps the progress of the files that are being written, after every so many rows."""

    def __init__(
        self, folder: Path, progress: Progress, arrays: Sequence[PlacedArray], growing: Sequence[AppendedFile]
    ) -> None:
        self._folder, self._progress, self._arrays, self._growing = folder, progress, arrays, growing
        self._pool = ThreadPoolExecutor(1, "headway-progress")
        self._last: Future[None] | None = None

    def done(self, rows: int) -> None:
        """All rows of the table before number ``rows`` are written."""
        if rows < self._progress.rows + EVERY_ROWS:
            return
        if self._last is not None:
            self._last.result()
        for file in self._growing:
            file.flush()
        sizes = {file.path.relative_to(self._folder).as_posix(): file.bytes for file in self._growing}
        self._progress = Progress(self._progress.of, rows, sizes)
        self._last = self._pool.submit(self._keep, self._progress)

    def _keep(self, progress: Progress) -> None:
        for file in (*self._arrays, *self._growing):
            file.sync()
        progress.write(self._folder)

    def __enter__(self) -> Saving:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        if self._last is not None:
            self._last.result()
