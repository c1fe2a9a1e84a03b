"""The scoring server and batch scoring give the same numbers."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headway.errors import ConfigError
from headway.machine.processes import free_port
from headway.pipeline.scoring import score
from headway.pipeline.serving import serving
from headway.run.report import Silent
from tests.serve.bundles import registered, rows


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    registered(tmp_path, "values")
    return tmp_path


PASSWORD = "team:a-password-of-a-team"


def ask(port: int, body: bytes, kind: str, password: str = "") -> pd.DataFrame:
    headers = {"Content-Type": kind}
    if password:
        headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return pd.DataFrame(json.load(answer)["predictions"])


def test_the_server_answers_with_the_password_alone_what_scoring_writes_and_ends_when_asked(root: Path) -> None:
    frame = rows(20, 3).to_pandas()
    frame.to_parquet(root / "rows.parquet")
    score("values", root, Silent(), str(root / "rows.parquet"), root / "out")
    truth = pd.read_parquet(root / "out" / "rows.parquet")[["prediction", "low", "high"]]
    port = free_port()
    command = [sys.executable, "-m", "headway.cli", "serve", "values", "--port", str(port)]
    settings = {**os.environ, "HEADWAY_AUTH": PASSWORD}
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, env=settings) as served:
        assert served.stdout is not None
        try:
            lines = [served.stdout.readline() for _ in range(2)]
            assert lines[1] == f"values version 1 answers at http://127.0.0.1:{port}/invocations\n"
            records = {"inputs": json.loads(frame.to_json(orient="records"))}
            answer = ask(port, json.dumps(records).encode(), "application/json", PASSWORD)
            also = ask(port, frame.to_csv(index=False).encode(), "text/csv", PASSWORD)
            for other in ("", "team:another-password"):  # of the user who started it, too: a proxy may be theirs
                with pytest.raises(urllib.error.HTTPError, match="401"):
                    ask(port, b"x\n1\n", "text/csv", other)
        finally:
            served.send_signal(signal.SIGINT)
            assert served.wait(60) == 0
    np.testing.assert_allclose(answer, truth, rtol=1e-6)
    np.testing.assert_allclose(also, truth, rtol=1e-6)


def test_a_taken_port_is_one_line(root: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"the port {port} must be free"),
            serving("values", root, port, "1", print),
        ):
            pass
