"""Start the training process and follow its journal. Torch is never imported here."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from headway.errors import ConfigError, DamagedError, TrainingError
from headway.files.atomic import read_or_empty
from headway.files.disk import full_disk
from headway.machine.cores import spin_briefly
from headway.machine.gpus import details, fastest_first, visible
from headway.run.directory import Event, RunDirectory
from headway.run.result import Result
from headway.train.turn import turn

POLL_SECONDS = 0.2
GRACE_SECONDS = 5.0


def launch(
    run: RunDirectory, on_events: Callable[[Sequence[Event]], None], module: str = "headway.train.main"
) -> Result:
    """Train in a child process until it is done; ``on_events`` is called with what is new several times a second.

    ``module``: what runs in the child. Where there are GPUs it waits for one that no other training holds.

    Returns the result. Raises what the child raised, or TrainingError when it died. Leaves no process behind.
    """
    on_gpu = run.plan["project"]["train"].get("device", "auto") != "cpu"

    def waiting(text: str) -> None:
        on_events([Event(0, time.time(), "warning", {"text": text})])

    among, kinds = _in_order(visible() if on_gpu else [])
    with turn(among, waiting) as gpu:
        if gpu is not None and len(kinds) > 1:
            waiting(
                f"the GPUs are of different kinds: this trains on {kinds.pop(gpu)}, not on {' or '.join(kinds.values())}"
            )
        return _launch(run, on_events, module, {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})


def _in_order(uuids: list[str]) -> tuple[list[str], dict[str, str]]:
    """The GPUs in the order in which they are to be taken, and their kinds by UUID where these differ.

    The fastest first, unless CUDA_VISIBLE_DEVICES says an order.
    """
    among = details(uuids) if len(uuids) > 1 else []
    if len({(gpu.name, gpu.memory) for gpu in among}) < 2:
        return uuids, {}
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        among = fastest_first(among)
    return [gpu.uuid for gpu in among], {gpu.uuid: str(gpu) for gpu in among}


def _launch(
    run: RunDirectory, on_events: Callable[[Sequence[Event]], None], module: str, more: Mapping[str, str]
) -> Result:
    environment = {**os.environ, "HEADWAY_PARENT": str(os.getpid()), **more}
    spin_briefly(environment)
    reader = run.reader()
    with open(run.path / "training.log", "ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", module, str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            while child.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_SECONDS)
                on_events(reader.poll())
        finally:
            _end(child)
    on_events(reader.poll())
    result = run.result
    if child.returncode == 0 and result is not None:
        return result
    raise _problem(run, child.returncode)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child's whole process group: it may have started workers of its own."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, how)
        deadline = time.monotonic() + GRACE_SECONDS
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)


def _problem(run: RunDirectory, code: int) -> Exception:
    """What went wrong, in the child's own words where it left some."""
    report = read_or_empty(run.path / "error.json")
    if "text" in report:
        kinds = {kind.exit_code: kind for kind in (ConfigError, DamagedError)}
        return kinds.get(report["exit_code"], TrainingError)(report["text"])
    log = run.path / "training.log"
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return TrainingError(f"training must run to its end, but it was ended by {name}{hint}; see {log}")
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    if not last:  # on a full disk it cannot even say why
        return full_disk(run.path) or TrainingError(f"training must run to its end, but it failed; see {log}")
    return TrainingError(f"training must run to its end, but it failed: {last[0]}; see {log}")
