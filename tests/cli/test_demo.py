"""`headway demo`, whole: what it shows, what stays after it, and that it ends its own processes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headway import tracking
from headway.cli import commands as cli
from headway.cli import demo as demo_module
from headway.cli.demo import DRIFTED, FIRST, SECOND, TECHNIQUES
from headway.cli.keys import KEYS
from headway.effect.techniques import select
from headway.machine.processes import die_with_parent
from headway.server.local import Servers
from tests.support.serving import ask, lines_until, outside

COMMAND = [sys.executable, "-m", "headway.cli", "demo"]
ENTER = "Enter or Ctrl-C stops the servers."


@contextlib.contextmanager
def started(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A demo that is started at a terminal, and what a person types there; its lines for people are on standard error."""
    ours, theirs = pty.openpty()
    me, pipe = os.getpid(), subprocess.PIPE
    with subprocess.Popen(
        [*COMMAND, "--json", "--folder", str(folder), *words],
        env=outside(),
        stdin=theirs,
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=lambda: die_with_parent(me),
    ) as process:
        try:
            yield process, ours
        finally:
            process.terminate()
            os.close(ours)
            os.close(theirs)


def listeners(processes: list[psutil.Process]) -> list[tuple[str, int]]:
    """Address and port of each socket on which one of these processes waits for connections."""
    connections = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            connections += process.net_connections()
    return [tuple(one.laddr) for one in connections if one.status == psutil.CONN_LISTEN]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_shows_what_it_says_and_leaves_its_folder_and_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with started(folder) as (demo, terminal):
        lines = lines_until(demo.stderr, ENTER)
        family = psutil.Process(demo.pid).children(recursive=True)
        assert {address for address, _ in listeners(family)} == {"127.0.0.1"}
        prefect = next(line.split()[1] for line in lines if line.startswith("Prefect  "))
        runs = ask(f"{prefect}/api/flow_runs/filter", {})
        os.write(terminal, b"\n")
        output, rest = demo.communicate(timeout=120)
    assert demo.returncode == 0
    assert len(family) >= 4
    assert not psutil.wait_procs(family, timeout=20)[1]
    assert "headway up" in rest

    answer = json.loads(output)
    assert answer.keys() == KEYS["demo"].keys()
    assert sum(page.startswith("http://127.0.0.1:") for page in answer["pages"].values()) == 5
    files = [Path(page.removeprefix("file://")) for page in answer["pages"].values() if page.startswith("file://")]
    assert [path.name for path in files] == ["report.html", "watch.md", "effect.html"]
    assert all(path.exists() and folder in path.parents for path in files)
    assert "drift: " in files[1].read_text()
    assert all(name in files[2].read_text() for name in TECHNIQUES)

    kinds = [record.kind for record in tracking.history(folder, "loans")]
    assert kinds[:2] == ["first", "promotion"]
    assert kinds[-1] == "rollback"
    assert {run["state_type"] for run in runs} == {"COMPLETED"}
    by_automation = [run for run in runs if (run["created_by"] or {}).get("type") == "AUTOMATION"]
    assert len(by_automation) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_demo_that_is_interrupted_ends_all_it_started_and_can_be_run_again(tmp_path: Path) -> None:
    with started(tmp_path) as (demo, _):
        lines_until(demo.stderr, "$ headway run loans")
        family = psutil.Process(demo.pid).children(recursive=True)
        command = [*COMMAND, "--folder", str(tmp_path)]
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        demo.send_signal(signal.SIGINT)
        _, rest = demo.communicate(timeout=120)
    assert demo.returncode == 130
    assert "Traceback" not in rest
    assert rest.splitlines()[-1] == "headway: interrupted"
    assert not psutil.wait_procs(family, timeout=30)[1]
    assert refused.returncode == 2
    assert refused.stderr == f"headway: {tmp_path} must be free, but another demo runs there; --folder OTHER\n"

    (tmp_path / "notes.txt").write_text("mine")
    with started(tmp_path) as (demo, _):
        lines_until(demo.stderr, "Prefect  ")
        demo.terminate()
        demo.communicate(timeout=120)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert list((tmp_path / "data" / "loans").glob("*.parquet"))


def test_without_a_terminal_it_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextlib.contextmanager
    def serving(_: Path) -> Iterator[Servers]:
        yield Servers(1, "http://127.0.0.1:1", "http://127.0.0.1:2")

    monkeypatch.setattr(demo_module, "_serving", serving)
    monkeypatch.setattr(demo_module, "_tour", lambda *_: None)
    monkeypatch.setattr(demo_module, "interrupt_on", lambda *_: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert cli.main(["demo", "--folder", str(tmp_path / "demo")]) == 0
    assert ENTER not in capsys.readouterr().out


def test_a_port_that_is_in_use_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        usual = other.getsockname()[1]
        port = demo_module._port("MLflow", usual)
    assert port != usual
    assert capsys.readouterr().out == f"Port {usual} is in use: MLflow listens on {port} instead\n"


def test_a_step_that_fails_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "conf").mkdir()
    with pytest.raises(demo_module.ConfigError, match="headway show loans ended with exit code 2; see above"):
        demo_module._run(tmp_path, ["show", "loans"], None)
    assert "$ headway show loans" in capsys.readouterr().out


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text("task: regression")
    assert cli.main(["demo", "--folder", str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err
        == f"headway: {tmp_path} must be empty or of an earlier demo, but holds other files; --folder OTHER\n"
    )
    assert {path.name for path in tmp_path.rglob("*")} == {"conf", "mine.yaml"}
    assert cli.main(["demo", "--folder", str(tmp_path / "conf" / "mine.yaml")]) == 2
    assert capsys.readouterr().err.endswith("mine.yaml must be a folder, but is a file; --folder OTHER\n")


def test_the_months_arrive_once_each_and_those_that_drift_come_last() -> None:
    assert [*FIRST, *SECOND, *DRIFTED] == [*range(24)]


def test_the_techniques_of_its_study_exist() -> None:
    assert [technique.name for technique in select(TECHNIQUES)] == list(TECHNIQUES)
