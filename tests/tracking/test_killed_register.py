"""A process that registers a model is ended by SIGKILL: `headway gc` clears what it left, and the repetition makes one whole version."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import headway
from headway import tracking
from headway.cli import commands as cli
from headway.files import checksums
from headway.run.directory import RunDirectory
from tests.tracking.test_registry import ROWS, another
from tests.tracking.tracked import pretend_bundle

pytestmark = pytest.mark.slow

YAML = """task: classification
data: {dataset: breast-cancer, features: {a: numeric}, target: y}
"""

REGISTER = """
import os, shutil, signal, sys
from pathlib import Path
from mlflow import MlflowClient
from headway import tracking
from headway.run.directory import RunDirectory
from tests.tracking.test_registry import ROWS


def register(root, run, name, number):
    module = next(one for one in (os, shutil, MlflowClient) if hasattr(one, name))
    real, left = getattr(module, name), [int(number)]
    def step(*values, **named):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*values, **named)
    setattr(module, name, step)
    tracking.register(RunDirectory(Path(run)), Path(root), "loans", ROWS)

for line in sys.stdin:
    child = os.fork()
    if not child:
        register(*line.split("\\t"))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Each line of its input is a registration in a process of its own, which dies right before the n-th call of a function."""


class Registrar:
    """Registers runs of the project in processes that die."""

    def __init__(self, root: Path, process: subprocess.Popen[str]) -> None:
        self._root, self._process = root, process

    def register(self, run: RunDirectory, name: str, number: int) -> int:
        """Die right before the ``number``-th call of a function; the exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(self._root, run.path, name, number, sep="\t", file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The machine's folder for temporary files, as the killed processes see it."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture
def registrar(tmp_path: Path, temporary: Path) -> Iterator[Registrar]:
    command, environment = [sys.executable, "-c", REGISTER], {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Registrar(tmp_path, process)


def begin(root: Path) -> RunDirectory:
    run = another(root)
    pretend_bundle(run)
    checksums.seal(run.bundle)
    tracking.begin(run, root, {}, "mlp", "")
    return run


FILES = len([*Path(headway.__file__).parent.rglob("*.py")])
"""A model holds the package: it is copied twice in a working folder, and then to its place."""

MOMENTS = {
    "MLflow has made a temporary folder": ("rmdir", 1),
    "MLflow has copied the bundle into another": ("rename", 1),
    "the package is copied": ("copyfile", FILES // 2),
    "a copy of the package is removed": ("unlink", FILES // 2),
    "the model is copied to its place": ("copyfile", 2 * FILES + FILES // 2),
    "its files are brought to the disk": ("fsync", FILES // 2),
    "all but the version is made": ("create_model_version", 1),
}


def left(root: Path) -> list[Path]:
    """Working folders and half-written files."""
    return [path for path in root.rglob("*") if path.name.endswith((".working", ".partial"))]


def test_what_a_killed_registration_left_is_cleared_by_gc_and_the_repetition_is_whole(
    run: RunDirectory,
    tmp_path: Path,
    temporary: Path,
    registrar: Registrar,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "loans.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    runs = {}
    for moment, call in MOMENTS.items():
        runs[moment] = begin(tmp_path)
        assert registrar.register(runs[moment], *call) == -signal.SIGKILL
        is_at_work = call[0] not in ("fsync", "create_model_version")
        assert bool(left(tmp_path)) == is_at_work, moment
        assert cli.main(["gc", "--apply"]) == 0
        assert left(tmp_path) == []
        assert [*temporary.iterdir()] == [], moment
    for moment in ("the model is copied to its place", "all but the version is made"):
        version = tracking.register(runs[moment], tmp_path, "loans", ROWS)
        assert checksums.check(tracking.version_of(tmp_path, "loans", version).bundle)
    assert len(tracking.versions(tmp_path, "loans")) == 2
    capsys.readouterr()
    assert cli.main(["gc"]) == 0
    assert "nothing is past its limit" in capsys.readouterr().out
