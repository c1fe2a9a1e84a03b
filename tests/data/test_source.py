"""Every format gives the same rows, and every broken file one clear line."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from headway.data.canonical import canonical
from headway.data.config import DataConfig
from headway.data.identity import hash_batch, row_hashes
from headway.data.opening import newest_month, open_table
from headway.data.source import Table
from headway.errors import ConfigError, DataError

FEATURES = {"n": "numeric", "c": "categorical", "d": "date", "t": "text"}
FRAME = pd.DataFrame(
    {
        "n": [1.5, None, -3.0],
        "c": ["a", None, "b c"],
        "d": pd.Series(["2024-01-31 00:00:00", "2024-02-01 10:30:00", None]).astype("datetime64[us]"),
        "t": ["one, two", "ü", None],
        "y": ["no", "yes", "no"],
    }
)


def opened(
    path: Path | str, root: Path, task: Any = "classification", extra: tuple[str, ...] = (), **data: Any
) -> Table:
    config = DataConfig.parse({"source": str(path), "target": "y", "features": FEATURES, **data}, "data")
    return open_table(config, task, root, extra)


def rows(table: Table) -> list[dict[str, Any]]:
    return [row for chunk in table.chunks() for row in chunk.batch.to_pylist()]


def write(frame: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, date_format="iso")
    elif path.suffix == ".arrow":
        feather.write_feather(pa.Table.from_pandas(frame), path, compression="uncompressed")
    return path


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.csv.gz", "x.jsonl", "x.arrow"])
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    file_rows = rows(opened(write(FRAME, tmp_path / name), tmp_path))
    truth = [
        {k: None if pd.isna(v) else v.to_pydatetime() if isinstance(v, pd.Timestamp) else v for k, v in row.items()}
        for row in FRAME.to_dict("records")
    ]
    assert file_rows == truth


def test_a_folder_is_read_in_the_order_of_its_names_and_chunks_know_their_place(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(FRAME.assign(t=name), tmp_path / "rows" / f"{name}.parquet")
    (tmp_path / "rows" / "_SUCCESS").write_text("")
    table = opened("rows", tmp_path)
    chunks = list(table.chunks(rows=2))
    assert [(c.file, c.start, c.batch.num_rows) for c in chunks] == [
        (0, 0, 2),
        (0, 2, 1),
        (1, 3, 2),
        (1, 5, 1),
        (2, 6, 2),
        (2, 8, 1),
    ]
    assert [row["t"] for row in rows(table)] == list("aaabbbccc")
    assert table.count() == 9
    assert opened("rows/[ab]*", tmp_path).count() == 6


def test_the_digest_follows_the_content_not_the_time(tmp_path: Path) -> None:
    path = write(FRAME, tmp_path / "x.csv")
    first = opened(path, tmp_path).digest
    path.touch()
    assert opened(path, tmp_path).digest == first
    write(FRAME.assign(n=1.0), path)
    assert opened(path, tmp_path).digest != first


def test_whatever_a_frame_holds_becomes_the_type_of_its_kind() -> None:
    def convert(values: Any, kind: str) -> list[Any]:
        batch = pa.RecordBatch.from_arrays([pa.array(values)], names=["x"])
        return canonical(batch, {"x": kind}, "rows").column("x").to_pylist()  # type: ignore[dict-item]

    assert convert([1, 2, None], "categorical") == ["1", "2", None]
    assert convert([1.0, float("nan"), 2.0], "categorical") == ["1", None, "2"]
    assert convert([1.5, 2.0], "categorical") == ["1.5", "2"]
    assert convert([True, False], "categorical") == ["true", "false"]
    assert convert(pd.Categorical(["a", None, "b"]), "categorical") == ["a", None, "b"]
    assert convert([" 1.5", "+2", "1e3", None, "inf"], "numeric") == [1.5, 2.0, 1000.0, None, float("inf")]
    assert convert([True, None], "numeric") == [1.0, None]
    assert convert(["31.12.2024", None], "date") == [pd.Timestamp("2024-12-31"), None]
    assert convert([20241231], "date") == [pd.Timestamp("2024-12-31")]
    zoned = pa.array([pd.Timestamp("2024-06-01 12:00", tz="Europe/Berlin")], pa.timestamp("us", "Europe/Berlin"))
    assert convert(zoned, "date") == [pd.Timestamp("2024-06-01 10:00")]


def test_an_ambiguous_date_is_refused_until_its_format_is_stated(tmp_path: Path) -> None:
    path = write(FRAME.assign(d=pd.Series(["03/04/2024", "31/12/2024", None])), tmp_path / "x.csv")
    with pytest.raises(
        DataError, match=r"column d must be a date .* 2 values are not .* data.date_format can state another"
    ):
        rows(opened(path, tmp_path))
    file_rows = rows(opened(path, tmp_path, date_format="%d/%m/%Y"))
    assert file_rows[0]["d"] == pd.Timestamp("2024-04-03")


@pytest.mark.parametrize(
    ("form", "day", "others"),
    [
        ("%Y%m%d", "20240111", ["2024011", "202411", "202401110"]),
        ("%d%m%Y", "11012024", ["1012024", "112024"]),
        ("%Y%m", "202401", ["20241", "2024"]),
    ],
)
def test_a_date_of_digits_alone_has_all_of_its_digits(tmp_path: Path, form: str, day: str, others: list[str]) -> None:
    for number, text in enumerate([f"{day}.0", *others]):
        frame = FRAME.assign(d=pd.Series([day, text, None]))
        table = opened(write(frame, tmp_path / f"{number}.csv"), tmp_path, date_format=form)
        if text in others:
            with pytest.raises(DataError, match=rf"column d must be a date like {form}, but 1 value is not \(row 2: "):
                rows(table)
        else:
            moment = pd.to_datetime(day, format=form)
            assert [row["d"] for row in rows(table)] == [moment, moment, None]


CSV = "n,c,d,t,y\n1,a,2024-01-01,x,no\n2,b,2024-01-02,y,yes\n"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "x.csv must have content, but is empty"),
        (CSV.splitlines()[0].encode() + b"\n", "the data must have rows, but x.csv has none"),
        (b"\n\n", "x.csv must begin with the columns' names, but its first line is blank"),
        (
            CSV.replace("2,b", "two,b").encode(),
            r"x.csv: column n must be numeric, but 1 value is not \(row 2: 'two'\)",
        ),
        (
            CSV.replace("2024-01-02", "soon").encode(),
            r"x.csv: column d must be a date such as 2024-12-31, but 1 value is not \(row 2: 'soon'\)",
        ),
        (CSV.replace("n,c,", "n,n,").encode(), "x.csv: column names must differ, but n occurs more than once"),
        (
            CSV.replace("2,b,2024-01-02,y,yes", "2,b,yes").encode(),
            "x.csv: each line must have as many values as the header, but",
        ),
        (CSV.replace("a", "caf\xe9").encode("latin-1"), "x.csv must be UTF-8 text, but .* set data.csv.encoding"),
    ],
    ids=["empty", "header only", "blank", "mixed types", "no date", "duplicate names", "ragged", "not UTF-8"],
)
def test_a_broken_csv_is_one_clear_line(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=line) as error:
        rows(opened(path, tmp_path))
    assert "\n" not in str(error.value)


def test_another_encoding_delimiter_and_null_can_be_stated(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("1; caf\xe9;2024-01-01; ?;no \r\n\r\n".encode("latin-1"))
    csv = {
        "encoding": "latin-1",
        "delimiter": ";",
        "strip": True,
        "null_values": ["?"],
        "column_names": ["n", "c", "d", "t", "y"],
    }
    file_rows = rows(opened("x.csv", tmp_path, csv=csv))
    assert [(r["n"], r["c"], r["t"], r["y"]) for r in file_rows] == [(1.0, "café", None, "no")]


@pytest.mark.parametrize("cut", [10, -10])
def test_a_truncated_parquet_is_one_clear_line(tmp_path: Path, cut: int) -> None:
    path = write(FRAME, tmp_path / "x.parquet")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="x.parquet must be whole and readable, but") as error:
        rows(opened(path, tmp_path))
    assert "\n" not in str(error.value)


def test_a_parquet_damaged_inside_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    frame = pd.concat([FRAME] * 500, ignore_index=True).assign(n=np.random.default_rng(0).normal(size=1500))
    pq.write_table(pa.Table.from_pandas(frame), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[60:4000] = bytes(3940)
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="x.parquet must be whole and readable, but"):
        rows(opened(path, tmp_path))


def test_a_month_whose_schema_changed_names_the_file_the_column_and_the_types(tmp_path: Path) -> None:
    write(FRAME, tmp_path / "m" / "01.parquet")
    write(FRAME.assign(n=["x", "y", "z"]), tmp_path / "m" / "02.parquet")
    with pytest.raises(
        DataError,
        match=r"02.parquet: a column must have one type in all files, but n is text here and a number in 01",
    ):
        opened("m", tmp_path)
    write(FRAME.rename(columns={"n": "nn"}), tmp_path / "m" / "02.parquet")
    with pytest.raises(
        DataError,
        match=r"02.parquet: all files must have the same columns, but it lacks n, which 01.parquet has; did you mean nn\?",
    ):
        opened("m", tmp_path)


def test_a_column_that_is_not_there_is_a_mistake_in_the_project(tmp_path: Path) -> None:
    path = write(FRAME, tmp_path / "x.csv")
    with pytest.raises(ConfigError, match=r"data.features.cc must name a column of x.csv, but cc is none"):
        opened(path, tmp_path, features={"cc": "categorical"})
    with pytest.raises(ConfigError, match=r"data.target must name a column of x.csv, but yy is none"):
        opened(path, tmp_path, target="yy")
    for name, setting in {"w": "data.weight", "k": "data.keys"}.items():
        with pytest.raises(ConfigError, match=rf"^{setting} must name a column of x.csv, but {name} is none"):
            opened(path, tmp_path, extra=(name,), weight="w", keys=("k",))


@pytest.mark.parametrize(
    ("source", "error", "line"),
    [
        ("nowhere.csv", DataError, "there is no nowhere.csv"),
        ("empty", DataError, "must hold Parquet, CSV, JSON lines or Arrow files, but empty holds none"),
        ("pics", DataError, "but pics holds 3 images, which this version does not read"),
        ("x.xlsx", ConfigError, r"data.format must be given .* unknown \(.xlsx\)"),
        ("gopher://x/y.csv", ConfigError, "must be an address that pyarrow can open"),
    ],
)
def test_a_source_that_cannot_be_found_is_one_clear_line(
    tmp_path: Path, source: str, error: type[Exception], line: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "pics" / "cat").mkdir(parents=True)
    for name in ("cat/1.png", "cat/2.PNG", "3.jpg", "README.txt"):
        (tmp_path / "pics" / name).write_text("x")
    (tmp_path / "x.xlsx").write_text("x")
    with pytest.raises(error, match=line):
        opened(source, tmp_path)


def test_a_file_address_is_read_like_the_file(tmp_path: Path) -> None:
    path = write(FRAME, tmp_path / "x.parquet")
    table = opened(path.as_uri(), tmp_path)
    assert rows(table) == rows(opened(path, tmp_path))
    assert len(table.digest) == 64


def test_columns_that_the_project_does_not_know_are_told(tmp_path: Path) -> None:
    path = write(FRAME.assign(new=1, old=2), tmp_path / "x.csv")
    assert opened(path, tmp_path, ignore={"old": "not used"}).unlisted == ["new"]


def test_the_newest_month_is_read_from_the_files_names(tmp_path: Path) -> None:
    for name in ("2025-11", "loans_2026-02-28", "2024-13", "notes"):
        (tmp_path / f"{name}.csv").write_text("a,y\n1,2\n")
    config = DataConfig.parse({"source": str(tmp_path), "target": "y", "features": {"a": "numeric"}}, "data")
    assert newest_month(config, tmp_path) == "2026-02"
    alone = config.model_copy(update={"source": str(tmp_path / "notes.csv")})
    assert newest_month(alone, tmp_path) is None


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        (pa.array([1, 2], pa.int32()), pa.array([2**53 + 1, None]), pa.int64()),
        (pa.array([1, 2]), pa.array([2.5, 4.0]), pa.float64()),
        (pa.nulls(2), pa.array([7, 8], pa.int16()), pa.int64()),
        (pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", None], pa.large_string()), pa.string()),
        (pa.array([1, 2], pa.int32()).cast(pa.date32()), pa.array([1, 2]).cast(pa.timestamp("ns")), pa.timestamp("us")),
    ],
)
def test_a_column_that_is_carried_along_has_one_type_whatever_its_width_in_each_file(
    tmp_path: Path, first: pa.Array, second: pa.Array, kind: pa.DataType
) -> None:
    for number, key in enumerate((first, second)):
        part = pa.table({"key": key, "a": [1.0, 2.0], "y": [3.0, 4.0]})
        pq.write_table(part, tmp_path / f"part{number}.parquet")
    fields = {"source": str(tmp_path / "*.parquet"), "target": "y", "features": {"a": "numeric"}, "keys": ["key"]}
    table = open_table(DataConfig.parse(fields, "data"), "regression", tmp_path, ["key"])
    columns = [chunk.batch.column("key") for chunk in table.chunks()]
    assert {column.type for column in columns} == {kind}
    values = pa.chunked_array(columns).to_pylist()
    assert values == [value for key in (first, second) for value in key.cast(kind, safe=False).to_pylist()]
    hashes = np.concatenate([hash_batch(pa.record_batch([key], ["key"]), ["key"]) for key in (first, second)])
    assert np.array_equal(row_hashes(table, ["key"]), hashes)
