"""Hashes of rows and texts are those that kept splits and bundles were made with."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.columns.siphash import hash_texts
from headway.data.chunks import Chunk
from headway.data.identity import GOLDEN, RowHashes, hash_batch
from headway.data.scratch import Scratch


def test_texts_hash_as_pandas_hashes_them() -> None:
    random = np.random.default_rng(0)
    letters = list("abc é€😀09-.\0")
    texts = ["", *("".join(random.choice(letters, random.integers(0, 90))) for _ in range(3000))]
    truth = pd.util.hash_array(np.array(texts, object), categorize=False)
    assert (hash_texts(pa.array(texts)) == truth).all()
    assert (hash_texts(pa.array(texts).slice(7, 300)) == truth[7:307]).all()
    assert len(hash_texts(pa.array([], pa.string()))) == 0


def _mix(value: int) -> int:
    """SplitMix64's finaliser, with Python's integers."""
    mask = 2**64 - 1
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & mask
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & mask
    return value ^ (value >> 31)


def _slowly(values: list[object]) -> int:
    """The hash of one row by its definition: numbers as doubles, texts as pandas hashes them."""
    mixed, golden = 0, int(GOLDEN)
    for value in values:
        if value is None or value != value:
            one = golden
        elif isinstance(value, str):
            one = int(pd.util.hash_array(np.array([value], object), categorize=False)[0])
        else:
            one = _mix(int(np.array([float(value) + 0.0]).view(np.uint64)[0]))  # type: ignore[arg-type]
        mixed = _mix((mixed + golden + one) % 2**64)
    return mixed


@pytest.fixture
def batch() -> pa.RecordBatch:
    random = np.random.default_rng(1)
    rows = 40_000  # more than are mixed at a time
    numbers = random.normal(size=rows)
    numbers[:3] = [np.nan, -0.0, np.inf]
    columns = {
        "number": pa.array(numbers, mask=random.random(rows) < 0.1),
        "whole": pa.array(random.integers(-9, 9, rows), mask=random.random(rows) < 0.1),
        "text": pa.array(random.choice(["x", "é", "", "long " * 30], rows), mask=random.random(rows) < 0.1),
    }
    return pa.RecordBatch.from_pydict(columns)


def test_a_row_hashes_as_its_values_one_by_one(batch: pa.RecordBatch) -> None:
    hashes = hash_batch(batch, ["text", "number", "whole"])
    for row in [*range(20), 16_383, 16_384, 39_999]:
        values = [batch.column(name)[row].as_py() for name in ("text", "number", "whole")]
        assert int(hashes[row]) == _slowly(values), values


def test_several_sets_of_columns_hash_as_each_alone(batch: pa.RecordBatch) -> None:
    one = RowHashes(["text", "number"], ["number", "whole", "text"])
    for start in range(0, batch.num_rows, 9000):
        one.add(one.block(Chunk(0, start, batch.slice(start, 9000))))
    assert (one.of(0) == hash_batch(batch, ["text", "number"])).all()
    assert (one.of(1) == hash_batch(batch, ["number", "whole", "text"])).all()


def test_a_number_hashes_alike_in_every_type() -> None:
    spelt = [
        pa.array([4, -3], pa.int8()),
        pa.array([4.0, -3.0]),
        pa.array(["4", "-3"]),
        pa.array(["4.0", "-3."]),
        pa.array([Decimal(4), Decimal(-3)]),
        pa.array(["4", "-3"]).dictionary_encode(),
    ]
    hashes = [hash_batch(pa.RecordBatch.from_arrays([one], names=["a"]), ["a"]).tolist() for one in spelt]
    assert all(one == hashes[0] for one in hashes)


def test_many_values_are_kept_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.data.scratch.MEMORY_BYTES", 1000)
    scratch, parts = Scratch(np.uint64), [np.arange(n, dtype=np.uint64) for n in (50, 100, 0, 300)]
    for part in parts:
        scratch.append(part)
    assert isinstance(scratch.array, np.memmap)
    assert (scratch.array == np.concatenate(parts)).all()
    assert len(Scratch(np.uint64).array) == 0
