"""A clock that is set back or forward: order hangs on numbers, and nothing that is in use looks old."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headway import tracking
from headway.files.atomic import write_json
from headway.pipeline import effects, retention
from headway.run.directory import RunDirectory
from headway.server.status import status
from tests.support.whole import make

PLAN = {"project": {"name": "rows", "task": "classification", "model": {"name": "mlp"}}, "seed": 0}
DAY = 86_400.0


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock ahead by so many days (less than 0: back), for whoever asks for the time of day."""
    for variable in ("MLFLOW_TRACKING_URI", "HEADWAY_DATABASE"):
        monkeypatch.delenv(variable, raising=False)
    real_time, real_gmtime = time.time, time.gmtime

    def set_clock(days: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real_time() + days * DAY)
        monkeypatch.setattr(time, "gmtime", lambda s=None: real_gmtime(real_time() + days * DAY if s is None else s))

    return set_clock


def test_runs_keep_their_order(tmp_path: Path, set_clock: Callable[[float], None]) -> None:
    runs = []
    for days in (0, -400, 8000, -1):
        set_clock(days)
        runs.append(RunDirectory.create(tmp_path, "rows", PLAN))
    assert [run.number for run in runs] == [1, 2, 3, 4]
    names = [run.path.name for run in runs]
    assert sorted(names) != names
    assert [row.run for row in status(tmp_path).runs] == names[::-1]
    (tmp_path / "data" / "run-number").write_text("")  # lost, or cut off by a full disk
    (runs[0].path / "run.json").write_text("{")
    assert RunDirectory.create(tmp_path, "rows", PLAN).number == 5
    (tmp_path / "data" / "run-number").write_bytes(b"\xb5\n")  # a flipped bit
    assert RunDirectory.create(tmp_path, "rows", PLAN).number == 6


def test_mlflow_has_them_in_their_order_and_none_that_ends_before_it_begins(
    tmp_path: Path, set_clock: Callable[[float], None]
) -> None:
    runs = []
    for days in (0, -30, 5):
        set_clock(days)
        run = RunDirectory.create(tmp_path, "rows", PLAN)
        assert tracking.begin(run, tmp_path, {}, f"day {days}", "") is None
        set_clock(days - 1)
        assert tracking.conclude(run, tmp_path, "FINISHED", {"timing/train": 10.0}) is None
        runs.append(run)
    set_clock(-300)  # concluded again, as a run that is resumed: what it tells now is the newer
    assert tracking.conclude(runs[0], tmp_path, "FINISHED", {"timing/train": 20.0}) is None
    rows = tracking.list_runs(tmp_path, "rows")
    assert [run.name for run in rows] == ["day 5", "day -30", "day 0"]
    assert all((run.end or 0) >= run.start for run in rows)
    assert rows[-1].metrics["timing/train"] == 20.0


def test_the_newest_of_two_studies_goes_on(tmp_path: Path, set_clock: Callable[[float], None]) -> None:
    make(tmp_path)
    runs = []
    for days in (0, -3):
        set_clock(days)
        run, goes_on = effects.open_study("rows", tmp_path, [], effects.StudyOptions(new=True))
        assert not goes_on
        (run.path / "effect.jsonl").write_text("")
        runs.append(run)
    assert runs[1].path.name < runs[0].path.name
    assert effects.open_study("rows", tmp_path, [], effects.StudyOptions()) == (runs[1], True)


def test_clearing_up_keeps_the_last_run_and_what_is_being_written(
    tmp_path: Path, set_clock: Callable[[float], None]
) -> None:
    make(tmp_path)
    yaml = tmp_path / "conf" / "rows.yaml"
    yaml.write_text(yaml.read_text() + "retention: {keep_last: 1}\n")
    runs = []
    for days in (0, -200):
        set_clock(days)
        run = RunDirectory.create(tmp_path, "rows", PLAN)
        write_json(run.path / "bundle" / "bundle.json", {})
        when = time.time() - 100 * DAY
        for path in [run.path, *run.path.rglob("*")]:
            os.utime(path, (when, when))
        runs.append(run)
    ours, theirs = (tmp_path / "data" / f".store.{pid}.partial" for pid in (os.getpid(), 999_999_999))
    for path in (ours, theirs):
        path.mkdir()
        (path / "rows.npy").write_bytes(b"1")
    set_clock(4000)
    items = {str(item.path) for item in retention.plan(tmp_path, retention.limits(tmp_path, []))}
    assert str(runs[0].path / "bundle") in items
    assert not any(str(runs[1].path) in path for path in items), "the last one, though it looks the older"
    assert str(theirs) in items
    assert str(ours) not in items
