"""JSON lines: values as the texts that stand there; whatever else a line is, one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headway.data.config import CsvOptions
from headway.data.formats import read_batches, read_schema
from headway.errors import DataError


def rows(path: Path, columns: list[str] | None = None) -> list[dict[str, Any]]:
    return [row for batch in read_batches(str(path), "jsonl", CsvOptions(), columns, 1000) for row in batch.to_pylist()]


def test_values_of_mixed_types_are_texts_and_a_column_may_begin_late(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('\ufeff{"a": 4.0, "b": true}\r\n\n{"b": "x", "a": 4}\n{"a": "4.0", "c": null}')
    assert read_schema(str(path), "jsonl", CsvOptions()).names == ["a", "b", "c"]
    assert rows(path, ["a", "b"]) == [{"a": "4.0", "b": "true"}, {"a": "4", "b": "x"}, {"a": "4.0", "b": None}]


def test_a_file_longer_than_a_block_whose_numbers_change_their_type_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    line = '{"a": %s, "filler": "' + "x" * 100 + '"}\n'
    path.write_text(line % "1" * 50_000 + line % "1.5")
    values = rows(path, ["a"])
    assert (len(values), values[0], values[-1]) == (50_001, {"a": "1"}, {"a": "1.5"})


BAD = {
    "deep lists": (b'{"a": ' + b"[" * 200_000, "line 2 must hold flat rows, but is nested too deeply"),
    "deep objects": (b'{"a":' * 100_000, "line 2 must hold flat rows, but is nested too deeply"),
    "long line": (
        b'{"a": "' + b"x" * 30_000_000 + b'"}',
        "a line must be at most 16 MiB long, but line 2 is longer",
    ),
    "a list": (b"[1, 2]", "each line must be a JSON object .* but line 2 is none"),
    "cut": (b'{"a": 1', "line 2 must be JSON, but at column 8"),
    "twice": (b'{"a": 1, "a": 2}', "line 2: each name of an object must be there once, but a is there 2 times"),
    "NaN": (b'{"a": NaN}', "line 2: numbers must be finite, but one is NaN; write null"),
    "Infinity": (b'{"a": -Infinity}', "line 2: numbers must be finite, but one is -Infinity"),
    "latin-1": (b'{"a": "caf\xe9"}', "line 2 must be UTF-8 text, but byte 11 is not"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "line 2 must be UTF-8 text"),
    "half a character": (b'{"a": "\\ud800"}', "column a must hold text, but one value holds half a character"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_said_in_one_line_with_its_number(tmp_path: Path, name: str) -> None:
    content, text = BAD[name]
    (tmp_path / "x.jsonl").write_bytes(b'{"a": 1}\n' + content + b"\n")
    with pytest.raises(DataError, match=f"^x.jsonl: {text}") as error:
        rows(tmp_path / "x.jsonl", ["a"])
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_nested_values_are_no_single_values(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"a": {"b": 1}}\n')
    (batch,) = read_batches(str(tmp_path / "x.jsonl"), "jsonl", CsvOptions(), ["a"], 1000)
    assert str(batch.schema.field("a").type).startswith("list")


def test_a_csv_line_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    for content in (b"a,b\n1," + b"x" * 30_000_000 + b"\n", b"a" * 200_000 + b",b\n1,2\n"):
        (tmp_path / "x.csv").write_bytes(content)
        with pytest.raises(DataError, match="x.csv") as error:
            list(read_batches(str(tmp_path / "x.csv"), "csv", CsvOptions(), None, 1000))
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300
