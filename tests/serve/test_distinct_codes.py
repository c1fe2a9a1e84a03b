"""Codes that differ stay apart by every road, in training and in predicting, and one value's spellings are one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.columns.category import Category
from headway.data.config import DataConfig
from headway.data.opening import open_table
from headway.data.prepare import Preparation
from headway.serve.reading import canonical_rows
from headway.tasks import Target

APART = [
    ("1.10", "1.1"),
    ("250.00", "250"),
    ("250.00", "250.0"),
    ("12e3", "12000"),
    ("12E3", "12e3"),
    ("0e1", "0"),
    ("1e5", "100000"),
    ("007", "7"),
    ("007.0", "7"),
    ("00", "0"),
    ("4.", "4"),
    (".5", "0.5"),
    ("0.50", "0.5"),
    ("+1.5", "1.5"),
    ("1e-7", "0.0000001"),
    ("1e17", "100000000000000000"),
    ("123456789012345678901", "123456789012345678902"),
]
ONE = [
    ("4", "4.0"),
    ("4", "+4"),
    ("4", "+4.0"),
    ("-4", "-4.0"),
    ("0", "-0.0"),
    ("1e+16", "10000000000000000"),
    ("1.25e+20", "125000000000000000000.0"),
]
TEXTS = list(dict.fromkeys(text for pair in [*APART, *ONE] for text in pair))
TARGET = [("no", "yes")[i % 2] for i in range(len(TEXTS))]


def _csv(path: Path) -> None:
    pd.DataFrame({"code": TEXTS, "y": TARGET}).to_csv(path, index=False)


def _parquet(path: Path) -> None:
    pq.write_table(pa.table({"code": TEXTS, "y": TARGET}), path)


def _jsonl(path: Path) -> None:
    path.write_text("\n".join(json.dumps({"code": c, "y": y}) for c, y in zip(TEXTS, TARGET, strict=True)))


def _read(path: Path, code: str = "categorical") -> list[str]:
    settings = {"source": path.name, "target": "y", "features": {"code": code}}
    table = open_table(DataConfig.parse(settings, "data"), "classification", path.parent)
    return [text for chunk in table.chunks(columns=["code"]) for text in chunk.batch.column("code").to_pylist()]


def _check(meaning: dict[str, object]) -> None:
    assert [pair for pair in APART if meaning[pair[0]] == meaning[pair[1]]] == []
    assert [pair for pair in ONE if meaning[pair[0]] != meaning[pair[1]]] == []


@pytest.mark.parametrize("code", ["categorical", "text"])
@pytest.mark.parametrize(("write", "ending"), [(_csv, "csv"), (_parquet, "parquet"), (_jsonl, "jsonl")])
def test_training_reads_different_codes_apart(
    tmp_path: Path, write: Callable[[Path], None], ending: str, code: str
) -> None:
    path = tmp_path / f"rows.{ending}"
    write(path)
    _check(dict(zip(TEXTS, _read(path, code), strict=True)))


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("frame", ["object", "string", "mixed", "category", "arrow"])
def test_a_model_reads_different_codes_apart(tmp_path: Path, frame: str, typed: bool) -> None:
    path = tmp_path / "rows.parquet"
    _parquet(path)
    learnt_codes = tuple(dict.fromkeys(_read(path)))
    target = Target("y", "classification", ("no", "yes"))
    preparation = Preparation((Category("code", learnt_codes),), target, null_is_value=typed)
    values = pd.Series([*TEXTS, 4, 4.0, 1.1, 250.0] if frame == "mixed" else TEXTS, dtype=object)
    rows: pd.DataFrame | pa.RecordBatch = pd.DataFrame(
        {"code": values if frame in ("mixed", "arrow") else values.astype(pd.api.types.pandas_dtype(frame))}
    )
    if frame == "arrow":
        rows = pa.record_batch({"code": pa.array(TEXTS)})
    codes = preparation.apply(canonical_rows(preparation, rows))["categorical"][:, 0]
    _check(dict(zip(TEXTS, codes[: len(TEXTS)].tolist(), strict=True)))
    place = [TEXTS.index(text) for text in ("4", "4", "1.1", "250")]
    np.testing.assert_array_equal(codes[len(TEXTS) :], codes[place] if frame == "mixed" else [])
