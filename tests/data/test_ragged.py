"""Rows of different lengths: in memory, on disk and within a store of prepared rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headway.columns import read_encoding
from headway.columns import text as text_columns
from headway.columns.config import PrepareConfig, TokensConfig
from headway.columns.ragged import Ragged
from headway.columns.text import Tokens, TokensFitter
from headway.data.arrays import GrowingRagged, read_ragged
from headway.data.config import SPLITS, DataConfig, SplitConfig
from headway.data.opening import open_table
from headway.data.padded import PaddedRows
from headway.data.ready import is_ready
from headway.data.split import Division
from headway.data.store import Store
from headway.data.storing import make_store, store_digest
from headway.errors import DamagedError
from tests.support.whole_project import cut, flip, gone

NOTES = [
    "late again, sorry",
    None,
    "",
    "   ",
    "NA",
    "4.0",
    "paid",
    "late again, sorry",
    "\u4f60\u597d \U0001f600",
    "None",
]
EMPTY = {None, "", "   ", "NA"}
SMALL = PrepareConfig(tokens=TokensConfig(vocabulary=300, most=8))


def lists_of(rows: Ragged) -> list[list[int]]:
    """The slow obvious version."""
    return [rows.values[rows.offsets[i] : rows.offsets[i + 1]].tolist() for i in range(len(rows))]


def fitted(texts: pa.Array, config: PrepareConfig = SMALL) -> Tokens:
    fitter = TokensFitter("note", config)
    for start in range(0, len(texts), 7):
        block = texts.slice(start, 7)
        fitter.update(block, block)
    tokens = fitter.finish()
    assert tokens is not None
    return tokens


def test_rows_are_taken_in_any_order_and_more_than_once() -> None:
    lists = [[1, 2, 3], [], [4], [], [5, 6]]
    rows = Ragged.of(lists)
    assert (len(rows), rows.lengths.tolist()) == (5, [3, 0, 1, 0, 2])
    order = np.array([4, 1, 0, 0, 3, 2])
    assert lists_of(rows.take(order)) == [lists[i] for i in order]
    assert lists_of(rows.take(order).take(np.array([2]))) == [[1, 2, 3]]
    assert lists_of(rows.take(np.zeros(0, int))) == lists_of(Ragged.of([])) == []
    assert lists_of(Ragged.of([[], []]).take(np.array([1, 0]))) == [[], []]


@pytest.mark.parametrize("rows", [[[1, 2, 3, 4, 5], [6], []], [[], []]], ids=["some", "all empty"])
def test_a_padded_row_is_alone_what_it_is_among_others(rows: list[list[int]]) -> None:
    padded = PaddedRows.of(Ragged.of(rows), 3)
    truth = [(row + [0] * 3)[:3] for row in rows]
    gathered = np.ones((len(rows), 3), np.int32)
    padded.gather(np.arange(len(rows)), gathered)
    assert padded[0 : len(rows)].tolist() == gathered.tolist() == truth
    assert [padded[i].tolist() for i in range(len(rows))] == truth


@pytest.mark.parametrize("kind", [np.int32, np.uint16, np.float32])
def test_rows_that_were_written_in_pieces_are_read_as_one(tmp_path: Path, kind: type[np.generic]) -> None:
    lists = [[1, 2, 3], [], [4], [], [5, 6]]
    whole = Ragged.of(lists, kind)
    later = Ragged(whole.values, whole.offsets[2:])  # rows that do not begin with the first value
    with GrowingRagged(tmp_path, "x", np.dtype(kind)) as growing:
        growing.append(Ragged.of([], kind))
        growing.append(Ragged.of(lists[:2], kind))
        growing.append(later)
    read = read_ragged(tmp_path.joinpath, "x")
    assert read.values.dtype == kind
    assert isinstance(read.values, np.memmap)
    assert lists_of(read) == lists


def test_rows_that_are_all_empty_are_written_and_read(tmp_path: Path) -> None:
    with GrowingRagged(tmp_path, "x", np.dtype(np.int32)) as growing:
        growing.append(Ragged.of([[], []]))
    assert lists_of(read_ragged(tmp_path.joinpath, "x")) == [[], []]


def test_a_text_has_its_tokens_and_what_stands_for_null_has_none() -> None:
    column = pa.array(NOTES, pa.string())
    tokens = fitted(column)
    rows = tokens.ragged(column, missing=("NA",))
    assert rows.values.dtype == np.int32
    assert rows.offsets.dtype == np.int64
    decode = tokens._byte_pairs.decode
    for text, row in zip(NOTES, lists_of(rows), strict=True):
        assert bool(row) == (text not in EMPTY), text
        assert len(row) <= 8
        assert 0 not in row, "0 is left for padding"
        if text not in EMPTY and len(row) < 8:
            assert decode(row) == text
    assert tokens.vocabulary <= 300
    assert lists_of(tokens.ragged(column))[NOTES.index("NA")], "a file that knows null may hold the word"


def test_a_row_has_the_same_tokens_alone_among_others_and_from_json() -> None:
    column = pa.array(NOTES, pa.string())
    tokens = fitted(column)
    whole = lists_of(tokens.ragged(column))
    assert [lists_of(tokens.ragged(column.slice(i, 1)))[0] for i in range(len(column))] == whole
    again = read_encoding(tokens.group, json.loads(json.dumps(tokens.to_json())))
    assert again == tokens
    assert lists_of(again.ragged(column)) == whole
    assert again.vocabulary == tokens.vocabulary


def test_of_a_text_of_a_megabyte_only_the_beginning_is_looked_at() -> None:
    tokens = fitted(pa.array(NOTES, pa.string()))
    long = "late again, sorry " * 60_000
    (row,) = lists_of(tokens.ragged(pa.array([f"  {long}"])))
    assert len(row) == 8
    assert row == lists_of(tokens.ragged(pa.array([long[: 8 * text_columns.CHARACTERS_A_TOKEN]])))[0]


def test_a_tokenizer_is_trained_on_texts_from_all_rows_where_they_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text_columns, "SAMPLE_CHARACTERS", 200)
    fitter = TokensFitter("note", SMALL)
    texts = pa.array([f"text {n:04}" for n in range(1000)])
    for start, stop in ((0, 3), (3, 500), (500, 501), (501, 1000)):
        fitter.update(texts.slice(start, stop - start), texts)
    numbers = [int(text.split()[1]) for text in fitter._texts]
    assert numbers == list(range(0, 1000, 64))
    assert fitter.finish() is not None


def test_a_column_without_any_text_becomes_nothing() -> None:
    fitter = TokensFitter("note", SMALL)
    fitter.update(pa.array([None, "", "  "], pa.string()), pa.array(["a"] * 3))
    assert fitter.finish() is None


@pytest.fixture
def division(tmp_path: Path) -> tuple[Division, DataConfig]:
    rng = np.random.default_rng(0)
    words = ("late", "again", "sorry", "paid")
    lines = [
        {"id": i, "x": float(i), "note": " ".join(rng.choice(words, i % 4)) or None, "y": "yes" if i % 3 else "no"}
        for i in range(200)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    features = {"x": "numeric", "note": "text"}
    settings = {"source": "rows.jsonl", "target": "y", "features": features, "keys": ["id"]}
    data = DataConfig.parse(settings, "data")
    return Division(open_table(data, "classification", tmp_path, ["id"]), SplitConfig()), data


def test_a_store_holds_the_tokens_of_every_row_and_is_named_after_how_they_are_made(
    division: tuple[Division, DataConfig], tmp_path: Path
) -> None:
    store, _ = make_store(tmp_path, *division, SMALL, takes={"tokens"})
    table = pa.concat_tables(pa.Table.from_batches([chunk.batch]) for chunk in division[0].table.chunks())
    for part, split in enumerate(SPLITS):
        rows = table.filter(pa.array(division[0].parts == part)).combine_chunks().to_batches()[0]
        truth = store.preparation.ragged(rows)["tokens_0"]
        assert lists_of(store.ragged(split)["tokens_0"]) == lists_of(truth)
        assert len(store.arrays(split)["numeric"]) == len(truth)
    assert store.preparation.inputs().tokens == (store.preparation.by_ragged["tokens_0"].vocabulary,)
    assert [one.column for one in store.preparation.columns] == ["x", "note"]
    other = PrepareConfig(tokens=TokensConfig(vocabulary=301))
    assert store_digest(*division, SMALL, {"tokens"}) != store_digest(*division, other, {"tokens"})
    assert store_digest(*division, SMALL) == store_digest(*division, other), "without tokens their settings do nothing"
    words, _ = make_store(tmp_path, *division, SMALL)
    assert words.path != store.path
    assert words.ragged("train") == {}


@pytest.mark.parametrize("damage", [flip, cut, gone])
@pytest.mark.parametrize("part", ["values", "offsets"])
def test_a_damaged_ragged_array_is_found_and_the_store_made_again(
    division: tuple[Division, DataConfig], tmp_path: Path, part: str, damage: Callable[[Path], None]
) -> None:
    store, _ = make_store(tmp_path, *division, SMALL, takes={"tokens"})
    name = f"train/tokens_0.{part}.npy"
    before = (store.path / name).read_bytes()
    damage(store.path / name)
    with pytest.raises(DamagedError, match=name):
        Store(store.path).ragged("train")
    messages: list[str] = []
    assert is_ready(store.path, messages.append) is False
    assert Path(name).name in messages[0]
    again, reused = make_store(tmp_path, *division, SMALL, takes={"tokens"})
    assert not reused
    assert (again.path / name).read_bytes() == before
