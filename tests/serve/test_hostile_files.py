"""Batch scoring of files that are damaged or malicious, of keys that are called as answers are, and to disks that are full."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headway.errors import ConfigError, DataError, HeadwayError
from headway.pipeline import scoring
from headway.pipeline.scoring import score
from headway.run.report import Silent
from headway.serve import stream
from headway.serve.stream import free_names
from headway.serve.workers import InProcess
from tests.serve.bundles import registered


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "Workers", InProcess)
    monkeypatch.setattr(stream, "PART_ROWS", 4096)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("scored")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        registered(root, "classes")
        yield root


def table(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"id": np.arange(rows), "x": rng.normal(size=rows), "k": rng.choice(["p", "q"], rows)})


def left(out: Path) -> list[str]:
    """What lies in the folder, but for the lock."""
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.name != ".lock") if out.exists() else []


LINE = b'{"id": 1, "x": 1, "k": "p"}\n'
LONG_LINE, LONG_CSV = LINE.replace(b"p", b"p" * 60), b"1,2," + b"p" * 50 + b"\n"
"""So long that some ten thousands of them fill more than one block."""


def _parquet_of(text: bytes) -> bytes:
    """A file whose column k says that it is text, and holds these bytes."""
    sink = pa.BufferOutputStream()
    texts = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, len(text)], np.int32)), pa.py_buffer(text))
    pq.write_table(pa.table({"id": [1], "x": [1.0], "k": texts}), sink)
    return bytes(sink.getvalue())


BAD: dict[str, tuple[str, bytes]] = {
    "deep lists": ("a.jsonl", LINE + b'{"id": 1, "x": ' + b"[" * 200_000 + b"\n"),
    "deep objects": ("a.jsonl", b'{"a":' * 100_000),
    "a long line": ("a.jsonl", LINE + b'{"k": "' + b"x" * 30_000_000 + b'"}\n'),
    "a long line of CSV": ("a.csv", b"id,x,k\n1,2," + b"x" * 30_000_000 + b"\n"),
    "names twice": ("a.jsonl", LINE + b'{"id": 1, "id": 2, "x": 1, "k": "p"}\n'),
    "NaN": ("a.jsonl", LINE + b'{"id": 1, "x": NaN, "k": "p"}\n'),
    "latin-1": ("a.csv", "id,x,k\n1,1,é\n".encode("latin-1")),
    "utf-16": ("a.csv", "id,x,k\n1,1,p\n".encode("utf-16")),
    "late latin-1": ("a.csv", b"id,x,k\n" + LONG_CSV * 90_000 + "1,1,é\n".encode("latin-1")),
    "late cut": ("a.jsonl", LONG_LINE * 60_000 + b'{"id": 1, '),
    "no Parquet": ("a.parquet", b"PAR1" + bytes(1000) + b"PAR1"),
    "no Arrow": ("a.arrow", b"ARROW1" + bytes(1000)),
    "Parquet that is no UTF-8": ("a.parquet", _parquet_of(b"caf\xe9")),
    "columns twice": ("a.csv", b"id,x,k,x\n1,2,p,3\n"),
    "nothing": ("a.csv", b""),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_that_names_it_and_leaves_nothing(root: Path, tmp_path: Path, name: str) -> None:
    file, content = BAD[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=rf"^{file}") as error:
        score("classes", root, Silent(), str(tmp_path / file), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert left(tmp_path / "out") == []


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_rows_that_no_number_comes_of_go_aside_with_the_reason(root: Path, tmp_path: Path, ending: str) -> None:
    values = ["1", "inf", "1" * 5000, "1e300", "-1e999", "2"]
    lines = [f"{i},{value},p" for i, value in enumerate(values)]
    if ending == "jsonl":
        lines = [json.dumps({"id": i, "x": value, "k": "p"}) for i, value in enumerate(values)]
    file = tmp_path / f"a.{ending}"
    file.write_text("\n".join(["id,x,k", *lines] if ending == "csv" else lines))
    outcome = score("classes", root, Silent(), str(file), tmp_path / "out")
    assert (outcome.scored, outcome.refused) == (2, 4)
    refused = pd.read_parquet(tmp_path / "out" / f"a.{ending}.refused.parquet").set_index("row")["reason"]
    assert refused[2] == "x must be finite, but is 'inf'"
    assert refused[3] == f"x must be finite, but is '{'1' * 80}'"
    assert refused[4].startswith("the prediction must be a finite number")
    assert refused[5] == "x must be finite, but is '-1e999'"
    scored = pd.read_parquet(tmp_path / "out" / f"a.{ending}.parquet")
    assert np.isfinite(scored.filter(like="probability")).all(axis=None)


def test_a_key_that_is_called_as_an_answer_is_kept_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    keys = ("prediction", "probability_a", "model_version", "row")
    registered(tmp_path, "classes", keys)
    frame = table(20).assign(**{key: [f"{key} {i}" for i in range(20)] for key in keys})
    frame.loc[3, "x"] = np.inf
    frame.to_parquet(tmp_path / "a.parquet")
    scoring_outcome = score("classes", tmp_path, Silent(), str(tmp_path / "a.parquet"), tmp_path / "out")
    assert (scoring_outcome.scored, scoring_outcome.refused) == (19, 1)
    scored = pd.read_parquet(tmp_path / "out" / "a.parquet")
    good = frame.drop(index=3)
    for key in keys[:3]:
        assert scored[f"input_{key}"].tolist() == good[key].tolist()
    assert scored["row"].tolist() == good["row"].tolist()
    assert set(scored["prediction"]) <= {"a", "b", "c"}
    assert scored["probability_a"].between(0, 1).all()
    assert set(scored["model_version"]) == {"1"}
    refused = pd.read_parquet(tmp_path / "out" / "a.refused.parquet")
    assert (refused["row"].tolist(), refused["input_row"].tolist()) == ([4], ["row 3"])


def test_names_that_are_taken_are_told_apart_whatever_else_there_is() -> None:
    assert free_names(["a", "b"], ["c"]) == ["a", "b"]
    assert free_names(["row", "input_row", "x"], ["row"]) == ["input_input_row", "input_row", "x"]


def test_keys_of_a_csv_are_read_as_the_project_reads_them(root: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,x,k\nNA,1,p\n7,NA,\n")
    score("classes", root, Silent(), str(tmp_path / "a.csv"), tmp_path / "out")
    assert pd.read_parquet(tmp_path / "out" / "a.csv.parquet")["id"].isna().tolist() == [True, False]


def test_a_folder_that_cannot_be_written_is_one_line_that_names_it(root: Path, tmp_path: Path) -> None:
    table(10).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"^--out must be a folder that can be written, but /proc/scores: "):
        score("classes", root, Silent(), str(tmp_path / "a.parquet"), Path("/proc/scores"))


def _until_it_fits(root: Path, data: Path, out: Path, rows: int) -> str:
    """Score once: the line of the failure, after which nothing is half-written; an empty one when all is written."""
    try:
        outcome = score("classes", root, Silent(), str(data), out)
    except HeadwayError as error:
        assert not [name for name in left(out) if name.endswith(".partial")]
        for whole in out.glob("*.parquet"):
            pd.read_parquet(whole)  # the manifest alone had no room
        return str(error)
    assert outcome.scored == rows
    assert pd.read_parquet(out / "a.parquet")["id"].tolist() == list(range(rows))
    return ""


def test_files_that_may_not_grow_are_one_line_and_the_next_scoring_goes_on(root: Path, tmp_path: Path) -> None:
    rows = 20_000
    table(rows).to_parquet(tmp_path / "a.parquet")
    lines: list[str] = []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (10, 30_000, 60_000, 150_000, 400_000, limits[0]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            lines.append(_until_it_fits(root, tmp_path / "a.parquet", tmp_path / "out", rows))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert lines[-1] == ""
    assert lines[0]
    for line in filter(None, lines):
        assert line.startswith("files must be allowed to grow as large as they need, but ")
        assert any(f"but {place}/" in line for place in (tmp_path / "out", root))
        assert "\n" not in line
    assert left(tmp_path / "out") == ["a.parquet", "manifest.json"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "headway-test", str(place)]
    try:
        is_mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        is_mounted = False
    if not is_mounted:
        pytest.skip("skipped: mounts a small disk, which this user may not")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full_at_any_write_is_one_line_and_the_next_scoring_goes_on(
    root: Path, tmp_path: Path, small_disk: Path
) -> None:
    rows, out, ballast = 12_000, small_disk / "out", small_disk / "ballast"
    table(rows).to_parquet(tmp_path / "a.parquet")
    out.mkdir()
    (out / ".lock").touch()
    lines: list[str] = []
    for free in range(0, 1_000_000, 40_000):
        ballast.unlink(missing_ok=True)
        _fill(ballast, free)
        lines.append(_until_it_fits(root, tmp_path / "a.parquet", out, rows))
        if not lines[-1]:
            break
    assert lines[0]
    assert lines[-1] == "", lines
    for line in lines[:-1]:
        assert line.startswith("the disk must have room left, but ")
        assert line.endswith(": No space left on device")
        assert str(out) in line
    assert left(out) == ["a.parquet", "manifest.json"]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(
        ConfigError, match=r"^--out must be a folder that can be written, but .*: Read-only file system$"
    ):
        score("classes", root, Silent(), str(tmp_path / "a.parquet"), out)


def _fill(ballast: Path, free: int) -> None:
    """Take all room of the disk but ``free`` bytes."""
    disk: Any = os.statvfs(ballast.parent)
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - free))
