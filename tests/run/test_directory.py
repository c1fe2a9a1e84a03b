"""The run directory's journal: whole events only, numbered without gaps, whatever dies."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.files.atomic import read_json, write_json
from headway.machine.clock import moment
from headway.run.directory import RunDirectory
from headway.run.result import Network, Result


def test_a_half_written_last_line_is_cut_off_and_the_numbering_goes_on(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "p", {})
    journal = run.journal()
    for step in range(3):
        journal.write("metric", step=step, values={"loss": step / 2})
    journal.close()
    path = run.path / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    assert [e.n for e in run.events()] == [1, 2]
    journal = run.journal()
    journal.write("metric", step=2, values={"loss": 1.0})
    journal.close()
    assert [(e.n, e.step, e.metrics) for e in run.events()] == [
        (1, 0, {"loss": 0.0}),
        (2, 1, {"loss": 0.5}),
        (3, 2, {"loss": 1.0}),
    ]


def test_a_reader_gives_each_event_once_and_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "p", {})
    reader = run.reader()
    assert reader.poll() == []
    path = run.path / "journal.jsonl"
    line = json.dumps({"n": 1, "time": 2.5, "kind": "warning", "text": "ü"}, ensure_ascii=False).encode() + b"\n"
    with open(path, "ab", buffering=0) as file:
        file.write(line[:-3])
        assert reader.poll() == []
        file.write(line[-3:])
    assert [e.fields for e in reader.poll()] == [{"text": "ü"}]
    assert reader.poll() == []


def test_a_non_finite_value_is_written_as_null_so_that_the_line_stays_json(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "p", {})
    journal = run.journal()
    journal.write("metric", step=1, values={"a": float("nan"), "b": 1.0})
    journal.close()
    assert next(iter(run.events())).fields["values"] == {"a": None, "b": 1.0}


def test_two_runs_in_one_second_get_two_folders(tmp_path: Path) -> None:
    first, second = (RunDirectory.create(tmp_path, "p", {"k": 1}) for _ in range(2))
    assert first.path != second.path
    assert second.plan["k"] == 1


def test_a_result_is_read_as_it_was_written_and_what_does_not_apply_is_left_out(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for result, names in (
        (
            Result(precision="fp32", epochs=2, cost={"time/wait": 0.1}, try_="train.workers=4"),
            "cost epochs precision try",
        ),
        (Result(networks=(Network(1, 3, 0.5), Network(2, 4, 0.25)), seconds=0.0), "networks seconds"),
        (Result(drifted=False), "drifted"),
    ):
        run.finish(result)
        assert sorted(read_json(tmp_path / "result.json")) == names.split()
        assert run.result == result


def test_a_result_of_an_early_version_is_read_and_a_damaged_one_counts_as_none(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert run.result is None
    early = {"precision": "fp32", "epochs": 7, "rows_per_second": 12.5, "seconds": 3.25}
    write_json(tmp_path / "result.json", {**early, "what_a_later_version_adds": 1})
    truth = Result(precision="fp32", epochs=7, rows_per_second=12.5, seconds=3.25)
    assert run.result == truth
    assert truth.figures == early, "what is not in the file is not shown as nought"
    for damaged in ('{"epochs": "many"}', "[1]", '{"epochs": 7'):
        (tmp_path / "result.json").write_text(damaged)
        assert run.result is None


@pytest.fixture
def auckland(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local clock that is twelve hours ahead."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("auckland")
def test_times_are_in_one_zone_which_they_name_whatever_the_local_clock(tmp_path: Path) -> None:
    assert moment(0) == "1970-01-01 00:00 UTC"
    before = time.strftime("%Y%m%d-%H%M", time.gmtime())
    name = RunDirectory.create(tmp_path, "p", {}).path.name
    assert re.fullmatch(r"p-\d{8}-\d{6}Z", name)
    assert name[2:15] in (before, time.strftime("%Y%m%d-%H%M", time.gmtime()))


def test_no_time_is_written_for_people_past_the_two_functions_that_name_the_zone() -> None:
    source = Path(__file__).parents[2]
    files = [*source.glob("src/headway/**/*.py"), *source.glob("flows/*.py")]
    assert len(files) > 100
    local = re.compile(r"localtime\(|time\.ctime\(|datetime\.now\(\)|time\.strftime\(")
    names = {"/".join(path.parts[-2:]) for path in files if local.search(path.read_text())}
    assert names == {"machine/clock.py", "tracking/decisions.py"}, (
        "clock.py has the two; decisions.py writes ISO 8601 with its Z"
    )
