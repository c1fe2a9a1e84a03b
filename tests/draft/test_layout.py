"""Files as they come: format, packing, encoding, delimiter, line of names; and every error of `init` names an option that it has."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.cli import commands as cli
from headway.data import delimiters
from headway.data.arriving import find_inputs
from headway.data.opening import open_table
from headway.draft.drafting import draft
from headway.draft.heading import is_header
from headway.draft.layout import Choices
from headway.errors import HeadwayError
from headway.pipeline.validation import examine
from headway.project import load_project
from headway.run.report import Silent
from headway.serve.body import JSON, read_body
from headway.serve.config import ServeConfig

ROWS = 300


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=ROWS).round(3)
    word = rng.choice(["Köln", "Málaga", "Århus"], ROWS)
    return pd.DataFrame(
        {"größe": x, "stadt": word, "n": rng.integers(0, 900, ROWS), "y": (x + rng.normal(size=ROWS) > 0).astype(int)}
    )


def text(sep: str = ",", encoding: str = "utf-8", header: bool = True, before: str = "") -> bytes:
    return (before + table().to_csv(index=False, sep=sep, header=header)).encode(encoding)


def parquet() -> bytes:
    out = io.BytesIO()
    table().to_parquet(out)
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


def records() -> list[dict[str, object]]:
    return [{str(name): value for name, value in row.items()} for row in table().to_dict("records")]


def nested() -> bytes:
    rows = [
        {"place": {"stadt": r["stadt"], "at": {"größe": r["größe"]}}, "n": r["n"], "y": r["y"], "tags": [1]}
        for r in records()
    ]
    return json.dumps(rows).encode()


PLAIN: dict[str, Callable[[], bytes]] = {
    "plain.csv": text,
    "mark.csv": lambda: text(encoding="utf-8-sig"),
    "wide.csv": lambda: text(encoding="utf-16"),
    "wide_without_mark.txt": lambda: text("\t", encoding="utf-16-le"),
    "western.csv": lambda: text(";", encoding="cp1252"),
    "western_of_latin1.data": lambda: text("|", encoding="latin-1"),
    "odd_delimiter.csv": lambda: text("^"),
    "colons.txt": lambda: text(":"),
    "double_colons.dat": lambda: text("|", encoding="latin-1").replace(b"|", b"::"),
    "aligned.txt": lambda: table().to_string(index=False).encode("utf-16"),
    "tabs": lambda: text("\t"),
    "titles.csv": lambda: text(before="Report of 2024-01-01\nby: shop, town\n\n"),
    "titles_and_semicolons.csv": lambda: text(";", before="Report\n"),
    "padded.csv": lambda: text().replace(b",", b", "),
    "packed.csv.gz": lambda: gzip.compress(text()),
    "packed_without_saying_so.csv": lambda: gzip.compress(text(";")),
    "packed.csv.zst": lambda: zstd(text()),
    "packed.zip": lambda: zipped({"data.csv": text(";"), "Readme.txt": b"notes"}),
    "packed.csv.zip": lambda: zipped({"data.csv": text()}),
    "parquet.zip": lambda: zipped({"data.parquet": parquet()}),
    "really_parquet.csv": parquet,
    "parquet_without_ending": parquet,
    "lines.json": lambda: "\n".join(json.dumps(r) for r in records()).encode(),
    "lines.csv": lambda: "\n".join(json.dumps(r) for r in records()).encode(),
    "array.json": lambda: json.dumps(records(), indent=1, ensure_ascii=False).encode(),
}


def make(root: Path, name: str, content: bytes, target: str = "y", choices: Choices | None = None) -> tuple[str, ...]:
    (root / "conf").mkdir(exist_ok=True)
    (root / name).write_bytes(content)
    return draft(name, target, "t", root, choices).decisions


def rows_of(root: Path, name: str = "t") -> pd.DataFrame:
    """All that a drafted project reads."""
    project = load_project(name, root)
    table = open_table(project.data, project.task, root)
    return pa.Table.from_batches([chunk.batch for chunk in table.chunks()]).to_pandas()


@pytest.mark.parametrize("name", PLAIN)
def test_a_table_is_the_same_in_whatever_file_it_comes(tmp_path: Path, name: str) -> None:
    make(tmp_path, name, PLAIN[name]())
    data = load_project("t", tmp_path).data
    assert data.features == {"größe": "numeric", "stadt": "categorical", "n": "numeric"}
    truth = table().astype({"n": float, "y": str})
    pd.testing.assert_frame_equal(rows_of(tmp_path), truth, check_dtype=False)


def test_a_quoted_name_keeps_its_spaces_and_a_line_that_lacks_a_value_is_told_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f'{i % 9}.{i}   {i}\t "the  car {i % 7}"  {"yes" if i % 2 else "no"}' for i in range(200)]
    content = "\n".join(["mpg   weight  name  y ", *lines]).encode()
    make(tmp_path, "cars.data", content)
    csv = load_project("t", tmp_path).data.csv
    assert csv.delimiter == "spaces"
    monkeypatch.setattr(delimiters, "BYTES", 7)  # pieces that end within a line
    assert rows_of(tmp_path)["name"].tolist() == [f"the  car {i % 7}" for i in range(200)]
    (tmp_path / "cars.data").write_bytes(content + b"\n1.0  7 yes")
    bad: list[str] = []
    (item,) = find_inputs(load_project("t", tmp_path).data, None, tmp_path)
    assert sum(batch.num_rows for _, batch in item.batches(["mpg"], 1000, on_bad_line=bad.append)) == 200
    assert bad == ["1.0 7 yes"]


def test_new_rows_of_a_format_that_their_name_does_not_say_are_read_by_their_content(tmp_path: Path) -> None:
    make(tmp_path, "really_parquet.csv", parquet())
    data = load_project("t", tmp_path).data
    for name, content, form in (
        ("new.csv", parquet(), "parquet"),
        ("plain.csv", text(), "csv"),
        ("new.parquet", parquet(), "parquet"),
    ):
        (tmp_path / name).write_bytes(content)
        (input_file,) = find_inputs(data, str(tmp_path / name), tmp_path)
        assert input_file.form == form
        assert sum(batch.num_rows for _, batch in input_file.batches(list(data.features), 1000)) == ROWS


def test_objects_in_json_are_columns_and_a_request_may_hold_them_too(tmp_path: Path) -> None:
    make(tmp_path, "nested.json", nested())
    data = load_project("t", tmp_path).data
    assert data.features == {"place.stadt": "categorical", "place.at.größe": "numeric", "n": "numeric"}
    assert data.ignore == {"tags": "holds lists or mappings, not single values"}
    body = json.dumps({"inputs": json.loads(nested())[:2]}).encode()
    rows = read_body(body, JSON, tuple(data.features), True, ServeConfig()).rows
    assert rows.column("place.at.größe").to_pylist() == [repr(x) for x in table()["größe"][:2]]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"data": {"rows": [{"a": 1}], "next": None}}, "its rows seem to be the list at data.rows"),
        ({"a": {"0": 1, "1": 2}, "y": {"0": 1, "1": 0}}, "is an object of columns"),
        ({"a": [1, 2], "y": [1, 0]}, "is an object of columns"),
    ],
)
def test_json_that_is_one_object_is_refused_by_where_its_rows_are(tmp_path: Path, content: object, line: str) -> None:
    for indent in (None, 1):
        with pytest.raises(HeadwayError, match=line):
            make(tmp_path, "x.json", json.dumps(content, indent=indent).encode())


def test_without_a_line_of_names_columns_are_numbered_or_named_by_people(tmp_path: Path) -> None:
    content = text("\t", header=False)
    with pytest.raises(
        HeadwayError, match=r"no line of names: the columns are column_1 \(.*name them with --header a,b,c"
    ):
        make(tmp_path, "x.data", content)
    lines = make(tmp_path, "x.data", content, "column_4")
    assert any("no line of names; in the first row column_1 is " in line for line in lines)
    assert len(rows_of(tmp_path)) == ROWS
    (tmp_path / "conf" / "t.yaml").unlink()
    make(tmp_path, "x.data", content, "y", Choices(header="größe,stadt,n,y"))
    assert load_project("t", tmp_path).data.features == {
        "größe": "numeric",
        "stadt": "categorical",
        "n": "numeric",
    }


def test_words_alone_are_a_line_of_names_unless_they_come_again_and_so_are_years() -> None:
    assert is_header(["label", "text"], [["ham", "hello"], ["spam", "win"]] * 3)
    assert not is_header(["ham", "hello"], [["ham", "you"], ["spam", "win"]] * 3)
    assert is_header(["country", "2019", "2020"], [["Chile", "1.5", "7"], ["Peru", "2", "3"]])
    assert not is_header(["Chile", "1.5", "7"], [["Peru", "2", "3"], ["Cuba", "2", "4"]])
    assert is_header(["", "a", "b"], [["1", "2", "3"], ["2", "5", "6"]])


NAMES: dict[str, tuple[str, str, list[str]]] = {
    "R's names of rows": ("a b y", "{n} {x} {z} {y}", ["row", "a", "b", "y"]),
    "row is taken": ("row b y", "{n} {x} {z} {y}", ["row_2", "row", "b", "y"]),
    "delimiters at the end of rows": ("a,b,y", "{x},{z},{y},", ["a", "b", "y", "column_4"]),
    "delimiters at the end of all lines": ("a,b,y,,", "{x},{z},{y},,", ["a", "b", "y", "column_4", "column_5"]),
    "names that occur again": ("a,a,c,a,y", "{x},{z},{x},{z},{y}", ["a", "a_2", "c", "a_3", "y"]),
    "a comment": ("# a b y", "{x} {z} {y}", ["a", "b", "y"]),
    "whole": ("a,b,y", "{x},{z},{y}", ["a", "b", "y"]),
}


@pytest.mark.parametrize("case", NAMES)
def test_columns_whose_line_of_names_is_not_whole_are_named_and_their_values_are_below_their_names(
    tmp_path: Path, case: str
) -> None:
    line, template, names = NAMES[case]
    rng = np.random.default_rng(0)
    rows = [
        template.format(n=n, x=x, z=z, y=y)
        for n, (x, z, y) in enumerate(
            zip(rng.integers(0, 99, 100), rng.integers(0, 99, 100), rng.integers(0, 2, 100), strict=True)
        )
    ]
    decisions = make(tmp_path, "x.txt", "\n".join(["Report", line, *rows]).encode())
    data = load_project("t", tmp_path).data
    assert {*data.features, *data.keys, *data.ignore, "y"} == set(names)
    separator = "," if "," in line else " "
    values = [dict(zip(names, row.split(separator), strict=True)) for row in rows]
    read = rows_of(tmp_path)
    for name in read.columns:
        assert [float(value) for value in read[name]] == [float(one[name]) for one in values]
    made_up = [name for name in names if name not in line and not name.startswith("column")]
    assert sum("--header a,b,c names them all" in one for one in decisions) == len(made_up)


def test_names_that_people_give_stand_in_place_of_the_files(tmp_path: Path) -> None:
    make(tmp_path, "x.csv", text(), choices=Choices(header="size,town,n,y"))
    project = load_project("t", tmp_path)
    assert {"size", "town", "n"} == {*project.data.features}
    read = rows_of(tmp_path)
    assert len(read) == ROWS
    assert read["size"].tolist() == table()["größe"].tolist()


def test_a_line_of_names_that_people_rename_without_its_target_is_no_row(tmp_path: Path) -> None:
    lines = make(tmp_path, "x.csv", text(), "outcome", Choices(header="size,town,n,outcome"))
    assert any("the file has names of its own, größe, stadt, n, y: their line is left out" in line for line in lines)
    read = rows_of(tmp_path)
    assert read["size"].tolist() == table()["größe"].tolist()
    assert load_project("t", tmp_path).data.features["size"] == "numeric"
    (tmp_path / "conf" / "t.yaml").unlink()
    lines = make(tmp_path, "x.csv", text(header=False), "outcome", Choices(header="size,town,n,outcome"))
    assert not any("names of" in line for line in lines)
    assert len(rows_of(tmp_path)) == ROWS


def test_words_over_words_beside_given_names_are_a_question_whose_setting_leaves_their_line_out(tmp_path: Path) -> None:
    rows = [f"{'spam' if n % 3 else 'ham'},call {'me' if n % 2 else 'us'} now" for n in range(90)]
    content = "\n".join(["sort,message", *rows]).encode()
    choices = Choices(header="label,words")
    (question,) = (line for line in make(tmp_path, "x.csv", content, "label", choices) if "question: are sort" in line)
    assert len(rows_of(tmp_path)) == 91
    setting = question.split("--set ")[1].split()[0]
    (tmp_path / "conf" / "t.yaml").unlink()
    make(tmp_path, "x.csv", content, "label", Choices(header="label,words", settings=(setting,)))
    assert len(rows_of(tmp_path)) == 90


def test_a_name_in_quotes_with_a_line_break_is_one_name(tmp_path: Path) -> None:
    make(tmp_path, "x.csv", text().replace("größe".encode(), '"größe\r\n(m)"'.encode(), 1))
    frame = rows_of(tmp_path)
    assert len(frame) == ROWS
    assert "größe\r\n(m)" in frame.columns


def test_of_a_folder_the_files_of_the_most_frequent_format_are_taken_and_the_others_named(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    folder = tmp_path / "parts" / "2024"
    folder.mkdir(parents=True)
    for n in range(3):
        table().iloc[n * 100 : (n + 1) * 100].to_csv(folder / f"{n}.csv", index=False)
    (tmp_path / "parts" / "categories.json").write_text("[1, 2]")
    (tmp_path / "parts" / "_SUCCESS").write_text("")
    lines = draft("parts", "y", "t", tmp_path).decisions
    assert "left out: categories.json, of another format" in lines
    assert len(rows_of(tmp_path)) == ROWS


def test_russian_and_japanese_files_are_read_in_their_encodings(tmp_path: Path) -> None:
    for encoding, words in (
        ("cp1251", ["Москва", "Казань", "город"]),
        ("shift_jis", ["東京都庁", "大阪市内", "京都市内"]),
    ):
        frame = table().rename(columns={"größe": "x"}).assign(stadt=[words[n % 3] for n in range(ROWS)])
        make(tmp_path, f"{encoding}.csv", frame.to_csv(index=False).encode(encoding))
        assert set(rows_of(tmp_path)["stadt"]) == set(words)
        (tmp_path / "conf" / "t.yaml").unlink()


def test_what_people_set_is_written_into_the_draft(tmp_path: Path) -> None:
    frame = table().assign(
        when=[f"0{1 + n % 9}/0{1 + n % 8}/2024" for n in range(ROWS)], part=["1.234"] * 150 + ["2.5"] * 150
    )
    settings = (
        "data.date_format=%d/%m/%Y",
        "data.written.part.thousands=.",
        "data.written.part.decimal=','",
        "model=boosting",
        "train.seed=7",
        "split.by=random",
        "prepare.tokens.most=9",
    )
    make(tmp_path, "x.csv", frame.to_csv(index=False).encode(), choices=Choices(settings=settings))
    project = load_project("t", tmp_path)
    assert (project.model.name, project.train.seed, project.split.by, project.prepare.tokens.most) == (
        "boosting",
        7,
        "random",
        9,
    )
    assert rows_of(tmp_path)["when"][8] == pd.Timestamp("2024-01-09")
    assert set(rows_of(tmp_path)["part"]) == {1234, 25} or set(rows_of(tmp_path)["part"]) == {1234, 2.5}
    assert (tmp_path / "conf" / "t.yaml").read_text().count("# ") > 5


def test_lines_below_the_table_are_dropped_where_people_say_so_and_every_reading_tells_of_them(tmp_path: Path) -> None:
    below = b"\nTotal rows: 300\nSource: the town's office, 2024\n"
    choices = Choices(settings=("data.csv.uneven_lines=drop",))
    decisions = make(tmp_path, "x.csv", text() + below, choices=choices)
    line = "x.csv: 2 lines are left out, with too few or too many values, such as 'Total rows: 300'"
    assert line in decisions
    project = load_project("t", tmp_path)
    table = open_table(project.data, project.task, tmp_path)
    assert examine(project, table, Silent()).warnings[0] == line
    read = rows_of(tmp_path)
    (tmp_path / "conf" / "t.yaml").unlink()
    make(tmp_path, "x.csv", text())
    pd.testing.assert_frame_equal(read, rows_of(tmp_path))


BROKEN: dict[str, tuple[Callable[[], bytes], tuple[str, ...], str]] = {
    "x.xlsx": (
        lambda: zipped({"[Content_Types].xml": b"", "xl/sheet.xml": b""}),
        (),
        "is an Excel workbook; save it as CSV",
    ),
    "two.zip": (
        lambda: zipped({"a.csv": text(), "b.csv": text()}),
        (),
        "holds a.csv, b.csv; unpack it and give --data one of its files",
    ),
    "x.orc": (lambda: b"ORC\x08\x03" + bytes(range(256)), (), "is an ORC file; write the table to Parquet"),
    "x.db": (lambda: b"SQLite format 3\0", (), "is an SQLite database"),
    "x.csv": (lambda: text(encoding="cp1252"), ("--encoding", "utf-8"), "is not; set --encoding"),
    "odd.csv": (text, ("--encoding", "klingon"), "--encoding must be a character encoding, but is 'klingon'"),
    "two.csv": (
        text,
        ("--delimiter", "and"),
        "--delimiter must be one character, tab, space, spaces, or signs such as ::, but is 'and'",
    ),
    "few.csv": (text, ("--header", "a,b"), "--header must name 4 columns, but names 2"),
    "deep.csv": (lambda: b"\n" * 60 + text(), ("--header", "3"), "--header N sets their line"),
    "sums.csv": (lambda: text() + b"\nTotal: 300\n", (), "; --set data.csv.uneven_lines=drop leaves such lines out"),
    "none.csv": (text, ("--set", "data.written.zzz.decimal=,"), "--set data.written.zzz must name a column"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_refusal_is_one_line_that_names_an_option_of_init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    content, options, line = BROKEN[name]
    (tmp_path / "conf").mkdir()
    (tmp_path / name).write_bytes(content())
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "--data", name, "--target", "y", "--name", "t", *options]) in (2, 3)
    (error_line,) = capsys.readouterr().err.strip().splitlines()
    assert line in error_line
    assert "data.csv" not in error_line.replace("--set data.csv", "")
    assert not list((tmp_path / "conf").iterdir())
