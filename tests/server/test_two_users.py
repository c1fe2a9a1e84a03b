"""Two users of one machine, each with a project of their own and one GPU between them."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.train.turn import FOLDER

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
GPU = f"GPU-test-{os.getpid()}"
"""A name that no GPU has: the runs take turns on it, and compute on the CPU."""

RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from headway.machine import gpus
from headway.pipeline import runs
from tests.support.whole import make, retrain

gpus.installed = lambda: [sys.argv[2]]
make(Path("."))
print(runs.summary(retrain(Path.cwd(), "model=linear")).decision.promoted)
"""

AS_USER = """
set -e
if [ -n "$CLOSED" ]; then  # Python lies in a home that others may not enter: show them Python, and nothing else of it
    kept=$(mktemp -d)
    mount --bind "$PYTHON" "$kept"
    mount -t tmpfs -o mode=755 tmpfs "$CLOSED"
    mkdir -p "$PYTHON"
    mount --bind "$kept" "$PYTHON"
fi
exec setpriv --reuid "$USER" --regid "$GROUP" --clear-groups "$@"
"""


@pytest.fixture
def somebody() -> Iterator[pwd.struct_passwd]:
    """A user who is there for the time of the test."""
    if os.getuid() != 0 or shutil.which("useradd") is None or shutil.which("setpriv") is None:
        pytest.skip("skipped: makes a user of this machine, which only root may")
    name = f"headway-test-{os.getpid()}"
    subprocess.run(["useradd", "--no-create-home", "--home-dir", "/nonexistent", name], check=True)
    try:
        yield pwd.getpwnam(name)
    finally:
        subprocess.run(["userdel", name], check=True)


@pytest.fixture
def folders(somebody: pwd.struct_passwd) -> Iterator[tuple[Path, Path]]:
    """A folder of root's and one of the other user's."""
    both = Path(tempfile.mkdtemp(dir="/tmp")), Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(both[1], somebody.pw_uid, somebody.pw_gid)
    try:
        yield both
    finally:
        for folder in both:
            shutil.rmtree(folder)
        (FOLDER / f"headway-gpu-{GPU}.lock").unlink(missing_ok=True)


def started(folder: Path, user: pwd.struct_passwd | None) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(ROOT), GPU]
    environment = {**os.environ, "HOME": "/nonexistent"}
    environment |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for variable in ("MLFLOW_TRACKING_URI", "HEADWAY_DATABASE", "HEADWAY_TURNS", "CUDA_VISIBLE_DEVICES"):
        environment.pop(variable, None)
    if user is not None:
        python = Path(sys.base_prefix)
        closed = [path for path in python.parents if not path.stat().st_mode & 0o001]
        environment |= {"USER": str(user.pw_uid), "GROUP": str(user.pw_gid), "PYTHON": str(python)}
        environment["CLOSED"] = str(closed[-1]) if closed else ""
        command = ["unshare", "--mount", "sh", "-c", AS_USER, "sh", *command]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_users_retrain_beside_each_other_and_share_the_gpus_lock(
    somebody: pwd.struct_passwd, folders: tuple[Path, Path]
) -> None:
    runs = [started(folder, user) for folder, user in zip(folders, (None, somebody), strict=True)]
    for run in runs:
        out, err = run.communicate(timeout=300)
        assert (run.returncode, out) == (0, "True\n"), err
    lock = FOLDER / f"headway-gpu-{GPU}.lock"
    assert lock.stat().st_mode & 0o777 == 0o666
    assert {path.stat().st_uid for path in folders[1].rglob("*")} == {somebody.pw_uid}
