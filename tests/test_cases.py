"""Tables that were once refused, misread or broken by `init`: each is made here as it was reported, read, and checked as a run would."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headway.draft.drafting import draft
from headway.draft.layout import Choices
from headway.errors import DataError
from headway.pipeline.validation import refuse
from headway.project import Project, load_project

ROWS = 400
Answer = dict[str, Any]


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, ROWS)).round(4)
    y = (x + rng.normal(size=ROWS) > 0).astype(int)
    return pd.DataFrame({"x": x, "z": z, "k": rng.choice(list("abc"), ROWS), "y": y})


def csv(table: pd.DataFrame, encoding: str = "utf-8", **options: Any) -> bytes:
    return table.to_csv(index=False, **options).encode(encoding)


def parquet(table: pd.DataFrame) -> bytes:
    return table.to_parquet()


def cycled(values: Sequence[object]) -> pd.Series:
    return pd.Series((list(values) * ROWS)[:ROWS])


def late_decimals() -> bytes:
    """Whole numbers in more than Arrow's first block of JSON, and decimals after it."""
    lines = ({"x": i % 9 + (0.5 if i > 9000 else 0), "pad": "p" * 500 + str(i % 5), "y": i % 2} for i in range(9100))
    return "\n".join(json.dumps(line) for line in lines).encode()


DAYS = pd.date_range("2023-03-01", periods=ROWS)
PLAIN: Answer = {"x": "numeric", "z": "numeric", "k": "categorical"}

CASES: dict[str, tuple[str, Callable[[], bytes], tuple[str, ...], Answer]] = {
    "codes as floats": (
        "t.csv",
        lambda: csv(frame().assign(code=cycled(["4.0", "5.0", "1.0", "2.0"]), zip=cycled(["03003", "08008"]))),
        (),
        {**PLAIN, "code": "categorical", "zip": "categorical"},
    ),
    "time in steps": (
        "t.csv",
        lambda: csv(frame().assign(step=range(ROWS))),
        ("split.by=time", "split.column=step"),
        {**PLAIN, "newest": range(ROWS * 4 // 5, ROWS)},
    ),
    "time in days, months, years": (
        "t.csv",
        lambda: csv(frame().assign(day=DAYS.strftime("%d.%m.%Y"))),
        ("split.by=time",),
        {**PLAIN, "day": "date", "newest": range(ROWS * 4 // 5, ROWS)},
    ),
    "a hundred classes": ("t.csv", lambda: csv(frame().assign(y=cycled([f"sku{i:03}" for i in range(50)]))), (), PLAIN),
    "twelve rows": ("t.csv", lambda: csv(frame().head(12).assign(y=[0, 1] * 6)), (), {"x": "numeric"}),
    "a control character": ("t.csv", lambda: csv(frame().assign(name=cycled(["do", "do\x01nt"]))), (), PLAIN),
    "beyond float64": (
        "t.csv",
        lambda: csv(frame().assign(x=[1.7e308, -1.7e308, *frame().x[2:]])),
        (),
        {"z": "numeric", "ignored": "x"},
    ),
    "tiny numbers": ("t.csv", lambda: csv(frame().assign(c=frame().x.abs() * 1e-5)), (), {**PLAIN, "c": "numeric"}),
    "big numbers": ("t.csv", lambda: csv(frame().assign(c=frame().x.abs() * 1e17)), (), {**PLAIN, "c": "numeric"}),
    "an outlier of 1e200": (
        "t.csv",
        lambda: csv(frame().assign(x=[1e200, *frame().x[1:]])),
        (),
        {"z": "numeric", "ignored": "x"},
    ),
    "a line break in a name": (
        "t.csv",
        lambda: csv(frame().rename(columns={"x": "x\n(m)"})),
        (),
        {"x\n(m)": "numeric", "z": "numeric"},
    ),
    "times of day": (
        "t.parquet",
        lambda: parquet(frame().assign(at=DAYS.shift(1, freq="97min").time)),
        (),
        PLAIN,
    ),
    "Latin-1": ("t.csv", lambda: csv(frame().assign(k=cycled(["Köln", "Århus"])), "latin-1"), (), PLAIN),
    "packed, with semicolons": ("t.csv.gz", lambda: gzip.compress(csv(frame(), sep=";")), (), PLAIN),
    "question marks": ("t.csv", lambda: csv(frame().assign(x=["?", *frame().x[1:]])), (), PLAIN),
    "decimal commas": ("t.csv", lambda: csv(frame(), sep=";", decimal=","), (), PLAIN),
    "1 and 1.0": (
        "t.csv",
        lambda: csv(frame().assign(y=cycled(["0", "1.0", "1", "0.0", "0"]))),
        (),
        {**PLAIN, "classes": ["0", "1"]},
    ),
    "hours of twelve": (
        "t.csv",
        lambda: csv(frame().assign(t12=DAYS.strftime("%m/%d/%Y %I:%M:%S %p"))),
        (),
        {**PLAIN, "t12": "date"},
    ),
    "one value or missing": ("t.csv", lambda: csv(frame().assign(x=cycled([0.5, None, None]))), (), PLAIN),
    "decimals late in JSON": ("t.jsonl", late_decimals, (), {"x": "numeric", "pad": "categorical"}),
    "a key called prediction": (
        "t.csv",
        lambda: csv(frame().assign(prediction=[f"P{i:05}" for i in range(ROWS)])),
        (),
        {**PLAIN, "keys": ("prediction",)},
    ),
    "blanks among numbers": ("t.csv", lambda: csv(frame().assign(x=[" ", *frame().x[1:]])), (), PLAIN),
    "currency and per cent": (
        "t.csv",
        lambda: csv(
            frame().assign(
                x=[f"${4000 + i * 1.37:,.2f}" for i in range(ROWS)], z=[f"{i * 0.2:.1f}%" for i in range(ROWS)]
            )
        ),
        (),
        PLAIN,
    ),
    "dates in three forms": (
        "t.csv",
        lambda: csv(
            frame().assign(
                day=[d.strftime(("%Y-%m-%d", "%d %b %Y", "%m/%d/%Y")[i % 3]) for i, d in enumerate(DAYS)],
            )
        ),
        (),
        {**PLAIN, "day": "date"},
    ),
    "a typographic minus": (
        "t.csv",
        lambda: csv(frame().assign(x=[f"\u2212{v:.2f}" if v > 0 else f"{-v:.2f}" for v in frame().x])),
        (),
        PLAIN,
    ),
    "prices per month": (
        "t.csv",
        lambda: csv(frame().assign(x=[f"${20 + i * 0.37:.2f}/mo" for i in range(ROWS)])),
        (),
        PLAIN,
    ),
    "days without marks": (
        "t.csv",
        lambda: csv(frame().assign(day=DAYS.strftime("%Y%m%d"))),
        (),
        {**PLAIN, "day": "date"},
    ),
    "months": ("t.csv", lambda: csv(frame().assign(day=DAYS.strftime("%b-%Y"))), (), {**PLAIN, "day": "date"}),
    "days of the week": (
        "t.csv",
        lambda: csv(frame().assign(day=DAYS.strftime("%a, %d %b %Y"))),
        ("split.by=time",),
        {**PLAIN, "day": "date", "newest": range(ROWS * 4 // 5, ROWS)},
    ),
    "repeated ids": (
        "t.csv",
        lambda: csv(frame().assign(user_id=[i * 7 % 90 for i in range(ROWS)])),
        (),
        {**PLAIN, "user_id": "categorical"},
    ),
    "Parquet by content": ("t.csv", lambda: parquet(frame()), (), PLAIN),
    "a JSON array": ("t.json", lambda: frame().to_json(orient="records").encode(), (), PLAIN),
    "lines above the names": ("t.csv", lambda: b"Report\nof March\n\n" + csv(frame()), (), PLAIN),
    "a line break in a value": (
        "t.csv",
        lambda: csv(frame().assign(k=[f"line {i}\nof words that differ" for i in range(ROWS)])),
        (),
        {"x": "numeric", "k": "text"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_table_as_it_came_is_read_as_a_person_reads_it_and_could_be_trained_on(root: Path, name: str) -> None:
    file, content, settings, answer = CASES[name]
    (root / file).write_bytes(content())
    result = draft(file, "y", "t", root, Choices(settings=settings))
    project = load_project("t", root)
    refuse(project, root)
    assert (
        project.data.features.items()
        >= {c: k for c, k in answer.items() if k in ("numeric", "categorical", "date", "text")}.items()
    )
    if "ignored" in answer:
        assert "correct them" in project.data.ignore[answer["ignored"]]
    if "keys" in answer:
        assert project.data.keys == answer["keys"]
    if "classes" in answer:
        assert [one.model_extra for one in project.validation.expectations if one.column == "y"][1] == {
            "value_set": answer["classes"]
        }
    if "newest" in answer:
        assert rows_of_the_test(project, root) == list(answer["newest"])
    assert result.path.exists()


def rows_of_the_test(project: Project, root: Path) -> list[int]:
    from headway.data.split import TEST, assign
    from headway.pipeline.runs import table_of

    return np.flatnonzero(assign(table_of(project, root), project.split) == TEST).tolist()


REFUSED: dict[str, tuple[Callable[[], pd.DataFrame], str, str]] = {
    "a target beyond its variance": (lambda: frame().assign(y=[1e300, *frame().x[1:]]), "y", "numbers as large as 1e"),
    "summands of the target": (
        lambda: pd.DataFrame(
            {"fare": frame().x.abs(), "tip": frame().z.abs(), "y": frame().x.abs() + frame().z.abs() + 2.5}
        ),
        "y",
        "leak: fare + tip = y",
    ),
    "paths of files": (
        lambda: pd.DataFrame({"path": [f"pics/{i}.png" for i in range(ROWS)], "y": frame().y}),
        "y",
        "path (names images, which this version does not read)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_without_anything_to_learn_from_is_refused_in_one_line(root: Path, name: str) -> None:
    table, target, line = REFUSED[name]
    table().to_csv(root / "t.csv", index=False)
    with pytest.raises(DataError) as error:
        draft("t.csv", target, "t", root)
    assert line in str(error.value)
    assert "\n" not in str(error.value)
    assert not list((root / "conf").iterdir())


def test_a_class_that_comes_late_is_refused_before_anything_is_prepared(root: Path) -> None:
    late = frame().assign(day=DAYS.astype(str), y=["down", "up"] * 195 + ["new"] * 10)
    late.to_csv(root / "t.csv", index=False)
    draft("t.csv", "y", "t", root)
    with pytest.raises(DataError, match="each class of y must occur in the training rows, but 'new' does not"):
        refuse(load_project("t", root, ["split.by=time", "split.column=day"]), root)


def test_names_of_folders_are_columns(root: Path) -> None:
    for month in (1, 2, 3):
        folder = root / "hive" / f"month={month}"
        folder.mkdir(parents=True)
        frame().to_parquet(folder / "part-0.parquet")
    draft("hive", "y", "t", root)
    assert load_project("t", root).data.features == {**PLAIN, "month": "numeric"}
