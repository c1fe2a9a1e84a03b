"""Formats as other tools write them, and files that are broken in one place: each is one line that names the place."""

from __future__ import annotations

import datetime as dt
import gzip
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.columns.continuous import Continuous
from headway.data import source
from headway.data.canonical import canonical
from headway.data.config import DataConfig
from headway.data.digests import file_digests
from headway.data.file_profiles import profile_by_file
from headway.data.formats import read_batches
from headway.data.opening import open_table
from headway.data.source import Table
from headway.errors import ConfigError, DataError


def opened(path: Path, features: dict[str, str]) -> Table:
    config = DataConfig.parse({"source": str(path), "target": "y", "features": features}, "data")
    return open_table(config, "classification", path if path.is_dir() else path.parent)


def column(table: Table, name: str) -> list[Any]:
    return [value for chunk in table.chunks(columns=[name]) for value in chunk.batch.column(name).to_pylist()]


def numbers(rows: int, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({"a": rng.normal(size=rows), "y": rng.choice(["no", "yes"], rows)})


def damage(path: Path, group: int, name: str) -> None:
    """Overwrite the pages of one column in one row group."""
    metadata = pq.read_metadata(path)
    chunk = metadata.row_group(group).column(metadata.schema.names.index(name))
    content = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(bytes(content))


def test_a_corrupt_row_group_is_named_and_the_files_before_it_are_read(tmp_path: Path) -> None:
    for number in range(4):
        pq.write_table(numbers(1000), tmp_path / f"{number}.parquet", row_group_size=100, compression="zstd")
    damage(tmp_path / "2.parquet", 6, "a")
    table = opened(tmp_path, {"a": "numeric"})
    chunks = []
    with pytest.raises(DataError) as refusal:
        chunks.extend(table.chunks(rows=250))
    assert str(refusal.value).startswith(
        "2.parquet must be whole and readable, but row group 7 of 10 (rows 601 to 700) is not: "
    )
    assert "\n" not in str(refusal.value)
    assert sum(chunk.batch.num_rows for chunk in chunks) >= 2000
    assert sum(block.chunk().rows for block in table.file_blocks(3, 0)) == 1000, "the others stay readable"


def test_what_was_profiled_before_a_corrupt_row_group_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, folder = tmp_path / "rows", tmp_path / "kept"
    rows.mkdir()
    for number in range(10, 90):
        pq.write_table(numbers(100, number), rows / f"{number}.parquet", row_group_size=10, compression="zstd")
    whole = (rows / "88.parquet").read_bytes()
    truth = profile_by_file(opened(rows, {"a": "numeric"}), tmp_path, tmp_path / "another")
    damage(rows / "88.parquet", 9, "a")
    with pytest.raises(DataError, match=r"88\.parquet must be whole and readable, but row group 10 of 10 "):
        profile_by_file(opened(rows, {"a": "numeric"}), tmp_path, folder)
    count = len(list(folder.glob("*.json")))
    assert count >= 1  # all but the few that are read ahead
    (rows / "88.parquet").write_bytes(whole)
    files = []

    def counted(file: str, *arguments: Any, **options: Any) -> Any:
        files.append(file)
        return read_batches(file, *arguments, **options)

    monkeypatch.setattr(source, "read_batches", counted)
    assert profile_by_file(opened(rows, {"a": "numeric"}), tmp_path, folder).rows == truth.rows == 8000
    assert len(files) == 80 - count


def test_a_number_beyond_all_others_leaves_finite_moments_and_is_said() -> None:
    summary = Continuous("a", "numeric")
    values = np.random.default_rng(0).normal(size=300_000)
    values[123_456] = 1e200
    for at in range(0, len(values), 65_536):
        summary.update(pa.array(values[at : at + 65_536]))
    assert summary.mean == pytest.approx(1e200 / len(values))
    assert summary.std is not None
    assert np.isfinite(summary.std)
    assert summary.spreads_too_far


@pytest.mark.parametrize("broken", ["4,x", "4,x,no,9,9", "4," + "x" * 300], ids=["short", "long", "wide"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_broken_line_is_named_by_its_line_also_below_quoted_line_breaks(
    tmp_path: Path, broken: str, packed: bool
) -> None:
    text = '"a","the\nnote",y\n1,"one\ntwo\n4,xyz",no\n\n2,x,yes\n3,x,no\n' + broken + "\n5,x,yes\n"
    line = 1 + text.split("\n").index(broken)
    path = tmp_path / ("rows.csv.gz" if packed else "rows.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    count = broken.count(",") + 1
    with pytest.raises(DataError) as refusal:
        column(opened(path, {"a": "numeric", "the\nnote": "text"}), "a")
    assert f"but row 4 (line {line}) has {count}, not 3: {broken[:50]}" in str(refusal.value)


def test_quoted_line_breaks_stay_in_names_and_values_and_types_do_not_follow_the_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    many = "".join(f"{n},plain,no\n" for n in range(600_000))  # more than a block, all of them whole numbers
    path.write_text('a,"the\nnote",y\n' + many + '0.5,"one\r\ntwo",yes\n,,no\n')
    table = opened(path, {"a": "numeric", "the\nnote": "text"})
    assert path.stat().st_size > 1 << 22
    assert column(table, "a")[-3:] == [599_999.0, 0.5, None]
    assert column(table, "the\nnote")[-3:] == ["plain", "one\r\ntwo", None]


def test_without_quotes_each_line_is_a_row_and_quotes_are_text(tmp_path: Path) -> None:
    lines = ['say "a"\ty', '"open\tno', 'closed"\tyes', '"all"\tno', '"\tyes']
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    settings = {"source": str(tmp_path / "rows.csv"), "target": "y", "features": {'say "a"': "text"}}
    config = DataConfig.parse({**settings, "csv": {"delimiter": "\t", "quotes": False}}, "data")
    table = open_table(config, "classification", tmp_path)
    assert column(table, 'say "a"') == ['"open', 'closed"', '"all"', '"']
    assert column(table, "y") == ["no", "yes", "no", "yes"]
    with pytest.raises(ConfigError, match="quotes must be true with delimiter spaces"):
        DataConfig.parse({**settings, "csv": {"delimiter": "spaces", "quotes": False}}, "data")


def test_json_lines_may_change_a_values_type_late(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1, "y": "no"}\n' * 300_000 + '{"a": 2.5, "y": "yes"}\n{"a": "1e3", "y": "no"}\n')
    assert path.stat().st_size > 1 << 22
    assert column(opened(path, {"a": "numeric"}), "a")[-3:] == [1.0, 2.5, 1000.0]


@pytest.mark.parametrize("packing", ["gz", "zst", "zip"])
@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_packed_files_give_the_rows_of_plain_ones(tmp_path: Path, packing: str, form: str) -> None:
    plain = tmp_path / f"rows.{form}"
    if form == "csv":
        plain.write_text("a,y\n1,no\n2.5,yes\n")
    elif form == "jsonl":
        plain.write_text('{"a": 1, "y": "no"}\n{"a": 2.5, "y": "yes"}\n')
    else:
        pq.write_table(pa.table({"a": [1, 2.5], "y": ["no", "yes"]}), plain)
    packed = tmp_path / f"rows.{form}.{packing}"
    if packing == "zip":
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(plain, plain.name)
    else:
        codec = {"gz": "gzip", "zst": "zstd"}[packing]
        with pa.CompressedOutputStream(str(packed), codec) as out:
            out.write(plain.read_bytes())
    assert column(opened(packed, {"a": "numeric"}), "a") == [1.0, 2.5]


D = Decimal("1.5")
MORNING = dt.datetime(2024, 6, 1, 12)
PLAIN: dict[str, tuple[pa.Array, str, Any]] = {
    "decimal256": (pa.array([D, None], pa.decimal256(70, 2)), "numeric", 1.5),
    "decimal32": (pa.array([D, None], pa.decimal32(5, 2)), "categorical", "1.5"),
    "float16": (pa.array(np.array([1.5, np.nan], np.float16)), "numeric", 1.5),
    "large string": (pa.array(["x", None], pa.large_string()), "categorical", "x"),
    "string view": (pa.array(["x", None], pa.string_view()), "text", "x"),
    "dictionary of large strings": (pa.array(["x", None], pa.large_string()).dictionary_encode(), "text", "x"),
    "runs of numbers": (pa.RunEndEncodedArray.from_arrays([1, 2], pa.array([1.5, None])), "numeric", 1.5),
    "runs of texts": (pa.RunEndEncodedArray.from_arrays([1, 2], pa.array(["x", None])), "categorical", "x"),
    "time of day": (pa.array([dt.time(1, 2), None], pa.time32("s")), "categorical", "01:02:00"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_every_type_that_holds_single_values_is_read(name: str) -> None:
    array, kind, first = PLAIN[name]
    batch = pa.RecordBatch.from_arrays([array], names=["x"])
    values = canonical(batch, {"x": kind}, "rows").column("x").to_pylist()  # type: ignore[dict-item]
    assert values[0] == first
    assert values[1] is None or np.isnan(values[1])


def test_dictionaries_may_differ_between_row_groups_and_files(tmp_path: Path) -> None:
    for number, words in enumerate((["b", "a"], ["c", "b"])):
        schema = pa.schema([("c", pa.dictionary(pa.int8(), pa.string())), ("y", pa.string())])
        with pq.ParquetWriter(tmp_path / f"{number}.parquet", schema) as out:
            for word in words:
                out.write_table(pa.table({"c": pa.array([word]).dictionary_encode(), "y": ["no"]}).cast(schema))
    pq.write_table(pa.table({"c": ["d"], "y": ["yes"]}), tmp_path / "2.parquet")
    assert column(opened(tmp_path, {"c": "categorical"}), "c") == ["b", "a", "c", "b", "d"]


def test_moments_with_and_without_a_zone_are_not_mixed(tmp_path: Path) -> None:
    for number, zone in enumerate((None, None, "UTC")):
        moments = pa.array([MORNING], pa.timestamp("us", zone))
        pq.write_table(pa.table({"d": moments, "y": ["no"]}), tmp_path / f"{number}.parquet")
    line = (
        "2.parquet: a column must have one type in all files, but d is a moment with a time zone here and a date in 0"
    )
    with pytest.raises(DataError, match=line):
        opened(tmp_path, {"d": "date"})
    (tmp_path / "2.parquet").unlink()
    assert column(opened(tmp_path, {"d": "date"}), "d") == [MORNING] * 2


def test_digests_of_many_files_are_those_of_each(tmp_path: Path) -> None:
    import hashlib

    files = []
    for number in range(50):
        path = tmp_path / f"{number}.csv"
        path.write_bytes(str(number).encode() * 100)
        files.append(str(path))
    truth = {file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files}
    assert file_digests(files, tmp_path) == truth
    assert file_digests(files, tmp_path) == truth, "from the cache"
