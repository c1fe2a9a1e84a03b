"""Small and odd tables: what `init` writes passes `check`, and what it cannot use is set aside by name."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.columns.config import PrepareConfig
from headway.columns.number import NumericColumn
from headway.columns.values import Place
from headway.data.config import DataConfig
from headway.data.opening import open_table
from headway.draft.drafting import Draft, draft
from headway.draft.layout import Choices
from headway.draft.yaml import quoted
from headway.errors import DataError
from headway.pipeline import stages
from headway.project import load_project
from headway.run.report import Silent

ROWS = 120


def base(rows: int = ROWS, **more: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    y = (x + rng.normal(size=rows) > 0).astype(int)
    return pd.DataFrame({"x": x, "y": y}).assign(**more)


def uniform(low: float, high: float, rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(1).uniform(low, high, rows)


TABLES: dict[str, pd.DataFrame] = {
    "control characters": base(c=["do\x92nt", "a\x07b", "z\x85w"] * 40, d=["\u2028a", "b\ufeff", "c\x7f"] * 40),
    "names that YAML reads": base(
        **{
            "null": uniform(0, 1),
            "yes": ["p", "q", "r"] * 40,
            "- x": uniform(0, 1),
            "c: d": uniform(0, 1),
            "e #f": uniform(0, 1),
        }
    ),
    "a name with a break": base(**{"size\n(m)": uniform(0, 1), "a\u00a0b": uniform(0, 1), "'q": ["1x", "2x"] * 60}),
    "a column without a name": base(**{"": uniform(0, 1)}),
    "words that YAML reads": base(
        c=["yes", "no", "null"] * 40, d=["~", "on", "off"] * 40, e=["1e3", "0x10", "1_000"] * 40
    ),
    "tiny numbers": base(c=uniform(1e-9, 3e-5), d=uniform(1e-300, 1e-299), e=uniform(-1e-320, 1e-320)),
    "large numbers": base(c=uniform(1e15, 3e17), d=uniform(-1e140, 1e140)),
    "beyond a double's squares": base(c=[1e200] + [0.5] * (ROWS - 1), d=[-1.7e308, 1.7e308] * 60),
    "one value or missing": base(c=[0.5, None] * 60, d=["a", None] * 60, e=[None] * ROWS),
    "long whole numbers": base(c=[10**25 + i for i in range(ROWS)], d=[str(10**30 + i % 7) for i in range(ROWS)]),
    "all kinds in one column": base(c=["1", "a", "2024-01-01"] * 40),
    "quotes and breaks": base(c=['a"b', "c'd", "e\\f"] * 40, d=["a\nb", "c\td", "e\r\nf"] * 40),
    "far dates": base(c=["0001-01-01", "9999-12-31", "2024-01-01"] * 40),
    "twelve rows": base(12, k=["a", "b", "c"] * 4),
    "five rows": pd.DataFrame({"x": [1.5, 2, 3, 4, 5], "y": [0, 1, 0, 1, 1]}),
    "a class of one row": base(60).assign(y=["a"] * 30 + ["b"] * 29 + ["c"]),
    "a number of twelve rows": base(12).assign(y=uniform(0, 1, 12)),
    "a target in several words": base().assign(y=["yes", "Yes", " YES", "no"] * 30),
    "a target as 1 and 1.0": base().assign(y=["1", "1.0", "0", "0.0"] * 30),
}


def make(root: Path, name: str) -> Draft:
    (root / "conf").mkdir()
    TABLES[name].to_csv(root / "t.csv", index=False)
    return draft("t.csv", "y", None, root)


@pytest.mark.parametrize("name", TABLES)
def test_what_init_writes_passes_check_and_says_each_thing_in_one_line(tmp_path: Path, name: str) -> None:
    result = make(tmp_path, name)
    assert stages.check("t", tmp_path, [], Silent()).failures == ()
    assert all(line.isprintable() or not line.count("\n") for line in result.decisions)


COLUMNS: dict[str, tuple[pa.Array, str]] = {
    "durations": (pa.array([dt.timedelta(seconds=i) for i in range(ROWS)]), "holds durations"),
    "bytes": (pa.array([b"\xff%d" % (i % 9) for i in range(ROWS)]), "holds bytes"),
    "objects": (pa.array([{"a": i} for i in range(ROWS)]), "holds lists or mappings"),
    "times": (pa.array([dt.time(i % 24) for i in range(ROWS)]), ""),
    "decimals": (pa.array([str(i / 7)[:8] for i in range(ROWS)]).cast(pa.decimal128(20, 10)), ""),
    "half_floats": (pa.array(np.linspace(0, 1, ROWS).astype(np.float16)), ""),
    "large_numbers": (pa.array(np.arange(ROWS, dtype=np.uint64) % 50 + 2**63), ""),
}


def test_columns_that_no_type_reads_are_set_aside_by_name(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    rows = pa.Table.from_pandas(base(), preserve_index=False)
    for name, (column, _) in COLUMNS.items():
        rows = rows.append_column(name, column)
    pq.write_table(rows, tmp_path / "t.parquet")
    draft("t.parquet", "y", None, tmp_path)
    data = load_project("t", tmp_path).data
    for name, (_, reason) in COLUMNS.items():
        assert data.ignore.get(name, "").startswith(reason) if reason else name in data.features, (name, data)
    assert stages.check("t", tmp_path, [], Silent()).failures == ()


def test_whole_numbers_that_a_float_cannot_tell_apart_are_keys_or_codes(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    large = np.arange(ROWS, dtype=np.uint64) + 2**63
    rows = base(each=large, code=large % 50 + 2**62, far=large * 2**20 % 2**53)
    rows.to_parquet(tmp_path / "t.parquet")
    draft("t.parquet", "y", None, tmp_path)
    data = load_project("t", tmp_path).data
    assert data.keys == ("each",)
    assert data.features == {"x": "numeric", "code": "categorical", "far": "numeric"}


def test_few_rows_and_rare_classes_are_told_what_cannot_be_known(tmp_path: Path) -> None:
    decisions = [*make(tmp_path, "twelve rows").decisions]
    assert (
        "only 12 rows with a target: about 2 of them are the test, too few to measure the quality of a model"
        in decisions
    )
    (tmp_path / "other").mkdir()
    decisions = [*make(tmp_path / "other", "a class of one row").decisions]
    assert any(line.startswith("1 of 3 classes have fewer than 10 rows, such as c with 1") for line in decisions)


def test_classes_that_are_spelt_in_several_ways_are_counted_as_one(tmp_path: Path) -> None:
    for name, positive in (("a target in several words", "yes"), ("a target as 1 and 1.0", "1")):
        root = tmp_path / positive
        root.mkdir()
        assert make(root, name).decisions[0].startswith("task: classification, since y has 2 different values")
        assert load_project("t", root).data.positive == positive


@pytest.mark.parametrize(
    ("classes", "missing"),
    [
        (["yes", "no", "?"], ["?"]),
        (["a", "b", "c", "N/A", "-"], ["-"]),  # N/A is null in every CSV
        (["+", "-"], []),
        (["none", "mild", "unknown"], []),
        (["?", "x"], []),
        (["*", "**", "***"], []),
        (["Na", "Cl", "K"], []),
        (["-", "1+", "2+"], []),
    ],
)
def test_marks_for_a_missing_class_are_no_classes(tmp_path: Path, classes: list[str], missing: list[str]) -> None:
    (tmp_path / "conf").mkdir()
    base().assign(y=(classes * ROWS)[:ROWS]).to_csv(tmp_path / "t.csv", index=False)
    decisions = draft("t.csv", "y", None, tmp_path).decisions
    data = load_project("t", tmp_path).data
    assert [word for one in data.written.values() for word in one.missing] == missing
    assert data.unlabelled == ("drop" if missing or "N/A" in classes else "stop")
    assert any(" is read as missing" in line for line in decisions) == bool(missing)


@pytest.mark.parametrize("file", ["t.csv", "t.parquet"])
@pytest.mark.parametrize("mark", [-999, 9999])
def test_a_number_of_nines_far_from_the_others_is_asked_about_and_may_be_missing(
    tmp_path: Path, file: str, mark: int
) -> None:
    (tmp_path / "conf").mkdir()
    numbers = np.arange(ROWS)
    x = np.where(numbers % 9 == 0, mark, uniform(-3, 3).round(2))
    table = base().assign(x=x, pages=np.where(numbers % 9 == 0, 99, numbers % 90))
    if file.endswith("csv"):
        table.to_csv(tmp_path / file, index=False)
    else:
        table.to_parquet(tmp_path / file)
    lines = draft(file, "y", None, tmp_path).decisions
    (line,) = [one for one in lines if one.startswith("x: ")]
    setting = f"data.written.x.missing={mark}"
    assert line.endswith(f"{mark} is far from the others and occurs 14 times: if it means missing, --set {setting}")
    assert not any("far from" in one for one in lines if one.startswith("pages: "))
    draft(file, "y", "again", tmp_path, Choices(settings=(setting,)))
    project = load_project("again", tmp_path)
    chunks = open_table(project.data, project.task, tmp_path).chunks(columns=["x"])
    read = [value for chunk in chunks for value in chunk.batch.column(0).to_pylist()]
    assert read == [None if value == mark else value for value in x]


def test_classes_that_differ_by_a_full_stop_are_a_question(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    incomes = ["<=50K", ">50K", "<=50K.", ">50K."]
    pd.DataFrame({"x": range(200), "z": [n % 7 for n in range(200)], "y": incomes * 50}).to_csv(
        tmp_path / "t.csv", index=False
    )
    decisions = draft("t.csv", "y", None, tmp_path).decisions
    assert (
        "question: are <=50K and <=50K. one class of y? They are read as two; if they are one, correct the files"
        in decisions
    )


def test_numbers_whose_squares_are_no_doubles_are_set_aside_or_refused_and_never_a_trace(tmp_path: Path) -> None:
    make(tmp_path, "beyond a double's squares")
    project = load_project("t", tmp_path)
    assert set(project.data.ignore) == {"c", "d"}
    both = ["data.ignore={}", "data.features={x: numeric, c: numeric, d: numeric}"]
    with pytest.raises(
        DataError, match=r"c must have a variance that fits a 64-bit float, but one of its values is 1e\+200"
    ):
        stages.check("t", tmp_path, both, Silent())
    base(x2=1).assign(y=[1e200, *uniform(0, 1, ROWS - 1)]).to_csv(tmp_path / "u.csv", index=False)
    with pytest.raises(DataError, match=r"y has numbers as large as 1e\+200; correct them or choose another --target"):
        draft("u.csv", "y", None, tmp_path)


def test_a_column_of_one_value_or_missing_keeps_what_is_missing() -> None:
    column = pa.array([0.5, None, 0.5, None])
    for scale in ("standard", "quantile"):
        fitter = NumericColumn().fitter("paid", PrepareConfig(scale=scale), True)
        fitter.update(column, pa.array(["a"] * 4))
        encoding = fitter.finish()
        assert encoding is not None
        value, missing = encoding.apply(column)
        assert missing.tolist() == [0, 1, 0, 1]
        assert len(set(value.tolist())) == 1
    whole = NumericColumn().fitter("x", PrepareConfig(), True)
    whole.update(pa.array([0.5, 0.5]), pa.array(["a"] * 2))
    assert whole.finish() is None


def test_next_year_is_within_what_is_expected_of_years() -> None:
    kind = NumericColumn()
    summary = kind.summary("sold")
    column = kind.canonical(pa.array([2006, 2008, 2010]), Place("sold", "t"), None, True)
    summary.update(column)
    (rule,) = kind.expectations(summary)
    assert rule.arguments["max_value"] == 2020


def test_text_that_yaml_cannot_hold_is_escaped_and_read_back() -> None:
    import yaml

    for text in ("a\x92b", "\x85", "\u2028", "\ufeffx", "\x00", "é😀", '"\\', "\x7f"):
        assert yaml.safe_load(f"a: {quoted(text)}") == {"a": text}


def test_a_column_is_either_a_feature_or_the_target_where_it_is_said_how_it_is_written() -> None:
    from headway.errors import ConfigError

    with pytest.raises(ConfigError, match="written must name features or the target, but z is neither"):
        DataConfig.parse(
            {"source": "a.csv", "target": "y", "features": {"x": "numeric"}, "written": {"z": {"fold": True}}}, "data"
        )
