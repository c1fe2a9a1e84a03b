"""The candidate's test rows for an earlier version that reads other columns, or the same ones as another kind.

The YAML may have dropped a column since that version was trained. Where the data still has it, both are compared on the same rows, each
with its own columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headway.columns import Kind
from headway.data.identity import Identity, row_hashes
from headway.data.learnt import Learnt
from headway.data.source import Table, open_table
from headway.data.split import TEST, Division
from headway.data.store import RAW_TEST, Store
from headway.files.atomic import read_json
from headway.project import Project


@dataclass(frozen=True)
class Reading:
    """The columns that a version reads, with their kinds; ``others`` are those that the candidate does not read.

    ``same``: whether the candidate's store holds all of them as the version reads them.
    """

    kinds: Mapping[str, Kind]
    others: tuple[str, ...]
    same: bool

    @classmethod
    def of(cls, bundle: Path, store: Store) -> Reading:
        """From a version's bundle."""
        kinds = read_json(bundle / "bundle.json").get("features") or {}
        own = store.preparation.kinds
        return cls(kinds, tuple(name for name in kinds if name not in own), kinds.items() <= own.items())

    def problem(self, project: Project, root: Path, replace: bool) -> str:
        """Why the candidate's test rows cannot be given to the version or, where it is to be replaced, need not; else empty."""
        from headway.pipeline.runs import table_of

        present = table_of(project, root).present
        lost = [name for name in self.kinds if name not in present]
        if lost:
            return f"it reads {_shown(lost)}, which the data no longer has"
        if replace and self.others:
            return f"it reads {_shown(self.others)}, which conf/{project.name}.yaml does not list"
        return ""

    def remark(self, version: str, project: str) -> str:
        """One line for people where the version reads columns that the project's YAML does not list; else empty."""
        if not self.others:
            return ""
        what = f"version {version} reads {_shown(self.others)} as well, which conf/{project}.yaml does not list"
        return f"{what}; to replace it without comparing: --replace-champion"


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"the column{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"


def write_test_rows(folder: Path, project: Project, root: Path, kinds: Mapping[str, Kind]) -> Store:
    """The candidate's test rows, in their order, with the columns of ``kinds``, as a store keeps them.

    Raises DataError where a value is not of its column's kind.
    """
    batches = _test_batches(project, root, kinds)
    first = next(batches)
    path = folder / RAW_TEST
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for batch in chain((first,), batches):
            writer.write_batch(batch)
    return Store(folder)


def _test_batches(project: Project, root: Path, kinds: Mapping[str, Kind]) -> Iterator[pa.RecordBatch]:
    is_test = _is_test(project, root)
    for chunk in _table(project, root, kinds).chunks(columns=list(kinds)):
        yield chunk.batch.filter(pa.array(is_test[chunk.start : chunk.start + chunk.batch.num_rows]))


def unlearnt_rows(store: Store, project: Project, root: Path, learnt: Learnt) -> np.ndarray:
    """(N,) bool: the test rows that are not among what a version has learnt.

    Raises ConfigError where the data does not have the columns any more by which that version told rows apart.
    """
    assert learnt.identity is not None, "only texts have none"
    hashes = store.test_hashes(learnt.identity) if _same_kinds(learnt.identity, store.learnt.identity) else None
    return learnt.unlearnt(_read_again(project, root, learnt.identity) if hashes is None else hashes)


def _same_kinds(champion: Identity, own: Identity | None) -> bool:
    """Whether the store holds the champion's columns as the champion read them."""
    return own is not None and set(champion.kinds) <= set(own.kinds)


def _read_again(project: Project, root: Path, identity: Identity) -> np.ndarray:
    """(N,) the identities of the test rows from the files, with columns or kinds that only the champion knows.

    Raises ConfigError where the files do not have them any more.
    """
    kinds = {name: kind for name, kind in identity.kinds if kind is not None and name != project.data.target}
    others = tuple(name for name, kind in identity.kinds if kind is None)
    return row_hashes(_table(project, root, kinds, others), identity.columns)[_is_test(project, root)]


def _table(project: Project, root: Path, kinds: Mapping[str, Kind], others: Sequence[str] = ()) -> Table:
    """The project's rows with other columns than its own."""
    return open_table(project.data.model_copy(update={"features": dict(kinds)}), project.task, root, others)


def _is_test(project: Project, root: Path) -> np.ndarray:
    """(N,) bool: the rows of the files that are the candidate's test."""
    from headway.pipeline.runs import table_of

    return Division(table_of(project, root), project.split).parts == TEST
