"""A table that grows by a file is prepared by reading little more than that file, and ends with the bytes of one prepared from nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway.columns.config import PrepareConfig
from headway.data import learnt_rows, source
from headway.data import split as splitting
from headway.data.cache import Cache, is_whole
from headway.data.config import DataConfig, SplitConfig
from headway.data.identity import row_hashes
from headway.data.opening import open_table
from headway.data.split import TEST, VALIDATION, Division
from headway.data.storing import make_store
from headway.errors import ConfigError
from tests.support.months import visits

ROWS = 700
FEATURES = {"age": "numeric", "town": "categorical", "note": "text", "seen": "date"}
SPLITS = {
    "stratified": SplitConfig(),
    "random": SplitConfig(by="random", seed=3),
    "group": SplitConfig(by="group", column="group"),
    "time": SplitConfig(by="time", column="day"),
    "files": SplitConfig(by="files", test_files="2024-01*"),
}
TAKES = ({"tokens"}, {"ngrams"}, set[str]())


def write(root: Path, month: int, rare: bool = False) -> None:
    """One month's file. ``rare``: one class occurs in a single row, of the first month."""
    random = np.random.default_rng(month)
    frame = visits(random, month, ROWS)
    frame["day"] = frame["seen"].dt.floor("D")
    frame["group"] = random.integers(0, 90, ROWS)
    frame["paid"] = random.choice(["yes", "no"], ROWS)
    if month == 1 and rare:
        frame.loc[0, "paid"] = "perhaps"
    (root / "rows").mkdir(exist_ok=True)
    frame.to_parquet(root / "rows" / f"2024-{month:02}.parquet")


def prepare(root: Path, split: SplitConfig, takes: set[str], **settings: Any) -> Path:
    data = DataConfig.parse({"source": "rows", "target": "paid", "features": FEATURES}, "data")
    division = Division(open_table(data, "classification", root, ("day", "group")), split, cache=Cache(root / "kept"))
    config = PrepareConfig.parse({"bins": 0, **settings}, "prepare")
    store, reused = make_store(root / "prepared", division, data, config, takes=takes)
    assert not reused
    return store.path


def contents(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}


def from_nothing(root: Path, other: Path, split: SplitConfig, takes: set[str], **settings: Any) -> dict[str, bytes]:
    shutil.copytree(root / "rows", other / "rows")
    return contents(prepare(other, split, takes, **settings))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The files whose rows are read, in order, each with how many columns."""
    names: list[tuple[str, int]] = []
    inner = source.read_batches

    def counted(file: str, form: str, csv: Any, columns: Any, *rest: Any, **more: Any) -> Iterator[Any]:
        names.append((Path(file).name, len(columns)))
        return inner(file, form, csv, columns, *rest, **more)

    monkeypatch.setattr(source, "read_batches", counted)
    return names


@pytest.mark.parametrize("takes", TAKES, ids=str)
@pytest.mark.parametrize("by", SPLITS)
def test_a_new_file_leaves_the_bytes_of_a_preparation_from_nothing(tmp_path: Path, by: str, takes: set[str]) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for month in range(1, 6):
        write(root, month, rare=by == "stratified")
    prepare(root, SPLITS[by], takes)
    write(root, 6)
    assert contents(prepare(root, SPLITS[by], takes)) == from_nothing(root, tmp_path / "other", SPLITS[by], takes)


def test_earlier_files_are_read_once_more_and_only_to_be_written(tmp_path: Path, reads: list[tuple[str, int]]) -> None:
    for month in range(1, 5):
        write(tmp_path, month)
    prepare(tmp_path, SPLITS["random"], set())
    write(tmp_path, 5)
    reads.clear()
    prepare(tmp_path, SPLITS["random"], set())
    assert [name for name, _ in reads] == ["2024-05.parquet"] * 2 + [
        f"2024-{month:02}.parquet" for month in range(1, 6)
    ]


@pytest.mark.parametrize("takes", TAKES, ids=str)
def test_what_is_fitted_to_stated_files_prepares_the_new_file_alone(
    tmp_path: Path, reads: list[tuple[str, int]], takes: set[str]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for month in range(1, 5):
        write(root, month)
    first = prepare(root, SPLITS["random"], takes, fitted_on="2024-0[123]*")
    write(root, 5)
    reads.clear()
    store_grown = prepare(root, SPLITS["random"], takes, fitted_on="2024-0[123]*")
    assert {name for name, _ in reads} == {"2024-05.parquet"}
    assert (store_grown / "preparation.json").read_bytes() == (first / "preparation.json").read_bytes()
    assert contents(store_grown) == from_nothing(
        root, tmp_path / "other", SPLITS["random"], takes, fitted_on="2024-0[123]*"
    )

    only_three = tmp_path / "three"
    (only_three / "rows").mkdir(parents=True)
    for month in range(1, 4):
        shutil.copy(root / "rows" / f"2024-{month:02}.parquet", only_three / "rows")
    assert (prepare(only_three, SPLITS["random"], takes) / "preparation.json").read_bytes() == (
        store_grown / "preparation.json"
    ).read_bytes(), "the rows of the stated files decide alone"


def test_bins_are_fitted_to_stated_files_too(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for month in range(1, 4):
        write(root, month)
    settings = {"fitted_on": "2024-0[12]*", "bins": 8}
    prepare(root, SPLITS["random"], set(), **settings)
    write(root, 4)
    store_grown = prepare(root, SPLITS["random"], set(), **settings)
    assert contents(store_grown) == from_nothing(root, tmp_path / "other", SPLITS["random"], set(), **settings)


def test_stated_files_that_are_none_are_refused_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with pytest.raises(
        ConfigError, match=r"^prepare.fitted_on must match a file, but '2023-\*' matches none of 1: 2024-01.parquet$"
    ):
        prepare(tmp_path, SPLITS["random"], set(), fitted_on="2023-*")
    assert not list((tmp_path / "prepared").glob(".*"))


@pytest.mark.parametrize("place", [0, -5])
def test_what_was_kept_and_is_damaged_is_computed_again(tmp_path: Path, place: int) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for month in range(1, 4):
        write(root, month)
    prepare(root, SPLITS["stratified"], set())
    files = sorted((root / "kept").iterdir())
    assert files
    assert all(map(is_whole, files))
    for file in files:
        content = bytearray(file.read_bytes())
        content[place] ^= 1
        file.write_bytes(content)
    assert not any(map(is_whole, files))
    write(root, 4)
    store_grown = prepare(root, SPLITS["stratified"], set())
    assert contents(store_grown) == from_nothing(root, tmp_path / "other", SPLITS["stratified"], set())
    assert all(map(is_whole, (root / "kept").iterdir()))


def test_a_damaged_earlier_store_is_not_gone_on_with(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write(root, 1)
    write(root, 2)
    first = prepare(root, SPLITS["random"], set(), fitted_on="2024-01*")
    numeric = first / "train" / "numeric.npy"
    numeric.write_bytes(numeric.read_bytes()[:-4] + b"abcd")
    write(root, 3)
    store_grown = prepare(root, SPLITS["random"], set(), fitted_on="2024-01*")
    assert contents(store_grown) == from_nothing(
        root, tmp_path / "other", SPLITS["random"], set(), fitted_on="2024-01*"
    )


def test_what_is_kept_is_bounded_by_removing_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headway.data.cache.MOST_BYTES", 9_000)
    for month in range(1, 5):
        write(tmp_path, month)
    prepare(tmp_path, SPLITS["random"], set())
    sizes = [path.stat().st_size for path in (tmp_path / "kept").glob("*.hashes")]
    assert 0 < sum(sizes) <= 9_000


@pytest.mark.parametrize("rows", [3, 4, 5, 20, 300])
@pytest.mark.parametrize("kind", ["many", "few", "one"])
def test_the_newest_rows_are_selected_as_by_sorting_all(monkeypatch: pytest.MonkeyPatch, rows: int, kind: str) -> None:
    random = np.random.default_rng(rows)
    for _ in range(40):
        values = random.integers(0, {"many": 10 * rows, "few": 4, "one": 1}[kind], rows)
        split = SplitConfig(
            by="time", column="when", test=float(random.uniform(0.01, 0.9)), validation=float(random.uniform(0.01, 0.9))
        )
        monkeypatch.setattr(splitting, "moments", lambda *_, own=values: splitting.Moments("when", own))
        division = Division(None, split)  # pyrefly: ignore
        np.testing.assert_array_equal(splitting._by_time(division), by_sorting(values, split))


def by_sorting(moments: np.ndarray, split: SplitConfig) -> np.ndarray:
    """The parts of all different moments in their order."""
    instants, codes = np.unique(moments, return_inverse=True)
    older = np.concatenate([[0], np.cumsum(np.bincount(codes))])[:-1] / len(codes)
    start_test = 1 - split.test
    parts = np.zeros(len(instants), np.uint8)
    parts[older >= start_test * (1 - split.validation)] = VALIDATION
    parts[older >= start_test] = TEST
    if not (parts == TEST).any():
        parts[-1] = TEST
    if len(instants) > 2 and not (parts == VALIDATION).any():
        parts[np.flatnonzero(parts == TEST)[0] - 1] = VALIDATION
    return parts[codes]


@pytest.mark.parametrize("by", ["stratified", "random", "group"])
def test_parts_of_slices_are_those_of_all_rows_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    for month in range(1, 4):
        write(tmp_path, month, rare=True)
    data = DataConfig.parse({"source": "rows", "target": "paid", "features": FEATURES}, "data")
    table = open_table(data, "classification", tmp_path, ("day", "group"))
    monkeypatch.setattr(splitting, "SLICE_ROWS", 100)
    for seed in range(8):
        split = SplitConfig(by=by, column="group" if by == "group" else None, seed=seed, test=0.5)  # pyrefly: ignore
        division = Division(table, split)
        position = splitting.positions(row_hashes(table, division.identity.columns), seed)
        classes = splitting._strata(splitting._column(table, "paid")) if by == "stratified" else None
        np.testing.assert_array_equal(division.parts, splitting._parts_of(position, 0.5, split.validation, classes))


@pytest.mark.parametrize("most", [1, 7, 50, 10_000])
def test_the_lowest_hashes_are_those_of_all_different_ones(most: int) -> None:
    random = np.random.default_rng(most)
    hashes, eligible = random.integers(0, 300, 1_000).astype(np.uint64), random.random(1_000) < 0.8
    np.testing.assert_array_equal(learnt_rows._lowest(hashes, eligible, most), np.unique(hashes[eligible])[:most])
    np.testing.assert_array_equal(learnt_rows._lowest(hashes, None, most), np.unique(hashes)[:most])
