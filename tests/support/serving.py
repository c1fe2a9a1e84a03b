"""`headway up` in a folder of a test's own, and the one way in which tests ask its servers."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

SECONDS = 300
"""On a busy machine two servers take two minutes."""


def outside() -> dict[str, str]:
    """This process's environment without what it says of other servers."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}


def hears(up: subprocess.Popen[bytes], output: Path, text: str) -> None:
    """Wait until `headway up` says so in ``said``."""
    until = time.monotonic() + SECONDS
    while text not in output.read_text():
        assert up.poll() is None, output.read_text()
        assert time.monotonic() < until, output.read_text()
        time.sleep(0.2)


def lines_until(stream: IO[str] | None, text: str) -> list[str]:
    """What a process says on one of its streams, up to the line that begins with ``text``."""
    assert stream is not None
    lines: list[str] = []
    for line in stream:
        lines.append(line.rstrip())
        if line.startswith(text):
            return lines
    raise AssertionError("\n".join(lines))


@contextlib.contextmanager
def headway_up(
    root: Path, words: list[str], environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run it until the end of the block: its process, and the file with what it says. It serves when the block begins."""
    output = root / "said.txt"
    command = [sys.executable, "-m", "headway.cli", "up", *words]
    with open(output, "wb") as file:
        up = subprocess.Popen(
            command, cwd=root, env={**outside(), **(environment or {})}, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        hears(up, output, "Ctrl-C")
        yield up, output
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)


def ask(address: str, body: dict[str, Any] | None = None, user: str | None = None) -> Any:
    """What is answered, as JSON; posts a body where there is one. Raises urllib's errors."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    if user is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")
