"""A throwaway PostgreSQL for the session; a project so small that a whole run of it is short."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from headway.machine.processes import free_port

PASSWORD = "p/w@1"


def _program(name: str) -> str | None:
    programs = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(programs[0]) if programs else None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a running PostgreSQL, up to the name of the database."""
    initdb, control = _program("initdb"), _program("pg_ctl")
    if initdb is None or control is None:
        pytest.skip("skipped: starts a real PostgreSQL, and none is installed")
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "password").write_text(PASSWORD)
        as_user: list[str] = []
        if os.geteuid() == 0:  # it refuses to run as root
            as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        data, log = str(folder / "data"), str(folder / "log")
        words = ["-U", "headway", "--pwfile", str(folder / "password"), "-A", "scram-sha-256"]
        subprocess.run([*as_user, initdb, "-D", data, *words], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        start = [*as_user, control, "-D", data, "-l", log, "-w", "-o", options, "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        try:
            yield f"postgresql://headway:p%2Fw%401@127.0.0.1:{port}"
        finally:
            stop = [*as_user, control, "-D", data, "-m", "immediate", "-w", "stop"]
            subprocess.run(stop, check=True, stdout=subprocess.DEVNULL, cwd=folder)


@pytest.fixture
def setting(postgres: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """HEADWAY_DATABASE set to a name of this test's own; the variables that it hands on are put back."""
    name = f"t{abs(hash(request.node.name)) % 10**9}"
    for variable in ("PGPASSWORD", "PGSSLMODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HEADWAY_DATABASE", f"{postgres}/{name}")
    return f"{postgres}/{name}"
