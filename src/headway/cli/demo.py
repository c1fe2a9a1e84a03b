"""The command `headway demo`: in a folder of its own two retrainings, a drift that starts a third, a rollback and a study.

Each step is a command, shown and run as a person would run it, but for the third retraining: Prefect watches the data, finds drift, and
the event of the drift starts it.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from headway.cli.answers import answer
from headway.errors import ConfigError
from headway.files import locks
from headway.machine.clock import duration
from headway.machine.processes import (
    await_truth,
    die_with_parent,
    free_port,
    hangup,
    interrupt_on,
    is_free,
    spawn,
    stop,
)
from headway.pipeline.terminal import Terminal

if TYPE_CHECKING:
    from headway.server.local import Servers

PROJECT = "loans"
MARK = ".headway-demo"
"""The file that says that a folder is a demo's, locked while the demo runs."""

CONTENT = ("conf", "data", "mlruns", ".prefect")
"""What a demo writes into its folder, and removes when it is run again."""

OTHER_SERVERS = ("PREFECT_", "MLFLOW_", "HEADWAY_DATABASE")
"""Variables that name other servers than the demo's own begin with these."""

ROWS = 2500
FIRST, SECOND, DRIFTED = range(6), range(6, 18), range(18, 24)
"""The months of the first retraining, those that come for the second, and those that drift."""

TECHNIQUES = ("fused optimizer", "recorded step", "resident data", "kept memory")
START_SECONDS = 600.0
WAIT_SECONDS = 600.0

YAML = """\
description: Whether a loan will default. Synthetic data; the last six months drift.
task: classification
data:
  source: data/loans
  target: defaulted
  positive: "yes"
  keys: [loan_id]
  features:
    amount: numeric
    term_months: numeric
    interest_rate: numeric
    income: numeric
    employment_years: numeric
    debt_to_income: numeric
    credit_lines: numeric
    utilisation: numeric
    delinquencies: numeric
    home: categorical
    purpose: categorical
    region: categorical
  ignore:
    months_since_delinquency: Missing for most loans.
    employer: 3,000 values, too many for so few loans.
    note: Left out to be quick.
    issued: It orders the loans for the split; a model must not learn the calendar.
    true_probability: The probability that the generator drew from.
split: {by: time, column: issued, test: 0.25}
validation:
  expectations:
    - {expect: column_values_to_be_unique, column: loan_id}
    - {expect: column_values_to_be_between, column: interest_rate, min_value: 1, max_value: 40}
    - {expect: column_values_to_be_in_set, column: home, value_set: [rent, mortgage, own, other]}
model: {name: mlp, width: 64, depth: 2}
train: {epochs: 6, batch_size: 256, learning_rate: 0.002}
evaluate: {slices: [home], baselines: [trivial, linear]}
gate: {margin: 0.02, first: beat_trivial}   # a few thousand test rows cannot show a smaller loss
watch: {psi: 0.05}
"""


def demo(options: argparse.Namespace) -> int:
    """Run all of it; then serve the pages until Enter or Ctrl-C, or end at once where nobody is at a terminal."""
    interrupt_on(signal.SIGINT, signal.SIGTERM, *hangup())
    folder, start = Path(options.folder).expanduser().resolve(), time.monotonic()
    for name in [name for name in os.environ if name.startswith(OTHER_SERVERS)]:
        del os.environ[name]
    with _own_folder(folder):
        _write_project(folder)
        with _serving(folder) as servers:
            _tour(folder, servers, sys.stderr if options.json else None)
            seconds = time.monotonic() - start
            _title(f"Done in {duration(seconds)}. Pages to look at:")
            pages = dict(_pages(folder, servers))
            Terminal().table([{"what": text, "page": page} for text, page in pages.items()], "")
            answer(options, {"folder": str(folder), "seconds": round(seconds, 1), "pages": pages})
            if sys.stdin.isatty():
                _title("Enter or Ctrl-C stops the servers.")
                with contextlib.suppress(KeyboardInterrupt):  # the normal end
                    sys.stdin.readline()
    _title(f"The servers have stopped. Start them again: cd {shlex.quote(str(folder))} && headway up")
    return 0


def _tour(folder: Path, servers: Servers, output: IO[str] | None) -> None:
    """The five steps. Raises ConfigError where one fails."""
    _title("1. Half a year of loans. The first model is better than guessing, and becomes the champion.")
    _run(folder, ["run", PROJECT], output)
    _title("2. One more year of loans. The second model is compared with the champion, on loans that are new to both.")
    _bring(folder, SECOND)
    _run(folder, ["run", PROJECT], output)
    _title(
        "3. Half a year later the loans have changed. Prefect watches, finds drift, and starts the third retraining."
    )
    _bring(folder, DRIFTED)
    _watch(servers)
    _title("4. Users complain. The previous champion becomes the champion again.")
    _run(folder, ["rollback", PROJECT, "--reason", "demo: complaints since Monday"], output)
    _run(folder, ["show", PROJECT], output)
    _title("5. A study of one minute. What do four speed-ups gain for this model on this machine?")
    _run(folder, ["effect", PROJECT, "--budget", "60s", "--techniques", *TECHNIQUES], output)


@contextlib.contextmanager
def _own_folder(folder: Path) -> Iterator[None]:
    """The folder of this demo alone, without what an earlier demo left. Raises ConfigError where it is in use or holds something else."""
    from headway.server.owner import owners

    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} must be a folder, but is a file; --folder OTHER")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise ConfigError(f"{folder} must be empty or of an earlier demo, but holds other files; --folder OTHER")
    with locks.hold(folder / MARK, ConfigError(f"{folder} must be free, but another demo runs there; --folder OTHER")):
        if owners(folder):
            raise ConfigError(f"{folder} must be free, but headway up runs there; stop it, or --folder OTHER")
        for name in CONTENT:
            shutil.rmtree(folder / name, ignore_errors=True)
        yield


def _write_project(folder: Path) -> None:
    from headway.data.datasets.loans import Options, generate

    print(f"The demo's folder is {folder}", flush=True)
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / f"{PROJECT}.yaml").write_text(YAML, encoding="utf-8")
    generate(Options(rows_per_month=ROWS), folder / "data" / "months")
    _bring(folder, FIRST)


def _bring(folder: Path, months: Sequence[int]) -> None:
    """Let the files of these months arrive."""
    source = folder / "data" / PROJECT
    source.mkdir(exist_ok=True)
    files = sorted((folder / "data" / "months").glob("*/*.parquet"))
    for month in months:
        shutil.copy(files[month], source)


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[Servers]:
    """`headway up` in the folder, on this machine's own address, on the usual ports where these are free."""
    from headway.server.local import MLFLOW_PORT, PREFECT_PORT, logs, running
    from headway.server.status import down

    ports = [_port("Prefect", PREFECT_PORT), _port("MLflow", MLFLOW_PORT)]
    words = ["up", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    print("Starting Prefect and MLflow; the first time takes half a minute", flush=True)
    child = spawn("headway up", _command(words), logs(folder) / "up.log", os.environ, folder)
    try:
        await_truth(child, lambda: running(folder) is not None, START_SECONDS)
        servers = running(folder)
        assert servers is not None
        print(f"Prefect  {servers.prefect}\nMLflow   {servers.mlflow}", flush=True)
        yield servers
    finally:
        with contextlib.suppress(ConfigError):  # it takes longer than `down` waits: `stop` ends it
            down(folder)  # its parts in their order, which may take longer than `stop` waits
        stop(child)


def _port(name: str, usual: int) -> int:
    """The usual port, or another one where it is in use."""
    if is_free(usual):
        return usual
    port = free_port()
    print(f"Port {usual} is in use: {name} listens on {port} instead", flush=True)
    return port


def _command(words: Iterable[str]) -> list[str]:
    return [sys.executable, "-m", "headway.cli", *words]


def _run(folder: Path, words: Sequence[str], output: IO[str] | None) -> None:
    """Run a command as a person would type it; ``output``: where it prints. Raises ConfigError where it fails.

    It has a session of its own: Ctrl-C reaches this process alone, which then ends the command.
    """
    text, me = f"headway {shlex.join(words)}", os.getpid()
    _title(f"$ {text}")
    child = subprocess.Popen(
        _command(words),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(me),
    )
    try:
        code = child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    if code:
        raise ConfigError(f"each step must succeed, but {text} ended with exit code {code}; see above")


def _watch(servers: Servers) -> None:
    """Start the deployment that watches; show what runs until the retraining has ended that its event starts. Raises ConfigError."""
    from headway.server.news import ENDED, LOOK_SECONDS, News
    from headway.server.prefect_api import start_deployment

    news = News(servers.prefect)
    start_deployment(f"{servers.prefect}/api", "watch", PROJECT)
    _title("started in Prefect: watch")
    deadline, is_over = time.monotonic() + WAIT_SECONDS, False
    while not is_over:
        if time.monotonic() > deadline:
            raise ConfigError(f"drift must start a retraining within {WAIT_SECONDS:.0f} s, but none has started")
        time.sleep(LOOK_SECONDS)
        runs = []
        with contextlib.suppress(OSError, http.client.HTTPException):  # a busy server answers the next time
            runs = news.runs()
        for line in news.lines():
            print(line, flush=True)
        failed = [run for run in runs if run["state_type"] in ENDED and run["state_type"] != "COMPLETED"]
        if failed:
            raise ConfigError(f"each step must succeed, but {failed[0]['name']} failed; see {servers.prefect}/runs")
        if any(run["state_type"] not in ENDED for run in runs):
            deadline = time.monotonic() + WAIT_SECONDS
        by_drift = [run for run in runs if (run["created_by"] or {}).get("type") == "AUTOMATION"]
        is_over = any(run["state_type"] in ENDED for run in by_drift)


def _pages(folder: Path, servers: Servers) -> Iterator[tuple[str, str]]:
    """What to look at: what a page shows, and its address."""
    from headway.files.atomic import read_or_empty
    from headway.tracking.experiments import list_page

    runs = sorted((folder / "data" / "runs").glob(f"{PROJECT}-*"))
    experiments = [read_or_empty(run / "tracking.json").get("experiment_id") for run in runs]
    experiment = next((str(one) for one in experiments if one is not None), "")
    yield "the runs, with their decisions", f"{servers.prefect}/runs"
    yield "forms to start what you saw", f"{servers.prefect}/deployments"
    yield "drift starts a retraining", f"{servers.prefect}/automations"
    yield "the retrainings compared", list_page(servers.mlflow, experiment)
    yield "the versions of the model, with their decisions", f"{servers.mlflow}/#/models/{PROJECT}"
    for name, text in (
        ("report.html", "the report of the newest retraining"),
        ("watch.md", "the drift, column by column"),
        ("effect.html", "the study of the speed-ups"),
    ):
        pages = [run / name for run in runs if (run / name).exists()]
        if pages:
            yield text, pages[-1].as_uri()


def _title(text: str) -> None:
    Terminal().line(f"\n{text}")
