"""The candidate's test rows for an earlier version that reads other columns, other kinds of them, or reads the files differently.

Since that version was trained, the YAML may have dropped a column, or changed how nulls and spaces are read. If the data still allows it,
both are compared on the same rows, each with its own columns and its own reading of the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from headway.columns import Kind
from headway.config import read_yaml
from headway.data.composition import Composition
from headway.data.identity import Identity, hash_batch
from headway.data.learnt_rows import LearntRows
from headway.data.past import Past
from headway.data.raw import RAW_TEST, RawRows, packed
from headway.data.reading import FileReading
from headway.data.source import Table
from headway.data.split import TEST, Division
from headway.data.store import Store
from headway.errors import ConfigError, DataError
from headway.models.description import Description, preparation_of
from headway.project import Project


@dataclass(frozen=True)
class Reading:
    """The columns that a version reads, with their kinds; ``others`` are those that the candidate does not read.

    ``files``: how it reads files. ``same``: whether the candidate's store holds all of the columns as the version reads them.
    """

    kinds: Mapping[str, Kind]
    files: FileReading
    others: tuple[str, ...]
    same: bool
    past: Past | None = None

    @classmethod
    def of(cls, bundle: Path, store: Store, now: FileReading) -> Reading:
        """From a version's bundle. ``now``: how the candidate reads files."""
        kinds, candidate, past = Description.of(bundle).features, store.preparation, preparation_of(bundle).past
        own, files = {**candidate.kinds, **candidate.observed}, file_reading(bundle, now)
        same = kinds.items() <= own.items() and files.settings == now.settings and past in (None, candidate.past)
        return cls(kinds, files, tuple(name for name in kinds if name not in own), same, past)

    @property
    def _names(self) -> list[str]:
        """The columns of the files that are read."""
        past = () if self.past is None else (*self.past.carried, *self.past.observed)
        return Composition.of(self.files.written, ()).sources([*self.kinds, *past])

    def rows(self, table: Table) -> Table:
        """All rows of the files of ``table``, as the version reads them, with the past that it reads."""
        files = self.files if _can_read(self.files, table) else table.reading
        if self.past is None:
            return table.again(self.kinds, (), files)
        late = dict.fromkeys(self.past.late, "numeric")
        rows = table.again({**self.kinds, **late}, self.past.carried, files)
        return rows.extended(self.past.over(rows))

    def problem(self, project: Project, table: Table, replace: bool) -> str:
        """Why the version cannot predict the candidate's test rows or, where it is to be replaced, need not; otherwise empty."""
        absent = [name for name in self._names if name not in table.present]
        if absent:
            return f"it reads {_columns_text(absent)}, which the data no longer has"
        if replace and self.others:
            return f"it reads {_columns_text(self.others)}, which conf/{project.name}.yaml does not list"
        return ""

    def remark(self, version: str, project: str) -> str:
        """One line for people where the version reads columns that the project's YAML does not list; otherwise empty."""
        if not self.others:
            return ""
        what = f"version {version} reads {_columns_text(self.others)} as well, which conf/{project}.yaml does not list"
        return f"{what}; to replace it without comparing: --replace-champion"


def _columns_text(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"the column{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"


def file_reading(bundle: Path, now: FileReading) -> FileReading:
    """How a version's files were read: from learnt.json or, in a bundle of an early version, from its project."""
    learnt = LearntRows.read(bundle)
    if learnt is not None and learnt.rule.reading is not None:
        return learnt.rule.reading
    is_csv = not preparation_of(bundle).null_is_value
    return FileReading.of_project(read_yaml(bundle / "project.yaml")["data"], is_csv, now)


def write_test_rows(folder: Path, project: Project, table: Table, reading: Reading) -> Store:
    """The candidate's test rows, in their order, with the columns of ``reading``, as a store keeps them.

    The files are read as that version read them, if possible; a Parquet file that was CSV before is read as it is.
    Raises DataError where a value is not of its column's kind.
    """
    rows, carried = reading.rows(table), reading.past.carried if reading.past is not None else ()
    batches = _test_batches(rows, [*reading.kinds, *carried, *rows.extra], _is_test(table, project))
    path = folder / RAW_TEST
    path.parent.mkdir(parents=True, exist_ok=True)
    with RawRows(path) as file:
        for batch in batches:
            file.append(batch.schema, packed(batch))
    return Store(folder)


def _test_batches(table: Table, columns: list[str], is_test: np.ndarray) -> Iterator[pa.RecordBatch]:
    """The test rows of a table of all rows. Raises DataError where it has more or fewer than ``is_test`` (N,)."""
    end = 0
    for chunk in table.chunks(columns=columns):
        end = chunk.start + chunk.batch.num_rows
        if end <= len(is_test):
            yield chunk.batch.filter(pa.array(is_test[chunk.start : end]))
    if end != len(is_test):
        raise DataError(f"with its settings the files have {end:,} rows, but with today's {len(is_test):,}")


def _is_test(table: Table, project: Project) -> np.ndarray:
    """(N,) bool: which of all rows of the files, also those without a target, are the candidate's test."""
    is_test = table.labelled()
    is_test[is_test] = Division(table, project.split).parts == TEST
    return is_test


def unlearnt_rows(store: Store, project: Project, open_rows: Callable[[], Table], learnt: LearntRows) -> np.ndarray:
    """(N,) bool: the test rows that are not among what a version has learnt. ``open_rows`` opens the candidate's rows.

    Raises ConfigError or DataError where the data no longer has the columns by which that version told rows apart, or can no longer
    be read as for that version.
    """
    identity, own = learnt.identity, store.learnt
    assert identity is not None, "only texts have none"
    now = own.rule.reading or open_rows().reading
    before = learnt.rule.reading or now
    own_hashes = store.test_hashes(identity) if _same_kinds(identity, own.identity) else None
    if own_hashes is not None and before.settings == now.settings:
        return learnt.unlearnt(own_hashes)
    table = open_rows()
    try:
        if not _can_read(before, table):
            raise DataError(f"its rows were read as {_form(before)}, and are now read as {_form(table.reading)}")
        hashes = _hashes(table, project, identity, before)
    except (ConfigError, DataError):
        every = _all_accounted_for(table, project, learnt)
        if every is None:
            raise
        return every
    # Files that were rewritten may hold values as that version's reading produced them.
    return learnt.unlearnt(hashes) & ~(
        learnt.contains(own_hashes) if own_hashes is not None else np.zeros(len(hashes), bool)
    )


def _same_kinds(champion: Identity, own: Identity | None) -> bool:
    """Whether the store holds the champion's columns as the champion read them."""
    return own is not None and set(champion.kinds) <= set(own.kinds)


def _can_read(before: FileReading, table: Table) -> bool:
    """Whether the files can be read with an earlier version's settings: they are of the same form and data set."""
    return (before.form, before.dataset) == (table.reading.form, table.reading.dataset)


def _form(reading: FileReading) -> str:
    return f"the data set {reading.dataset}" if reading.dataset else reading.form


def _again(table: Table, identity: Identity, reading: FileReading) -> Table:
    """All rows with the columns of an identity. Raises ConfigError where the files do not have them any more."""
    kinds = {name: kind for name, kind in identity.kinds if kind is not None and name != table.target}
    return table.again(kinds, tuple(name for name, kind in identity.kinds if kind is None), reading)


def _hashes(table: Table, project: Project, identity: Identity, reading: FileReading) -> np.ndarray:
    """(N,) the identities of the test rows from the files, with columns, kinds or a reading that only the champion knows."""
    names = list(identity.columns)
    batches = _test_batches(_again(table, identity, reading), names, _is_test(table, project))
    return np.concatenate([hash_batch(batch, names) for batch in batches])


def _all_accounted_for(table: Table, project: Project, learnt: LearntRows) -> np.ndarray | None:
    """The result of `unlearnt_rows` where today's reading recognises every row that the version learnt, and so the others, too;
    None where it does not, or cannot read the files.
    """
    identity = learnt.identity
    assert identity is not None, "only texts have none"
    names = list(identity.columns)
    try:
        chunks = _again(table, identity, table.reading).chunks(columns=names)
        hashes = np.concatenate([hash_batch(chunk.batch, names) for chunk in chunks])
    except (ConfigError, DataError):
        return None
    if not np.isin(learnt.hashes, hashes).all():
        return None
    return learnt.unlearnt(hashes[_is_test(table, project)])
