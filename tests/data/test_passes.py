"""One reading by several threads: the same as one thread in the rows' order."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headway.data.chunks import Chunk
from headway.data.config import DataConfig
from headway.data.opening import open_table
from headway.data.passes import AHEAD, run
from headway.data.source import Table
from headway.errors import DataError

FEATURES = {"a": "numeric", "c": "categorical"}


def _table(root: Path, *parts: pd.DataFrame, **settings: object) -> Table:
    for number, part in enumerate(parts):
        part.to_parquet(root / f"part{number}.parquet", row_group_size=37)
    config = {"source": str(root / "*.parquet"), "target": "y", "features": FEATURES, **settings}
    return open_table(DataConfig.parse(config, "data"), "regression", root)


def _part(rows: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {"a": random.normal(size=rows), "c": random.choice(["x", "y"], rows), "y": random.normal(size=rows)}
    )


@dataclass
class Collection:
    """Keeps what it is given. ``slow``: the first blocks take the longest."""

    columns: Sequence[str] = ("a",)
    skip: frozenset[int] = frozenset()
    slow: bool = False
    places: list[tuple[int, int]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def columns_of(self, file: int) -> Sequence[str]:
        return () if file in self.skip else self.columns

    def block(self, chunk: Chunk) -> tuple[int, int, list[float], str]:
        if self.slow:
            time.sleep(max(0.0, 0.02 - chunk.start / 10_000))
        values = chunk.batch.column(self.columns[0]).to_pylist()
        return chunk.file, chunk.start, values, threading.current_thread().name

    def add(self, partial: tuple[int, int, list[float], str]) -> None:
        file, start, values, thread = partial
        self.places.append((file, start))
        self.values += values
        self.threads.add(thread)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_blocks_are_added_in_the_rows_order_whichever_is_done_first(tmp_path: Path, threads: int) -> None:
    parts = [_part(200, 1), _part(1, 2), _part(150, 3)]
    one = Collection(slow=True)
    assert run(_table(tmp_path, *parts), [one], threads, block_rows=20) == 351
    assert one.values == [value for part in parts for value in part["a"]]
    assert one.places == sorted(one.places)
    assert len(one.places) > 15


def test_several_passes_share_one_reading_of_their_columns(tmp_path: Path) -> None:
    part = _part(90)
    table = _table(tmp_path, part)
    numbers, targets = Collection(), Collection(("y", "a"))
    run(table, [numbers, targets], 2, block_rows=10)
    assert numbers.values == part["a"].to_list()
    assert targets.values == part["y"].to_list()


def test_a_file_that_no_pass_needs_is_not_read_but_its_rows_count(tmp_path: Path) -> None:
    table = _table(tmp_path, _part(40), _part(30), _part(20))
    (tmp_path / "part0.parquet").write_bytes(b"no longer Parquet")
    one = Collection(skip=frozenset({0}))
    assert run(table, [one], 2, rows_of={0: 40}, block_rows=10) == 90
    assert one.places[0] == (1, 40)
    assert len(one.values) == 50


def test_rows_without_a_target_are_left_out_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    part = _part(100)
    part.loc[::3, "y"] = None
    one = Collection()
    assert run(_table(tmp_path, part, unlabelled="drop"), [one], 2, block_rows=10) == 66
    assert one.values == part["a"][part["y"].notna()].to_list()
    assert [start for _, start in one.places] == np.cumsum([0, *[len(v) for v in _blocks(part, 10)]])[:-1].tolist()


def _blocks(part: pd.DataFrame, size: int) -> list[pd.DataFrame]:
    return [block[block["y"].notna()] for _, block in part.groupby(np.arange(len(part)) // size)]


def test_one_block_is_worked_on_without_a_thread(tmp_path: Path) -> None:
    one = Collection()
    run(_table(tmp_path, _part(50)), [one], 4)
    assert one.threads == {"MainThread"}


@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_row_with_an_error_is_named(tmp_path: Path, threads: int) -> None:
    part = _part(300).astype({"a": str})
    part.loc[[77, 240], "a"] = ["seventy", "more"]
    with pytest.raises(DataError, match=r"row 78.*seventy"):
        run(_table(tmp_path, part), [Collection()], threads, block_rows=10)


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_of_earlier_rows_comes_before_one_of_reading(tmp_path: Path, threads: int) -> None:
    part = _part(30).astype({"a": str})
    part.loc[29, "a"] = "thirty"
    table = _table(tmp_path, part, _part(30).astype({"a": str}))
    (tmp_path / "part1.parquet").write_bytes(b"no longer Parquet")
    with pytest.raises(DataError, match=r"row 30.*thirty"):
        run(table, [Collection(slow=True)], threads, block_rows=10)


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_of_the_first_block_comes_before_one_of_reading_the_second(tmp_path: Path, threads: int) -> None:
    part = _part(30).astype({"a": str})
    part.loc[29, "a"] = "thirty"
    table = _table(tmp_path, part, _part(30).astype({"a": str}))
    (tmp_path / "part1.parquet").write_bytes(b"no longer Parquet")
    with pytest.raises(DataError, match=r"row 30.*thirty"):
        run(table, [Collection()], threads)


def test_few_blocks_wait_however_slow_the_adding_is(tmp_path: Path) -> None:
    class Slow(Collection):
        count = 0
        most = 0

        def block(self, chunk: Chunk) -> tuple[int, int, list[float], str]:
            self.count += 1
            return super().block(chunk)

        def add(self, partial: tuple[int, int, list[float], str]) -> None:
            time.sleep(0.002)
            self.most = max(self.most, self.count - len(self.places))
            super().add(partial)

    one = Slow()
    run(_table(tmp_path, _part(400)), [one], 2, block_rows=5)
    assert one.most <= 2 + AHEAD
    assert len(one.places) >= 80


def test_an_interrupt_ends_it(tmp_path: Path) -> None:
    class Interrupted(Collection):
        def add(self, partial: tuple[int, int, list[float], str]) -> None:
            if len(self.places) == 3:
                raise KeyboardInterrupt
            super().add(partial)

    one = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        run(_table(tmp_path, _part(400)), [one], 2, block_rows=5)
    assert len(one.places) == 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("headway-pool")]


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the data must have rows, but part0.parquet has none"):
        run(_table(tmp_path, _part(3).iloc[:0]), [Collection()])
