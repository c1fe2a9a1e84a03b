"""A process that looks after a run and is killed: what the closing of dead runs must find."""

from __future__ import annotations

import signal
import subprocess
import sys

from headway.run.directory import RunDirectory

DIE = """
import os, signal, sys
from pathlib import Path
from headway.run import lifetime
from headway.run.directory import RunDirectory
lifetime.own(RunDirectory(Path(sys.argv[1])))
os.kill(os.getpid(), signal.SIGKILL)
"""


def die(run: RunDirectory) -> None:
    """Let a process of its own take the run, and die by SIGKILL."""
    outcome = subprocess.run([sys.executable, "-c", DIE, str(run.path)], check=False)
    assert outcome.returncode == -signal.SIGKILL
