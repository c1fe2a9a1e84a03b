"""The command line: exit codes, one line for a user's mistake, nothing heavy before it is needed."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from headway.cli import commands as cli
from headway.errors import DataError, HeadwayError, TrainingError
from headway.pipeline import stages
from headway.pipeline.validation import Source, Validation
from headway.server import local, owner

YAML = """
task: classification
data: {source: flowers.csv, target: opens, features: {height: numeric}}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "flowers.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def checking(monkeypatch: pytest.MonkeyPatch, outcome: BaseException | Validation) -> None:
    """Let `headway check` end as wanted."""

    def check(name: str, root: Path, settings: list[str], report: Any) -> Validation:
        if isinstance(outcome, BaseException):
            raise outcome
        report.line("10 rows × 2 columns")
        return outcome

    monkeypatch.setattr(stages, "check", check)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from headway.cli.commands import COMMANDS, parser; parser(COMMANDS).format_help(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"prefect", "torch", "mlflow", "pandas", "numpy", "pyarrow", "rich"}.isdisjoint(loaded)


def test_the_process_of_a_retraining_does_not_import_torch() -> None:
    code = "import sys, flows.retrain, headway.pipeline.assessment, headway.pipeline.judgement; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "great_expectations", "sklearn", "matplotlib"}.isdisjoint(loaded)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["flower"], "conf/flower.yaml must exist, but there is no such project; did you mean flowers?"),
        (
            ["flowers", "--set", "train.epoch=3"],
            "conf/flowers.yaml: train.epoch: no such setting; did you mean epochs?",
        ),
        (["flowers", "--set", "train.epochs"], "--set must be section.field=value, but is 'train.epochs'"),
    ],
)
def test_a_configuration_mistake_is_one_line_and_starts_nothing(
    root: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(sys.modules)
    assert cli.main(["run", *arguments]) == 2
    assert capsys.readouterr() == ("", f"headway: {line}\n")
    assert sorted(p.name for p in root.iterdir()) == ["conf"]
    assert not {m for m in set(sys.modules) - before if m.startswith(("prefect.", "torch.", "mlflow."))}


def test_outside_a_project_folder_the_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["list"]) == 2
    assert capsys.readouterr().err.startswith("headway: a project folder must contain conf/, but")


@pytest.mark.parametrize(("error", "code"), [(DataError("a\nb"), 3), (TrainingError("a\nb"), 4)])
def test_each_line_of_an_error_is_ours_and_its_kind_is_the_exit_code(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: HeadwayError, code: int
) -> None:
    checking(monkeypatch, error)
    assert cli.main(["check", "flowers"]) == code
    assert capsys.readouterr().err == "headway: a\nheadway: b\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_locked_disk_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    checking(monkeypatch, OSError(number, os.strerror(number), "data/prepared/x"))
    assert cli.main(["check", "flowers"]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert f"but data/prepared/x: {os.strerror(number)}" in text


def test_an_interruption_is_130(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checking(monkeypatch, KeyboardInterrupt())
    assert cli.main(["check", "flowers"]) == 130


def test_a_bug_keeps_its_traceback(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checking(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli.main(["check", "flowers"])


def test_json_is_the_only_thing_on_standard_output(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checking(monkeypatch, Validation("10 rows × 2 columns", (), (), Source("d", 10, ())))
    assert cli.main(["check", "flowers", "--json"]) == 0
    output = capsys.readouterr()
    printed = json.loads(output.out)
    assert (printed["project"], printed["rows"], printed["passed"]) == ("flowers", 10, True)
    assert "10 rows × 2 columns" in output.err


def test_json_says_what_was_wrong(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "flowers", "--set", "train.epoch=3", "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["exit"] == 2
    assert report["error"].endswith("did you mean epochs?")


def test_a_reader_that_has_seen_enough_is_no_error(root: Path) -> None:
    code = "import sys; from headway.cli.commands import main; sys.exit(main(['list', '--json']))"
    for number in range(300):
        (root / "conf" / f"p{number}.yaml").write_text("task: [")
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    with child, child.stderr:
        text = child.stderr.read()
    assert "BrokenPipe" not in text
    assert child.returncode == 0


def test_projects_are_listed_and_a_broken_one_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "conf" / "broken.yaml").write_text("task: [")
    assert cli.main(["list", "--json"]) == 0
    output = capsys.readouterr()
    row = {"project": "flowers", "task": "classification", "data": "flowers.csv"}
    assert json.loads(output.out)["projects"] == [{**row, "champion": None, "metric": None, "last run": None}]
    assert "headway: " in output.err
    assert "broken.yaml must be YAML" in output.err
    assert not (root / "mlruns").exists()


def test_a_run_that_is_none_cannot_be_delivered(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sync", "flowers-1"]) == 2
    assert "a run must be a folder with a run.json, but flowers-1 is none" in capsys.readouterr().err


def test_a_port_already_taken_is_one_line_naming_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert cli.main(["up", "--prefect-port", str(port)]) == 2
    line = f"headway: Prefect's port {port} must be free, but is taken; stop what listens there, or give"
    assert capsys.readouterr().err == f"{line} --prefect-port\n"
    assert not (root / ".prefect").exists()


def test_servers_that_others_reach_need_a_password(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HEADWAY_AUTH", raising=False)
    assert cli.main(["up", "--host", "0.0.0.0"]) == 2
    assert "must ask for a password, but --host is 0.0.0.0 and HEADWAY_AUTH is not set" in capsys.readouterr().err
    monkeypatch.setenv("HEADWAY_AUTH", "me:short")
    assert cli.main(["up", "--host", "0.0.0.0"]) == 2
    assert "at least 12 characters, but its password has 5 characters" in capsys.readouterr().err
    assert not (root / ".prefect").exists()


def test_status_and_down_where_nothing_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["up"] is None
    assert cli.main(["down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": []}
    assert sorted(p.name for p in root.iterdir()) == ["conf"]


def test_a_record_of_an_up_that_died_is_not_believed_whoever_has_its_number_now(root: Path) -> None:
    local.write_servers(root, local.Servers(os.getpid(), "http://127.0.0.1:1", "http://127.0.0.1:2"))
    assert local.running(root) is None
    (root / ".prefect" / "up.lock").write_text(
        json.dumps(asdict(owner.Owner(os.getpid(), "an earlier boot:1", "here")))
    )
    assert local.running(root) is None


def test_prefects_settings_leave_those_of_the_user(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", "/elsewhere")
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    settings = local.environment(root)
    assert (settings["PREFECT_HOME"], settings["DO_NOT_TRACK"]) == ("/elsewhere", "1")
