"""A preparation that was killed goes on where it was, and ends with the bytes of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.data.progress import NAME, Progress
from headway.files.checksums import replacing_folder
from headway.files.leftovers import OWNER
from headway.files.locks import take

ROWS, EVERY = 6_000, 1_000

PREPARE = """
import functools, os, signal, sys
from pathlib import Path
from headway.columns.config import PrepareConfig
from headway.data import fit, passes, progress, sink, storing
from headway.data.config import DataConfig, SplitConfig
from headway.data.opening import open_table
from headway.data.split import Division
from headway.files import atomic

folder, moment, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
fit.run = storing.run = functools.partial(passes.run, block_rows=int(sys.argv[4]), threads=threads)
progress.EVERY_ROWS = storing.EVERY_ROWS = 1_000

def dying(function, at, after):
    calls = []
    def wrapped(*arguments):
        calls.append(arguments)
        if len(calls) == at and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped

name, _, at = moment.partition(" ")
if name == "fitting":
    fit.Fitting.add = dying(fit.Fitting.add, int(at), after=True)
elif name == "filling":
    sink.Filling.add = dying(sink.Filling.add, int(at), after=True)
elif name == "unsaved":
    progress.Progress.write = dying(progress.Progress.write, int(at), after=False)
elif name == "saving":
    progress.Progress.write = dying(progress.Progress.write, int(at), after=True)
elif name == "halfway":
    atomic.put_in_place = dying(atomic.put_in_place, int(at), after=False)
elif name == "end":
    storing.Division.learnt = property(lambda self: os.kill(os.getpid(), signal.SIGKILL))

prepared = sink.Filling._prepared
def noted(self, batch):
    with open(folder / "computed.txt", "a") as file:
        print(batch.column("id")[0].as_py(), file=file)
    return prepared(self, batch)
sink.Filling._prepared = noted
fitted = fit.fit
def noted_fit(*arguments):
    (folder / "fitted.txt").touch()
    return fitted(*arguments)
fit.fit = noted_fit

features = {"x": "numeric", "c": "categorical", "note": "text"}
data = DataConfig.parse({"source": str(folder.parent / "rows" / "*.parquet"), "target": "y", "features": features}, "data")
table = open_table(data, "classification", folder, ("id",))
division = Division(table, SplitConfig())
made, _ = storing.make_store(folder / "prepared", division, data, PrepareConfig(bins=0), takes={"tokens"})
print(made.path)
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two files, of which neither is a whole number of blocks."""
    folder, random = tmp_path_factory.mktemp("killed"), np.random.default_rng(5)
    frame = pd.DataFrame({"id": range(ROWS), "x": random.normal(size=ROWS), "c": random.choice(list("abcd"), ROWS)})
    frame["note"] = "word " + pd.Series(random.integers(0, 300, ROWS)).astype(str)
    frame.loc[::13, "x"] = None
    frame["y"] = np.where(random.random(ROWS) < 0.4, "yes", "no")
    (folder / "rows").mkdir()
    frame[:3_700].to_parquet(folder / "rows" / "1.parquet")
    frame[3_700:].to_parquet(folder / "rows" / "2.parquet")
    return folder


def prepare(folder: Path, moment: str, threads: int = 2, block_rows: int = 500) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    words = [sys.executable, "-c", PREPARE, str(folder), moment, str(threads), str(block_rows)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def contents(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def undisturbed(rows: Path) -> dict[str, bytes]:
    outcome = prepare(rows / "undisturbed", "never", threads=1)
    assert outcome.returncode == 0, outcome.stderr
    return contents(Path(outcome.stdout.strip()))


def test_the_number_of_threads_changes_no_byte(rows: Path, undisturbed: dict[str, bytes]) -> None:
    outcome = prepare(rows / "threads", "never", threads=3)
    assert contents(Path(outcome.stdout.strip())) == undisturbed, outcome.stderr


@pytest.mark.parametrize("moment", ["fitting 3", "filling 7", "unsaved 3", "saving 4", "halfway 4", "end 1"])
def test_it_goes_on_after_the_rows_that_are_on_disk(rows: Path, undisturbed: dict[str, bytes], moment: str) -> None:
    folder = rows / moment.replace(" ", "-")
    killed = prepare(folder, moment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (partial,) = (folder / "prepared").glob(".*.partial")
    done_rows = json.loads((partial / NAME).read_text())["rows"] if (partial / NAME).exists() else 0
    was_fitted = (partial / "preparation.json").exists() and (partial / NAME).exists()
    for name in ("computed.txt", "fitted.txt"):
        (folder / name).unlink(missing_ok=True)

    outcome = prepare(folder, "never")
    assert outcome.returncode == 0, outcome.stderr
    path = Path(outcome.stdout.strip())
    assert contents(path) == undisturbed
    assert list(path.parent.iterdir()) == [path]
    first_rows = [int(line) for line in (folder / "computed.txt").read_text().split()] if moment != "end 1" else []
    assert min(first_rows, default=done_rows) >= done_rows
    assert (folder / "fitted.txt").exists() != was_fitted
    if moment in ("saving 4", "unsaved 3", "end 1"):  # the first writing is that of no rows
        assert done_rows >= EVERY


def test_blocks_may_end_elsewhere_than_in_the_process_that_was_killed(
    rows: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = rows / "borders"
    killed = prepare(folder, "filling 7")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (partial,) = (folder / "prepared").glob(".*.partial")
    assert json.loads((partial / NAME).read_text())["rows"] % 370, "a block must be cut"
    outcome = prepare(folder, "never", block_rows=370)
    assert outcome.returncode == 0, outcome.stderr
    path = Path(outcome.stdout.strip())
    own, other = contents(path), dict(undisturbed)
    for store in (own, other):
        store.pop("checksums.json"), store.pop(NAME)
    frames = [pa.ipc.open_stream(store.pop("raw/test.arrow")).read_all() for store in (own, other)]
    assert frames[0].equals(frames[1])
    assert own == other


def test_what_another_store_or_version_left_is_not_gone_on_with(tmp_path: Path) -> None:
    Progress("abc", 500).write(tmp_path)
    assert Progress.read(tmp_path, "abc") == Progress("abc", 500)
    assert Progress.read(tmp_path, "abd") is None
    Progress("abc", 500, version="0.0").write(tmp_path)
    assert Progress.read(tmp_path, "abc") is None


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_folder_with_the_number_of_this_process_is_of_one_before_it(tmp_path: Path, goes_on: bool) -> None:
    left = tmp_path / f".abc.{os.getpid()}.partial"
    left.mkdir()
    (left / "half").touch()
    with replacing_folder(tmp_path / "abc", goes_on) as partial:
        assert (partial / "half").exists() == goes_on
    with replacing_folder(tmp_path / "abd", goes_on), replacing_folder(tmp_path / "abe", goes_on) as partial:
        assert [path.name for path in partial.iterdir()] == [OWNER]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["abc", "abd", "abe"]


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_folder_that_another_machine_fills_is_left_alone(tmp_path: Path, goes_on: bool) -> None:
    """Its process numbers say nothing here: one is not in use, one is this process's own."""
    locks = []
    for number in (2**22 + 1, os.getpid()):
        (tmp_path / f".abc.{number}.partial").mkdir()
        lock = take(tmp_path / f".abc.{number}.partial" / OWNER)
        assert lock is not None
        locks.append(lock)
    with replacing_folder(tmp_path / "abc", goes_on) as partial:
        assert [path.name for path in partial.iterdir()] == [OWNER]
        (partial / "file").touch()
    assert {path.name for path in (tmp_path / "abc").iterdir()} == {"checksums.json", "file"}
    assert len(list(tmp_path.glob(".*.partial"))) == 2
    for lock in locks:
        os.close(lock)
    with replacing_folder(tmp_path / "abc", goes_on=True) as partial:
        assert partial.name in (f".abc.{2**22 + 1}.partial", f".abc.{os.getpid()}.partial"), (
            "their processes have ended"
        )


def test_the_folder_of_a_process_that_runs_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        theirs = tmp_path / f".abc.{other.pid}.partial"
        theirs.mkdir()
        with replacing_folder(tmp_path / "abc", goes_on=True) as partial:
            assert partial != theirs
            (partial / "file").touch()
        assert theirs.is_dir()
        other.communicate(b"\n")
    with replacing_folder(tmp_path / "abd", goes_on=True) as partial:
        assert [path.name for path in partial.iterdir()] == [OWNER], "another store's"
