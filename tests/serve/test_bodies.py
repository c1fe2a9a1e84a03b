"""Bodies of requests: what a stranger may write, met by one line; and what a user writes, read as it is meant."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.errors import DataError
from headway.serve.body import CSV, JSON, PARQUET, TooLarge, read_body
from headway.serve.config import ServeConfig

LIMITS = ServeConfig(body_megabytes=1, rows=1000)
ROWS = [{"x": "1", "k": "p"}, {"x": "2.50", "k": None}]


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def read(body: bytes, kind: str = JSON, needed: Sequence[str] = ("x", "k"), every: bool = True) -> list[dict[str, Any]]:
    return read_body(body, kind, needed, every, LIMITS).rows.to_pylist()


GOOD: dict[str, tuple[bytes, str]] = {
    "records": (b'{"inputs": [{"x": 1, "k": "p"}, {"more": [[1]], "x": 2.50, "k": null}]}', JSON),
    "instances": (b'{"instances": [{"x": 1, "k": "p"}, {"x": 2.50, "k": null}], "params": {"a": 1}}', JSON),
    "columns": (b'{"inputs": {"x": [1, "2.50"], "k": ["p", null], "more": [1, 2]}}', "application/json; charset=utf-8"),
    "split": (
        b'{"dataframe_split": {"index": [0, 1], "columns": ["k", "x"], "data": [["p", 1], [null, "2.50"]]}}',
        JSON,
    ),
    "dataframe_records": (b'\xef\xbb\xbf{"dataframe_records": [{"x": 1, "k": "p"}, {"k": null, "x": "2.50"}]}', JSON),
}


@pytest.mark.parametrize("name", GOOD)
def test_the_ways_to_write_rows_in_json_are_read(name: str) -> None:
    assert read(*GOOD[name]) == ROWS


def test_csv_and_parquet_are_read_with_the_columns_that_are_needed() -> None:
    assert read(b"k,more,x\np,a,1\n,b,2.50\n", CSV) == [{"x": "1", "k": "p"}, {"x": "2.50", "k": ""}]
    table = pa.table({"k": pa.array(["p", None]).dictionary_encode(), "more": [[1], [2]], "x": [1.0, 2.5]})
    assert read(parquet(table), PARQUET) == [{"x": 1.0, "k": "p"}, {"x": 2.5, "k": None}]


BAD: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", JSON, "the body must hold rows, but is empty"),
    "no type": (b"{}", "", "Content-Type must be application/json, text/csv or .*, but is missing"),
    "another type": (b"{}", "text/plain", "Content-Type must be .* but is text/plain"),
    "type with line": (b"{}", "text/pl\nain", r"but is 'text/pl\\nain'"),
    "another charset": (
        b"{}",
        "text/csv; charset=latin-1",
        "must be text/csv in UTF-8, but it says charset=latin-1",
    ),
    "latin-1": (
        '{"inputs": [{"x": "é"}]}'.encode("latin-1"),
        JSON,
        "the body must be UTF-8 text, but byte 20 is not",
    ),
    "utf-16": ('{"inputs": []}'.encode("utf-16"), JSON, "the body must be UTF-8 text"),
    "latin-1 CSV": ("x,k\n1,é\n".encode("latin-1"), CSV, "the body must be UTF-8 text, but byte 7 is not"),
    "no JSON": (b"x=1", JSON, "the body must be JSON, but at column 1"),
    "two values": (b'{"inputs": []} {}', JSON, "the body must be JSON, but at column 16: Extra data"),
    "deep lists": (b'{"inputs": ' + b"[" * 200_000, JSON, "nested too deeply"),
    "deep objects": (b'{"inputs": ' + b'{"a":' * 150_000 + b"1" + b"}" * 150_000 + b"}", JSON, "nested too deeply"),
    "deep value": (
        b'{"inputs": [{"x": ' + b"[" * 300 + b"]" * 300 + b', "k": "p"}]}',
        JSON,
        "must hold single values, but row 1 has a list",
    ),
    "NaN": (b'{"inputs": [{"x": NaN, "k": "p"}]}', JSON, "column x must be finite, but row 1 has NaN; write null"),
    "Infinity": (b'{"inputs": {"x": [1, Infinity], "k": ["p", "q"]}}', JSON, "but row 2 has Infinity; write null"),
    "NaN among params": (b'{"inputs": [{"x": 1, "k": 2}], "params": {"a": NaN}}', JSON, "params must be an object"),
    "an object": (
        b'{"inputs": [{"x": 1, "k": "p"}, {"x": {}, "k": "p"}]}',
        JSON,
        "single values, but row 2 has an obj",
    ),
    "twice": (b'{"inputs": [{"x": 1, "x": 2, "k": "p"}]}', JSON, "but x is there 2 times"),
    "a list": (b"[]", JSON, "the body must be a JSON object with one of inputs"),
    "two formats": (b'{"inputs": [], "instances": []}', JSON, "must be a JSON object with one of inputs"),
    "no rows": (b'{"inputs": []}', JSON, "the body must hold rows, but it holds none"),
    "rows of numbers": (b'{"inputs": [1, 2]}', JSON, "inputs must be a list of records"),
    "a row of numbers": (b'{"inputs": [{"x": 1, "k": "p"}, 2]}', JSON, "a list of records, but row 2 is none"),
    "columns of other lengths": (b'{"inputs": {"x": [1, 2], "k": ["p"]}}', JSON, "the same number of values"),
    "ragged split": (
        b'{"dataframe_split": {"columns": ["x", "k"], "data": [[1, "p"], [1]]}}',
        JSON,
        "row 2 must be a list of 2",
    ),
    "split twice": (b'{"dataframe_split": {"columns": ["x", "x"], "data": []}}', JSON, "columns must differ"),
    "split of what": (b'{"dataframe_split": [1]}', JSON, "dataframe_split must have columns"),
    "params": (b'{"inputs": [{"x": 1, "k": 2}], "params": [1]}', JSON, "params must be an object"),
    "a column less": (b'{"inputs": [{"x": 1}]}', JSON, "rows to predict must have the column k, but they have x"),
    "two columns less": (b'{"inputs": [{"a": 1}]}', JSON, "must have the columns x, k, but they have a"),
    "a row with a column less": (
        b'{"inputs": [{"x": 1, "k": "p"}, {"k": "p"}]}',
        JSON,
        "rows to predict: row 2 must have the column x; write null for a missing value",
    ),
    "a row without columns": (b'{"inputs": [{"x": 1, "k": "p"}, {}]}', JSON, "row 2 must have the columns x, k;"),
    "a name with a line": (b'{"inputs": [{"x\\n": 1}]}', JSON, r"must have the columns x, k, but they have 'x\\n'"),
    "half a character": (b'{"inputs": [{"x": "\\ud800", "k": "p"}]}', JSON, "column x must hold text"),
    "header only": (b"x,k\n", CSV, "the body must hold rows, but it holds none"),
    "ragged": (b"x,k\n1,p\n1\n", CSV, r"as many values as the header, but row 2 \(line 3\) has 1, not 2: 1"),
    "names twice": (b"x,k,x\n1,p,2\n", CSV, "column names must differ, but x occurs more than once"),
    "no header": (b"1,p\n2,q\n", CSV, "must have the columns x, k, but they have 1, p"),
    "long header": (b"x" * 900_000 + b"\n1\n", CSV, "the body must begin with the columns' names"),
    "no Parquet": (b"PAR1" + b"x" * 100 + b"PAR1", PARQUET, "the body must be whole and readable"),
    "CSV as Parquet": (b"x,k\n1,p\n", PARQUET, "the body must be whole and readable"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_is_one_line(name: str) -> None:
    body, kind, text = BAD[name]
    with pytest.raises(DataError, match=text) as error:
        read(body, kind)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_row_may_leave_out_what_stands_in_an_object_that_is_null() -> None:
    body = b'{"inputs": [{"user": {"age": 31}}, {"user": null}, {"user": {}}, {"user.age": 4}]}'
    assert [row["user.age"] for row in read(body, needed=("user.age",))] == ["31", None, None, "4"]
    with pytest.raises(DataError, match=r"row 2 must have the column user\.age"):
        read(b'{"inputs": [{"user": {"age": 31}}, {"user": {"name": "a"}}]}', needed=("user.age",))


def test_a_list_in_parquet_is_left_to_its_column_which_refuses_it() -> None:
    (row,) = read(parquet(pa.table({"x": [[1]], "k": ["p"]})), PARQUET)
    assert row["x"] == [1]


def test_what_is_small_and_stands_for_much_is_refused_before_it_is_unpacked() -> None:
    many = pa.table({"x": np.zeros(2000), "k": ["p"] * 2000})
    for body, kind in (
        (parquet(many), PARQUET),
        (b'{"inputs": [' + b",".join([b"{}"] * 2000) + b"]}", JSON),
        (b"x,k\n" + b"1,p\n" * 2000, CSV),
        (b'{"inputs": {"x": [' + b",".join([b"1"] * 2000) + b"]}}", JSON),
    ):
        with pytest.raises(TooLarge, match="a request must have at most 1,000 rows, but it has 2,000"):
            read(body, kind, ["x"])
    long = pa.table({"x": np.zeros(1000), "k": ["p" * 100_000] * 1000})
    with pytest.raises(TooLarge, match="texts must take at most 8 MB, but they take more"):
        read(parquet(long, compression="zstd"), PARQUET)
    wide = pa.table({"x": np.arange(1000.0), "k": ["p"] * 1000, **{f"c{i}": np.arange(1000.0) for i in range(1100)}})
    with pytest.raises(TooLarge, match="must take at most 8 MB when unpacked"):
        read(parquet(wide, use_dictionary=False, compression="none"), PARQUET)


def test_a_text_models_body_needs_one_of_its_columns() -> None:
    body = json.dumps({"inputs": [{"prompt": "a"}], "params": {"tokens": 3}}).encode()
    question = read_body(body, JSON, ("prompt", "text"), False, LIMITS)
    assert (question.rows.to_pylist(), question.params) == ([{"prompt": "a"}], {"tokens": "3"})
    with pytest.raises(DataError, match="must hold rows with a column prompt or text"):
        read(b'{"inputs": [{"x": 1}]}', JSON, ("prompt", "text"), False)


def test_random_bytes_and_cut_or_changed_files_end_in_one_line_or_rows() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=50), "k": rng.choice(["p", "q"], 50)})
    whole = {
        JSON: json.dumps({"inputs": json.loads(frame.to_json(orient="records"))}).encode(),
        CSV: frame.to_csv(index=False).encode(),
        PARQUET: parquet(pa.Table.from_pandas(frame)),
    }
    for kind, content in whole.items():
        for _ in range(150):
            body = bytearray(content)
            for place in rng.integers(0, len(body), int(rng.integers(1, 20))):
                body[place] = rng.integers(256)
            body = body[: int(rng.integers(1, len(body) + 1))] if rng.random() < 0.5 else body
            text = ""
            try:
                read(bytes(body), kind)
            except DataError as error:
                text = str(error)
            assert "\n" not in text, (kind, bytes(body))
