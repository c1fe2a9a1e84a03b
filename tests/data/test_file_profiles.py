"""Profiles of known files are kept: only what is new is read, and the result is that of one pass."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headway.columns import Kind
from headway.data import source
from headway.data.config import DataConfig
from headway.data.file_profiles import profile_by_file
from headway.data.opening import open_table
from headway.data.profile import Profile, profile_table
from headway.data.source import Table

FEATURES: dict[str, Kind] = {"age": "numeric", "town": "categorical", "note": "text"}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose rows are read, in order."""
    names: list[str] = []
    inner = source.read_batches

    def counted(file: str, *rest: Any, **more: Any) -> Iterator[Any]:
        names.append(Path(file).name)
        return inner(file, *rest, **more)

    monkeypatch.setattr(source, "read_batches", counted)
    return names


def write(root: Path, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 3000
    frame = pd.DataFrame({"age": rng.normal(40, 10, n), "town": rng.choice(["Ulm", "Köln", "Bonn"], n)})
    frame.loc[rng.random(n) < 0.1, "age"] = None
    frame["note"] = [f"note {i}" for i in rng.integers(0, 900, n)]
    frame["paid"] = rng.choice(["yes", "no"], n)
    (root / "rows").mkdir(exist_ok=True)
    frame.to_parquet(root / "rows" / name)


def table(root: Path) -> Table:
    return open_table(DataConfig(source="rows", target="paid", features=FEATURES), "classification", root)


def profile_of(root: Path) -> Profile:
    return profile_by_file(table(root), root, root / "profiles")


def check_same(profile: Profile, truth: Profile) -> None:
    assert profile.rows == truth.rows
    for name, column in truth.columns.items():
        other = profile.columns[name]
        for exact in ("rows", "nulls", "infinite", "distinct", "counts", "frequent", "min", "max", "characters"):
            assert getattr(other, exact) == getattr(column, exact), (name, exact)
        if column.mean is not None:
            assert other.mean == pytest.approx(column.mean, rel=1e-12)
            assert other.std == pytest.approx(column.std, rel=1e-12)


def test_a_new_file_alone_is_read_and_the_profile_is_that_of_one_pass(tmp_path: Path, reads: list[str]) -> None:
    for seed, name in enumerate(["a.parquet", "b.parquet"]):
        write(tmp_path, name, seed)
    check_same(profile_of(tmp_path), profile_table(table(tmp_path)))
    write(tmp_path, "aa.parquet", 7)
    reads.clear()
    result = profile_of(tmp_path)
    assert reads == ["aa.parquet"]
    check_same(result, profile_table(table(tmp_path)))
    ages = pd.concat([pd.read_parquet(p) for p in (tmp_path / "rows").iterdir()])["age"].dropna().to_numpy()
    shares = np.array([0.05, 0.5, 0.95])
    ranks = [(ages <= q).mean() for q in result.columns["age"].quantiles(list(shares))]
    assert np.abs(ranks - shares).max() < 0.005


def test_reading_a_kept_profile_loses_nothing(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", 0)
    assert profile_of(tmp_path).to_json() == profile_of(tmp_path).to_json()


def test_a_damaged_profile_is_made_anew(tmp_path: Path, reads: list[str]) -> None:
    write(tmp_path, "a.parquet", 0)
    profile_of(tmp_path)
    (path,) = (tmp_path / "profiles").iterdir()
    whole = path.read_text()
    for damaged in (whole[: len(whole) // 2], whole.replace('"rows": 3000', '"rows": 3001'), "[]"):
        path.write_text(damaged)
        reads.clear()
        check_same(profile_of(tmp_path), profile_table(table(tmp_path)))
        assert reads == ["a.parquet"] * 2
    assert path.read_text().count('"rows": 3000') == whole.count('"rows": 3000')


def test_a_write_that_is_cut_off_leaves_no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.parquet", 0)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            profile_of(tmp_path)
    assert not list((tmp_path / "profiles").glob("*.json"))
    check_same(profile_of(tmp_path), profile_table(table(tmp_path)))


def test_what_is_kept_of_a_file_does_not_depend_on_the_files_beside_it(tmp_path: Path, reads: list[str]) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    for number, name in enumerate(["a.parquet", "b.parquet", "c.parquet"]):
        rng = np.random.default_rng(number)
        frame = pd.DataFrame({"age": rng.normal(number, 1, 20_000), "town": "Ulm", "note": "x", "paid": "yes"})
        frame.to_parquet(folder / name)
    three = profile_of(tmp_path)
    assert three.columns["age"].distinct == pytest.approx(60_000, rel=0.06)
    for name in ("a.parquet", "c.parquet"):
        (folder / name).unlink()
    reads.clear()
    results = profile_of(tmp_path)
    assert not reads
    assert results.to_json() == profile_table(table(tmp_path)).to_json()
