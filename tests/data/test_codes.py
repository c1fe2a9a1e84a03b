"""However a file holds its texts, as they are or as codes of a dictionary: all that is made of them is the same to the bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.columns.codes import decoded
from headway.columns.config import PrepareConfig
from headway.data.config import CsvOptions, DataConfig, SplitConfig
from headway.data.formats import read_batches
from headway.data.identity import RowHashes
from headway.data.measure import Metrics, Request
from headway.data.opening import open_table
from headway.data.passes import run
from headway.data.profile import Profiler, kinds_of
from headway.data.row_groups import even
from headway.data.sample import Sample
from headway.data.source import Table
from headway.data.split import Division
from headway.data.storing import make_store
from headway.errors import DataError

KINDS = {"town": "categorical", "grade": "categorical", "size": "numeric", "day": "date", "note": "text", "id": "text"}
ROWS, BLOCK = 3000, 256


def frame(seed: int) -> pa.Table:
    """Texts of all sorts: names, several spellings of a number, numbers and dates as texts, long ones, all different ones; with nulls."""
    rng = np.random.default_rng(seed)
    days = [f"2024-{month:02d}-{day:02d}" for month in range(1, 13) for day in (1, 15, 28)]
    columns: dict[str, Any] = {
        "town": rng.choice([f"town {n}" for n in range(60)], ROWS),
        "grade": rng.choice(["4", "4.0", "+4", "A", "TRUE", "true", ""], ROWS),
        "size": rng.choice(["1.5", " 2", "+3", "1e30", "", "true"], ROWS),
        "day": rng.choice(days, ROWS),
        "note": rng.choice(["ü" * 300, "short", *(f"late by {n} days" for n in range(90))], ROWS),
        "id": np.array([f"id-{n}" for n in range(ROWS)]),
    }
    texts = {name: pa.array(values, mask=rng.random(ROWS) < 0.1) for name, values in columns.items()}
    return pa.table({**texts, "y": rng.choice(["no", "yes"], ROWS)})


def as_categories(table: pa.Table) -> pa.Table:
    """Dictionaries in the order of the texts, with one that does not occur."""
    arrays = {}
    for name in table.column_names:
        values = sorted(v for v in table[name].unique().to_pylist() if v is not None)
        kind = pd.CategoricalDtype(["a text that does not occur", *values])
        arrays[name] = pa.array(table[name].to_pandas().astype(kind))
    return pa.table(arrays)


def write_arrow(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=BLOCK)


WAYS: dict[str, tuple[str, Callable[[pa.Table, Path], None]]] = {
    "row groups with dictionaries": ("parquet", lambda t, path: pq.write_table(t, path, row_group_size=700)),
    "a dictionary that becomes too large": (
        "parquet",
        lambda t, path: pq.write_table(t, path, dictionary_pagesize_limit=500, data_page_size=500, row_group_size=1100),
    ),
    "one column with a dictionary": ("parquet", lambda t, path: pq.write_table(t, path, use_dictionary=["town"])),
    "pandas' categories": ("parquet", lambda t, path: pq.write_table(as_categories(t), path, row_group_size=700)),
    "large texts": (
        "parquet",
        lambda t, path: pq.write_table(t.cast(pa.schema([(n, pa.large_string()) for n in t.column_names])), path),
    ),
    "Arrow's own file": ("arrow", lambda t, path: write_arrow(as_categories(t), path)),
}


def opened(path: Path, **data: Any) -> tuple[Table, DataConfig]:
    config = DataConfig.parse({"source": str(path), "target": "y", "features": KINDS, **data}, "data")
    return open_table(config, "classification", path.parent), config


REQUESTS = [
    Request("length", "column_values.value_length.between.unexpected_count", ("note",), {"max_value": 12}),
    Request("regex", "column_values.match_regex.unexpected_count", ("town",), {"regex": r"town \d$"}),
    Request("set", "column_values.in_set.unexpected_values", ("grade",), {"value_set": ["4", "A"]}),
    Request("missing", "column_values.nonnull.unexpected_count", ("id",)),
    Request("between", "column_values.between.unexpected_count", ("town",), {"min_value": "town 1", "max_value": "u"}),
    Request("least", "column.min", ("town",)),
    Request("common", "column.most_common_value", ("note",)),
    Request("unique", "column_values.unique.unexpected_values", ("town",)),
    Request("different", "column.distinct_values.count", ("id",)),
    Request("pair", "column_pair_values.equal.unexpected_count", ("town", "grade"), {"ignore_row_if": "neither"}),
    Request("mean", "column.mean", ("size",)),
]


def summaries(path: Path, **data: Any) -> list[Any]:
    """Profile, hashes, metrics and the leak checks' sample of a file, by small blocks and two threads."""
    table, _ = opened(path, **data)
    names = [*table.kinds, "y"]
    profiler, hashes, metrics = Profiler(kinds_of(table)), RowHashes(names, ["town"]), Metrics(REQUESTS)
    sample = Sample(names, rows=100)
    rows = run(table, [profiler, hashes, metrics, sample], 2, block_rows=BLOCK)
    values = [metrics.value(one, rows, names) for one in REQUESTS]
    frame = sample.frame(100)
    assert frame is not None
    return [
        profiler.profile().to_json(),
        hashes.values.tolist(),
        hashes.of(1).tolist(),
        repr(values),
        frame.astype("string").fillna("missing").to_numpy().tolist(),
    ]


def written(path: Path, folder: Path) -> dict[str, bytes]:
    """The files of the store that is made of a file, except for what names the data's digest."""
    table, config = opened(path)
    split = SplitConfig.parse({"by": "random"}, "split")
    store, _ = make_store(folder, Division(table, split), config, PrepareConfig())
    named = ("store.json", "learnt.json", "checksums.json")
    files = [file for file in sorted(store.path.rglob("*")) if file.is_file() and file.name not in named]
    return {str(file.relative_to(store.path)): file.read_bytes() for file in files}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(2))
def test_codes_and_texts_give_the_same_profile_hashes_metrics_and_samples(tmp_path: Path, way: str, seed: int) -> None:
    form, write = WAYS[way]
    pq.write_table(frame(seed), tmp_path / "plain.parquet", use_dictionary=False)
    write(frame(seed), tmp_path / f"coded.{form}")
    for unlabelled in ("stop", "drop"):
        plain = summaries(tmp_path / "plain.parquet", unlabelled=unlabelled)
        coded = summaries(tmp_path / f"coded.{form}", unlabelled=unlabelled)
        for one, other in zip(plain, coded, strict=True):
            assert json.dumps(one) == json.dumps(other)


def test_rows_without_a_target_leave_no_trace_of_their_texts(tmp_path: Path) -> None:
    table = frame(3)
    y = [None if n % 3 else v for n, v in enumerate(table["y"].to_pylist())]
    table = table.set_column(table.column_names.index("y"), "y", pa.array(y))
    pq.write_table(table, tmp_path / "plain.parquet", use_dictionary=False)
    pq.write_table(table, tmp_path / "coded.parquet", row_group_size=500)
    plain, coded = (summaries(tmp_path / f"{how}.parquet", unlabelled="drop") for how in ("plain", "coded"))
    assert json.dumps(plain) == json.dumps(coded)


@pytest.mark.parametrize("way", ["row groups with dictionaries", "pandas' categories"])
def test_codes_and_texts_give_the_same_store(tmp_path: Path, way: str) -> None:
    form, write = WAYS[way]
    pq.write_table(frame(5), tmp_path / "plain.parquet", use_dictionary=False)
    write(frame(5), tmp_path / f"coded.{form}")
    plain = written(tmp_path / "plain.parquet", tmp_path / "plain")
    coded = written(tmp_path / f"coded.{form}", tmp_path / "coded")
    assert plain.keys() == coded.keys()
    assert len(plain) > 10
    assert [name for name in plain if plain[name] != coded[name]] == []


def test_few_texts_come_as_codes_and_all_different_ones_as_texts_in_even_blocks(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(frame(1), path, row_group_size=700)
    batches = list(read_batches(str(path), "parquet", CsvOptions(), None, BLOCK, codes=list(KINDS)))
    assert [batch.num_rows for batch in batches] == [BLOCK] * (ROWS // BLOCK) + [ROWS % BLOCK]
    for batch in batches:
        assert pa.types.is_dictionary(batch.column("town").type)
        assert pa.types.is_string(batch.column("id").type)
        assert pa.types.is_string(batch.column("y").type), "nobody asked for its codes"
    texts = pa.Table.from_batches([batch.select(["town"]) for batch in batches])["town"].cast(pa.string())
    assert texts.to_pylist() == frame(1)["town"].to_pylist()


def test_the_first_row_with_a_text_that_is_no_number_is_named(tmp_path: Path) -> None:
    table = frame(2)
    sizes = ["many" if n in (1234, 2000) else "1" for n in range(ROWS)]
    path = tmp_path / "rows.parquet"
    pq.write_table(table.set_column(2, "size", pa.array(sizes)), path, row_group_size=700)
    with pytest.raises(DataError, match=r"size must be numeric, but 1 value is not \(row 1235: 'many'\)"):
        run(opened(path)[0], [Profiler(KINDS)], 2, block_rows=BLOCK)


def test_a_dictionary_that_has_a_text_twice_is_not_trusted(tmp_path: Path) -> None:
    path, words = tmp_path / "rows.parquet", ["aa1", "aa2", "bb", "aa2", "bb", "aa1", "cc", "bb"] * 5
    pq.write_table(pa.table({"town": words}), path, compression="none", write_statistics=False)
    content = path.read_bytes()
    content = content.replace(b"aa2", b"aa1", 1).replace(b"parquet-cpp-arrow", b"another-writer-of")
    path.write_bytes(content)
    batches = read_batches(str(path), "parquet", CsvOptions(), None, 8, codes=["town"])
    truth = [word.replace("aa2", "aa1") for word in words]
    assert [text for batch in batches for text in batch.column("town").to_pylist()] == truth


@pytest.mark.parametrize("seed", range(8))
def test_blocks_end_before_their_texts_are_too_long_wherever_the_file_ends_its_own(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = ["x" * int(length) for length in rng.choice([0, 3, 50, 900], 20)]
    rows, size, most = int(rng.integers(1, 400)), int(rng.integers(1, 5000)), int(rng.integers(1, 300))
    codes = pa.array(rng.integers(0, 20, rows), pa.int32(), mask=rng.random(rows) < 0.1)
    coded = pa.record_batch({"a": pa.DictionaryArray.from_arrays(codes, texts), "n": np.arange(rows)})
    plain = decoded(coded)
    lengths = [len(text or "") for text in plain.column("a").to_pylist()]
    truth, total = list[list[int]](), 0
    for row, length in enumerate(lengths):  # the obvious way: row by row
        if not truth or len(truth[-1]) == most or total + length > size:
            truth.append([])
            total = 0
        truth[-1].append(row)
        total += length
    for batch in (coded, plain):
        cuts = np.sort(rng.integers(0, rows + 1, 5)).tolist()
        parts = [batch.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, rows], strict=True)]
        assert [one.column("n").to_pylist() for one in even(iter(parts), most, size)] == truth
