"""What a user can get wrong, met as the user meets it: one clear line, the right exit code, nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headway.cli import commands as cli
from headway.errors import HeadwayError
from headway.pipeline import runs, stages
from headway.project import load_project
from headway.run.directory import RunDirectory
from headway.run.report import Silent
from tests.support.small_disk import mounted
from tests.support.whole import frame, make


def csv(**columns: Any) -> bytes:
    return frame().assign(**columns).to_csv(index=False).encode()


CHECKED: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "rows.csv must have content, but is empty"),
    "header only": (b"a,c,y\n", "the data must have rows, but rows.csv has none"),
    "duplicate names": (b"a,a,y\n1,2,yes\n", "column names must differ, but a occurs more than once"),
    "mixed types": (csv().replace(b"\n0.", b"\nzero", 1), "column a must be numeric, but 1 value is not"),
    "not UTF-8": (csv().replace(b",x,", b",caf\xe9,", 1), "must be UTF-8 text"),
    "target missing": (csv(y=None), "the target y must be given"),
    "one class only": (csv(y="yes"), "the target y must have two classes, but every row has yes"),
    "all-null column": (csv(a=None), "a must hold values, but is missing in every row"),
    "infinities": (
        csv(a=[np.inf] * 2 + [1.0] * 1499 + [2.0] * 1499),
        "a must be finite, but 2 values are infinite",
    ),
    "an id as category": (csv(c=[f"p{i}" for i in range(3000)]), "is likely an id"),
}


@pytest.mark.parametrize("name", CHECKED)
def test_refused_data_is_said_in_lines_of_ours_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    content, text = CHECKED[name]
    make(tmp_path, content=content)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["check", "rows"]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert any(text in line for line in lines), lines
    assert all(line.startswith("headway: ") for line in lines)
    assert [p for p in sorted(tmp_path.rglob("*")) if p not in before and p.is_file()] == []


@pytest.mark.parametrize("cut", [100, -20])
def test_a_truncated_parquet_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cut: int
) -> None:
    path = make(tmp_path, "parquet")
    path.write_bytes(path.read_bytes()[:cut])
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", "rows"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("headway: rows.parquet must be whole and readable, but")


def test_a_missing_file_and_a_missing_column_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path, content=frame().rename(columns={"c": "colour"}))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", "rows"]) == 2
    assert "data.features.c must name a column of" in capsys.readouterr().err
    path.unlink()
    assert cli.main(["check", "rows"]) == 3
    assert "there is no data/raw/rows.csv" in capsys.readouterr().err


def run_command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    command = [sys.executable, "-m", "headway.cli", "run", "rows", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_whole_runs_that_cannot_go_on_say_one_line_and_train_nothing(tmp_path: Path) -> None:
    make(tmp_path, content=CHECKED["one class only"][0])
    (tmp_path / "mlruns").write_text("not a folder")  # root may write into any folder, but not into a file
    outcome = run_command(tmp_path)
    assert (outcome.returncode, outcome.stderr.count("\n")) == (2, 1), outcome.stderr
    assert "mlruns" in outcome.stderr
    assert "Traceback" not in outcome.stdout
    (tmp_path / "mlruns").unlink()

    outcome = run_command(tmp_path)
    text = "headway: the target y must have two classes, but every row has yes\n"
    assert (outcome.returncode, outcome.stderr) == (3, text)
    assert "Traceback" not in outcome.stdout
    assert {path.name for path in (tmp_path / "data" / "prepared").iterdir()} <= {"profiles"}, (
        "profiles, and nothing to train on"
    )
    from headway.cli.overview import project

    assert "FAILED" in str(project("rows", tmp_path).runs).upper()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    with mounted(folder, "2m"):
        yield folder


def fill(folder: Path, leave: int) -> None:
    """Take all the room but ``leave`` bytes."""
    room = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - leave)))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["start", "validate", "prepare", "train"])
def test_a_full_disk_is_one_line_and_with_room_again_the_stage_succeeds(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    make(small_disk)
    run: RunDirectory | None = None
    steps: dict[str, Callable[[RunDirectory, Path, Silent], object]] = {
        "validate": stages.validate,
        "prepare": stages.prepare,
        "train": stages.train,
    }
    monkeypatch.chdir(small_disk)
    if stage != "start":
        run = runs.start(load_project("rows", small_disk), small_disk)
        for name in list(steps)[: list(steps).index(stage)]:
            steps[name](run, small_disk, Silent())
    fill(small_disk, 0)
    before = sorted(p for p in small_disk.rglob("*") if p.is_file())
    act = (
        (lambda: steps[stage](run, small_disk, Silent()))
        if run
        else (lambda: runs.start(load_project("rows", small_disk), small_disk))
    )
    with pytest.raises((OSError, HeadwayError)) as error:
        act()
    text = str(error.value)
    assert "No space left" in text or "room" in text
    after = sorted(p for p in small_disk.rglob("*") if p.is_file() and p.stat().st_size)
    assert [p for p in after if p not in before and "cache" not in str(p)] == []
    (small_disk / "filler").unlink()
    run = run or runs.start(load_project("rows", small_disk), small_disk)
    for name in list(steps)[list(steps).index(stage) if stage != "start" else 0 :]:
        steps[name](run, small_disk, Silent())
    assert run.result is not None


FURTHER: dict[str, tuple[list[Any], str]] = {
    "another type": (
        [1, "x"],
        "1.parquet: a column must have one type in all files, but u is text here and a number in",
    ),
    "gone": ([1, None], "1.parquet: all files must have the same columns, but it lacks u, which 0.parquet has"),
}


@pytest.mark.parametrize("rule", ["column_values_to_not_be_null", "column_values_to_be_unique"])
@pytest.mark.parametrize("name", FURTHER)
def test_a_column_that_is_only_validated_is_of_one_type_in_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, rule: str
) -> None:
    values, line = FURTHER[name]
    (tmp_path / "rows").mkdir()
    (tmp_path / "conf").mkdir()
    for number, value in enumerate(values):
        part = frame(50) if value is None else frame(50).assign(u=value)
        part.to_parquet(tmp_path / "rows" / f"{number}.parquet")
    rows = "{source: rows, target: y, features: {a: numeric}, ignore: {u: a key}}"
    stated = f"task: classification\ndata: {rows}\nvalidation: {{expectations: [{{expect: {rule}, column: u}}]}}\n"
    (tmp_path / "conf" / "t.yaml").write_text(stated)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", "t"]) == 3
    assert line in capsys.readouterr().err


def test_widths_may_differ_where_a_column_is_only_validated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "parquet").unlink()
    folder = tmp_path / "data" / "raw" / "rows.parquet"
    folder.mkdir()
    for number, kind in enumerate([np.int32, np.float64]):
        frame(50).assign(u=np.arange(50, dtype=kind) + 50 * number).to_parquet(folder / f"{number}.parquet")
    stated = (tmp_path / "conf" / "rows.yaml").read_text()
    rules = "validation: {expectations: [{expect: column_values_to_be_unique, column: u}]}\n"
    (tmp_path / "conf" / "rows.yaml").write_text(stated + rules)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", "rows"]) == 0
