"""A scored file as it grows: part by part, so that a kill costs only seconds, and one whole file at the end.

    OUT/NAME.parquet                          keys, prediction, probability_<class> or interval, model version
    OUT/NAME.refused.parquet                  the rows that break the schema, each with the reason; absent where there is none
    OUT/.parts/NAME.DIGEST/START-END.parquet  rows START to END of the input, until the file is whole; beside it the refused rows

Each is written under another name, synced and renamed. The metadata of the two whole files name the input and the model: after a kill
between them they differ, and do not count as a pair.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headway.files.atomic import replacing
from headway.files.records import Record

METADATA = b"headway"


@dataclass(frozen=True)
class Counts:
    """Rows of an input: all of them are either scored or refused."""

    scored: int
    refused: int


@dataclass(frozen=True)
class Output:
    """The output of one input. ``digest``: of the input's content, how it is read, and the model."""

    path: Path
    digest: str

    @property
    def refused(self) -> Path:
        """The side file."""
        return self.path.with_name(f"{self.path.stem}.refused.parquet")

    @property
    def _parts(self) -> Path:
        return self.path.parent / ".parts" / f"{self.path.name}.{self.digest[:16]}"

    def done(self) -> Counts | None:
        """The counts of a file that is whole and of the same input and model; None otherwise."""
        label, side = _label_of(self.path), _label_of(self.refused)
        if label is None or label.digest != self.digest or side != (label if label.refused else None):
            return None
        return Counts(label.scored, label.refused)

    def begin(self) -> int:
        """Create the folder. Returns the number of rows in earlier parts. Parts of other inputs or models are removed."""
        for folder in self._parts.parent.glob(f"{_escaped(self.path.name)}.*"):
            if folder != self._parts:
                shutil.rmtree(folder)
        self._parts.mkdir(parents=True, exist_ok=True)
        for partial in self._parts.glob(".*.partial"):
            partial.unlink()
        covered = self._covered()
        return covered[-1][1] if covered else 0

    def _covered(self) -> list[tuple[int, int, Path]]:
        """The parts that follow each other from row 0 on."""
        parts = {}
        for path in self._parts.glob("*-*.parquet"):
            if not path.name.endswith(".refused.parquet"):
                start, end = path.stem.split("-")
                parts[int(start)] = (int(start), int(end), path)
        at, covered = 0, []
        while at in parts and (not covered or parts[at][1] > at):
            covered.append(parts.pop(at))
            at = covered[-1][1]
        return covered

    def write(self, start: int, end: int, scored: pa.Table, refused: pa.Table | None) -> None:
        """Write rows ``start`` to ``end``. Refused rows are written first: the scored file's presence marks the part."""
        assert scored.num_rows + (0 if refused is None else refused.num_rows) == end - start
        path = self._parts / f"{start:012d}-{end:012d}.parquet"
        if refused is not None:
            with replacing(_beside(path)) as partial:
                pq.write_table(refused, partial, compression="zstd")
        with replacing(path) as partial:
            pq.write_table(scored, partial, compression="zstd")

    def discard(self) -> None:
        """Remove the parts."""
        shutil.rmtree(self._parts, ignore_errors=True)
        with contextlib.suppress(OSError):  # other files' parts may be there
            self._parts.parent.rmdir()

    def finish(self, bad_lines: pa.Table | None) -> Counts:
        """Join the parts and ``broken``, further refused rows; the counts. The parts are gone afterwards."""
        parts = [path for _, _, path in self._covered()]
        sides = [_beside(path) for path in parts if _beside(path).exists()]
        refused = sum(pq.read_metadata(p).num_rows for p in sides) + (0 if bad_lines is None else bad_lines.num_rows)
        counts = Counts(sum(pq.read_metadata(p).num_rows for p in parts), refused)
        label = Label(self.digest, counts.scored, refused)
        metadata = {METADATA: json.dumps(label.to_json()).encode()}
        if refused:
            _join(self.refused, sides, bad_lines, metadata)
        else:
            self.refused.unlink(missing_ok=True)
        _join(self.path, parts, None, metadata)
        self.discard()
        return counts


@dataclass(frozen=True)
class Label(Record):
    """The metadata of a whole file: its input and model (``digest``), and its counts."""

    digest: str
    scored: int
    refused: int


def _label_of(path: Path) -> Label | None:
    """The metadata of a whole file; None for any other file."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        return Label.from_json(json.loads(metadata[METADATA]))
    except (OSError, KeyError, ValueError, pa.ArrowInvalid):
        return None


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.refused.parquet")


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _join(path: Path, parts: Sequence[Path], last: pa.Table | None, metadata: dict[bytes, bytes]) -> None:
    """One file of several, a row group at a time."""
    schema = pq.read_schema(parts[0]) if parts else last.schema if last is not None else pa.schema([])
    with (
        replacing(path) as partial,
        pq.ParquetWriter(partial, schema.with_metadata(metadata), compression="zstd") as out,
    ):
        for part in parts:
            with pq.ParquetFile(part) as file:
                for group in range(file.num_row_groups):
                    out.write_table(file.read_row_group(group).replace_schema_metadata(metadata))
        if last is not None:
            out.write_table(last.cast(schema).replace_schema_metadata(metadata))
