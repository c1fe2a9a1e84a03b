"""Makes stores of prepared rows (`headway.data.store`): fits the preparation, and writes the arrays that are not there yet."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headway.columns import gives
from headway.columns.config import PrepareConfig
from headway.columns.ngrams import Ngrams
from headway.data import growth
from headway.data.cache import Cache
from headway.data.config import SPLITS, DataConfig
from headway.data.growth import Borders
from headway.data.passes import run
from headway.data.past import Past
from headway.data.places import Places
from headway.data.prepare import Preparation
from headway.data.progress import EVERY_ROWS, Progress
from headway.data.ready import is_ready
from headway.data.sink import Filling, Sink
from headway.data.split import Division
from headway.data.store import Store
from headway.errors import DataError
from headway.files import checksums
from headway.files.atomic import digest, read_json, write_json

if TYPE_CHECKING:
    from headway.data.documents import Documents
    from headway.data.source import Table

FORMAT = 11
"""Raised whenever the same settings would prepare other arrays than before."""


def store_digest(division: Division, data: DataConfig, prepare: PrepareConfig, takes: Collection[str] = ()) -> str:
    """The name of the store that these would make."""
    table = division.table
    description: dict[str, object] = {
        "format": FORMAT,
        "data": table.digest,
        "columns": list(table.columns),
        "kinds": table.kinds,
        "target": [table.target, table.task, data.positive],
        "split": division.split.model_dump(),
        "identity": division.identity.to_json(),
        "prepare": prepare.model_dump(exclude={"tokens", "ngrams", *(() if prepare.fitted_on else ("fitted_on",))}),
    }
    if (past := Past.of(data, division.split)) is not None:
        description |= {"past": past.to_json()}
    if takes := _arrays_taken(table, takes):
        description |= {"takes": takes, "tokens": prepare.tokens.model_dump()}
    if data.weight is not None:
        description |= {"weight": data.weight}
    if Ngrams.group in takes:
        description |= {"ngrams": prepare.ngrams.model_dump()}
    return digest(description)


def make_store(
    folder: Path,
    division: Division,
    data: DataConfig,
    prepare: PrepareConfig,
    warn: Callable[[str], None] = lambda _: None,
    takes: Collection[str] = (),
) -> tuple[Store, bool]:
    """The store in ``folder``, and whether it was there already. The rows are divided only where it was not.

    ``takes``: the arrays that the model takes beside numbers and codes. A damaged store is made again; ``warn`` gets a line about it.

    Raises DataError when no feature holds anything to learn from, when the target has nulls or, in validation or test, a class that
    training lacks.
    """
    path = folder / store_digest(division, data, prepare, takes)
    if is_ready(path, warn):
        return Store(path), True
    with checksums.replacing_folder(path, goes_on=True) as partial:
        table, past = division.table, Past.of(data, division.split)
        borders = Borders.of(division, prepare.fitted_on)
        if past is not None:
            earlier = past.over(table)
            table = table.extended(earlier)
            earlier.write(partial)
        progress, origin = _begin(partial, path, table, division, data, prepare, takes, past, borders)
        preparation = Preparation.from_json(read_json(partial / "preparation.json"))
        _write_arrays(partial, table, division.parts, preparation, data.weight, progress, borders)
        division.learnt.write(partial)
        units = {split: _write_units(partial / split, division, part) for part, split in enumerate(SPLITS) if part}
        rows = dict(zip(SPLITS, Places(division.parts, len(SPLITS)).rows, strict=True))
        named = {"ragged": list(preparation.by_ragged)} if preparation.by_ragged else {}
        write_json(
            partial / "store.json", {"rows": rows, "data": table.digest, "units": units, **named, "grown": origin}
        )
    return Store(path), False


def _begin(
    partial: Path,
    path: Path,
    table: Table,
    division: Division,
    data: DataConfig,
    prepare: PrepareConfig,
    takes: Collection[str],
    past: Past | None,
    borders: Borders,
) -> tuple[Progress, dict[str, str]]:
    """Fit the preparation and copy what an earlier store has, where that is not done. Returns what store.json says for later ones, too."""
    progress = Progress.read(partial, path.name)
    if progress is None:
        preparation = _fit(table, division.parts, data, prepare, takes, past, borders, division.cache)
        write_json(partial / "preparation.json", preparation.to_json())
    preparation = Preparation.from_json(read_json(partial / "preparation.json"))
    name = growth.way(table, preparation, data.weight)
    origin = {} if past is not None else growth.description(name, borders)
    if progress is None:
        progress = (growth.begin(partial, path, name, borders) if origin else None) or Progress(path.name)
        if len(division.parts) > EVERY_ROWS:
            checksums.sync_tree(partial)  # what was copied is on disk before it is said to be
            progress.write(partial)
    return progress, origin


def _arrays_taken(table: Table, takes: Collection[str]) -> list[str]:
    """Of the arrays that a model ``takes`` those that some column becomes."""
    return sorted(name for name in takes if any(gives(kind, {name}) for kind in table.kinds.values()))


def _write_units(folder: Path, division: Division, part: int) -> tuple[str, str]:
    """Keep what the rows of a part belong to. Returns its name and its note."""
    name, values, note = division.units(division.parts == part)
    np.save(folder / "unit.npy", np.unique(values, return_inverse=True)[1].astype(np.int64))
    return name, note


def _fit(
    table: Table,
    parts: np.ndarray,
    data: DataConfig,
    prepare: PrepareConfig,
    takes: Collection[str],
    past: Past | None,
    borders: Borders,
    cache: Cache | None,
) -> Preparation:
    """Raises DataError where there is nothing to learn from."""
    from headway.data.fit import fit  # not at the top: a machine that only trains needs none of what it imports

    preparation = fit(table, parts, data, prepare, takes, past, borders, cache)
    inputs = preparation.inputs()
    if not (inputs.numeric or inputs.categorical or inputs.tokens):
        raise DataError(
            f"a feature must hold something to learn from in the training rows, but {', '.join(table.kinds)} does not"
        )
    return preparation


def _write_arrays(
    folder: Path,
    table: Table,
    parts: np.ndarray,
    preparation: Preparation,
    weight: str | None,
    progress: Progress,
    borders: Borders,
) -> None:
    """Write the rows that are not there yet."""
    columns = (*table.columns, *table.extra)
    with ExitStack() as files:
        filling = Filling(folder, columns, parts, preparation, weight, files, progress, borders.rows[1:])
        run(table, [filling], rows_of=borders.rows_of)


def make_document_store(
    folder: Path,
    documents: Documents,
    prepare: PrepareConfig,
    smallest: int,
    warn: Callable[[str], None] = lambda _: None,
) -> tuple[Store, bool]:
    """As `make_store`, of documents. Raises DataError when a part has no more than ``smallest`` tokens."""
    path = folder / digest(
        {"format": FORMAT, "documents": documents.described(), "tokens": prepare.tokens.model_dump()}
    )
    if is_ready(path, warn):
        return Store(path), True
    with checksums.replacing_folder(path) as partial:
        from headway.data.fit import fit_documents

        preparation = fit_documents(documents, prepare)
        write_json(partial / "preparation.json", preparation.to_json())
        rows = _write_documents(partial, documents, preparation, smallest)
        documents.learnt().write(partial)
        ragged = list(preparation.by_ragged)
        write_json(partial / "store.json", {"rows": rows, "data": documents.table.digest, "ragged": ragged})
    return Store(path), False


def _write_documents(folder: Path, documents: Documents, preparation: Preparation, smallest: int) -> dict[str, int]:
    """How many there are of each part."""
    (name,) = preparation.by_ragged
    with ExitStack() as files:
        sinks = {split: Sink(folder, split, 0, preparation, files) for split in SPLITS}
        for split, batch in documents.batches():
            sinks[split].append_documents(batch)
    for split, sink in sinks.items():
        if (count := sink.count(name)) <= smallest:
            raise DataError(
                f"the {split} part must have more tokens than model.context, {smallest}, but it has {count:,}"
            )
    return {split: sink.filled for split, sink in sinks.items()}
