"""One decider at a time, on every machine that shares a PostgreSQL."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headway.errors import ConfigError
from headway.files.database import connect, database, make_databases
from headway.tracking import lock, tracking_uri

HOLD = """
import sys
from pathlib import Path
from headway.tracking import lock
with lock.hold(Path(sys.argv[1]), "loans"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("named", [False, True], ids=["HEADWAY_DATABASE", "MLFLOW_TRACKING_URI"])
def test_a_model_is_held_for_all_machines_until_its_process_dies(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    databases = database()
    assert databases is not None
    make_databases(databases)
    if named:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://headway@{setting.partition('@')[2]}_mlflow")
        monkeypatch.delenv("HEADWAY_DATABASE")
    assert tracking_uri(tmp_path).startswith("postgresql")
    here, there = tmp_path / "here", tmp_path / "there"  # two folders, as on two machines
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(there)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with lock.hold(here, "loans", seconds=0) as is_held:
            assert is_held is None
        with lock.hold(here, "others", seconds=0) as is_held:
            assert is_held is not None
        other.send_signal(signal.SIGKILL)
    with lock.hold(here, "loans") as is_held:
        assert is_held is not None
        is_held.check()
        with contextlib.closing(connect(databases, databases.database("mlflow"))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s"
                cursor.execute(query, ("headway: deciding%",))
        with pytest.raises(ConfigError, match="must stay up during a decision about loans"):
            is_held.check()
