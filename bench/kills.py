"""Three hundred random SIGKILLs over all commands and stages, on three projects: `make bench NAME=kills`. Hours; `--minutes 20` a part.

A command of one folder is begun, and at a random moment it, or one of its processes, is killed. Then the same is asked for again, and what
a killed process may leave is counted, and allowed none: a command that fails or ends in a traceback, processes that outlive it, runs that
stay open, are lost or stand twice in MLflow, metrics that are sent twice, a project without one champion that is whole, another champion
than a rollback asks for, a restored folder that lacks something, anything that `headway doctor` finds, a damaged database, files half
written that `headway gc` does not clear. The folder stays in data/bench/kills; wrong.txt there says what went wrong.

Several checkouts of one state may kill at the same time: the lines of their data/bench/kills.jsonl count together in one file.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from bench.kills_state import KINDS, Wrong, counts, holding, in_charge, orphans, restored, state
from bench.samples import FOLDER, Samples, options
from bench.side_by_side import Ratio, tell
from headway.files.atomic import read_json, write_json
from headway.machine.processes import answers, free_port

KILLS, ROWS = 300, 3000
SECONDS = 300.0
DESCENDANT = 0.3
"""How often not the command itself is killed, but one of its processes."""

DRAFT = "drafted"
"""The project that `init` writes."""

SERVERS = ("up", "serve")

PROJECTS = ("flowers", "houses", "letters")
YAML = {
    "flowers": """
task: classification
data: {source: rows.csv, target: opens, features: {height: numeric, width: numeric}}
model: {name: mlp, width: 16, depth: 2}
train: {epochs: 40, patience: 40, batch_size: 256, threads: 1, checkpoint_seconds: 0.5}
evaluate: {baselines: [trivial], resamples: 100}
""",
    "houses": """
task: regression
data: {source: rows.csv, target: price, features: {height: numeric, width: numeric}}
model: {name: boosting}
train: {threads: 1}
evaluate: {baselines: [trivial], resamples: 100}
""",
    "letters": """
task: language
data: {source: texts}
split: {test: 0.2, validation: 0.2}
prepare: {tokens: {tokenizer: characters}}
model: {name: gpt, layers: 1, heads: 2, width: 32, context: 16}
train: {batch_size: 16, epochs: 6, learning_rate: 0.01, threads: 1, checkpoint_seconds: 0.5}
evaluate: {resamples: 100, prompts: ["the "]}
""",
}


@dataclass(frozen=True)
class Act:
    """A command: what is killed, what is asked for afterwards, and how often it is chosen. ``refusals``: what it may say instead."""

    name: str
    words: tuple[str, ...]
    again: tuple[str, ...]
    weight: float = 1.0
    refusals: tuple[str, ...] = ()


def acts(project: str) -> list[Act]:
    """All commands that write, and some that only look."""
    run = ("run", project, "--force")
    back, nothing = ("rollback", project), ("has no previous champion",)
    effect = ("effect", project, "--budget", "20s", "--seeds", "2", "--techniques", "foreach optimizer")
    own = [
        Act("run", run, run, 3),
        Act("run, then run --resume", run, (*run, "--resume"), 4),
        Act("run --resume", (*run, "--resume"), (*run, "--resume"), 2),
        Act("run, then resume", run, ("resume", "newest"), 2, ("must have its bundle to be resumed",)),
        Act("rollback", back, back, 2, nothing),
        Act("check", ("check", project), ("check", project), 0.5),
        Act("show", ("show", project), ("show", project), 0.5),
    ]
    if project == "letters":
        return [*own, Act("sample", ("sample", project, "--prompt", "the "), ("sample", project, "--prompt", "the "))]
    serve, draft = ("serve", project), ("init", "--data", "rows.csv", "--target", "price", "--name", DRAFT)
    score = ("score", project, "--data", "rows.csv", "--out", "scores")
    if project == "flowers":
        own += [Act("seeds", ("seeds", project, "--count", "2"), ("seeds", project, "--count", "2"), 0.5)]
        own += [Act("effect", effect, effect, 0.5)]
    return [
        *own,
        Act("score", score, score, 2),
        Act("watch", ("watch", project, "--data", "rows.csv"), ("watch", project, "--data", "rows.csv")),
        Act("backup", ("backup",), ("backup",), 2),
        Act(
            "restore", ("restore", "kept.tar"), ("restore", "kept.tar"), 2, ("must be restored into an empty project",)
        ),
        Act("gc", ("gc", "--apply"), ("gc", "--apply")),
        Act("doctor", ("doctor", "--apply"), ("doctor", "--apply")),
        Act("deploy", ("deploy",), ("deploy",), 0.5),
        Act("sync", ("sync", "newest"), ("sync", "newest")),
        Act("list", ("list",), ("list",), 0.5),
        Act("status", ("status",), ("status",), 0.5),
        Act("init", draft, draft, 1, ("must not exist yet",)),
        Act("serve", serve, serve),
        Act("up", ("up",), ("up",)),
        Act("down", ("down",), ("down",)),
    ]


class Folder:
    """The folder of both projects, and how commands are run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = ("--prefect-port", str(free_port()), "--mlflow-port", str(free_port()))
        self.output = root / "said.txt"
        self.restored = root.with_name("kills-restored")  # not below the project, which would be found from there

    def make(self) -> None:
        """Three projects, each with two versions, and a backup of it all; nothing where they are there."""
        if (self.root / "kept.tar").exists():
            return
        shutil.rmtree(self.root, ignore_errors=True)
        (self.root / "conf").mkdir(parents=True)
        rng = np.random.default_rng(0)
        rows = rng.normal(size=(ROWS, 2))
        opens = rng.random(ROWS) < 1 / (1 + np.exp(-3 * rows[:, 0] * rows[:, 1]))
        price = rows[:, 0] ** 2 + rows[:, 1] + rng.normal(size=ROWS) / 4
        lines = [
            f"{a:.5f},{b:.5f},{'yes' if c else 'no'},{d:.4f}" for (a, b), c, d in zip(rows, opens, price, strict=True)
        ]
        (self.root / "rows.csv").write_text("height,width,opens,price\n" + "\n".join(lines) + "\n")
        (self.root / "texts").mkdir()
        words = random.Random(0)
        for number in range(80):
            sentences = [
                f"the {words.choice(['cat', 'dog'])} sees the {words.choice(['bird', 'fish'])}." for _ in range(4)
            ]
            (self.root / "texts" / f"{number}.txt").write_text("\n".join([*sentences, f"number {number}"]))
        for name in PROJECTS:
            (self.root / "conf" / f"{name}.yaml").write_text(YAML[name])
            for seed in ("0", "1"):
                self.whole(("run", name, "--force", "--set", f"train.seed={seed}", "--set", "gate.margin=1"))
        write_json(self.root / "kept.json", holding(self.root))
        self.whole(("backup", "--to", "kept.tar"))

    def start(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Begin a command; what it says goes to said.txt."""
        place, acts_left = self.root, list(words)
        if words[0] == "restore":
            place, acts_left = self.restored, ["restore", str(self.root / "kept.tar")]
            (place / "conf").mkdir(
                parents=True, exist_ok=True
            )  # the root: otherwise the nearest folder upward that has one is taken
        elif "newest" in words:
            runs = sorted((self.root / "data" / "runs").glob("*/run.json"), key=lambda path: path.stat().st_mtime)
            acts_left[acts_left.index("newest")] = runs[-1].parent.name
        elif words[0] == "up":
            acts_left = ["up", *self.ports]
        elif words[0] == "serve":
            acts_left += ["--port", self.ports[3]]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "HEADWAY_"))}
        with open(self.output, "wb") as output:
            command = [sys.executable, "-m", "headway.cli", *acts_left]
            return subprocess.Popen(
                command, cwd=place, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )

    def whole(self, words: Sequence[str]) -> float:
        """Run a command to its end; its seconds. Raises RuntimeError with what it said when it fails."""
        start = time.monotonic()
        child = self.start(words)
        if words[0] in SERVERS:
            self._serve(child)
        elif child.wait(SECONDS) != 0:
            raise RuntimeError(self.output.read_text(errors="replace"))
        return time.monotonic() - start

    def _serve(self, server: subprocess.Popen[bytes]) -> None:
        """Wait until it serves, and stop it as a person does."""
        self._await_service(server)
        server.send_signal(signal.SIGTERM)
        if server.wait(SECONDS) not in (0, -signal.SIGTERM):
            raise RuntimeError(self.output.read_text(errors="replace"))

    def _await_service(self, server: subprocess.Popen[bytes]) -> None:
        """Wait until `up` says how it is stopped, or the scoring server answers. Raises RuntimeError with what was said instead."""
        until, ping = time.monotonic() + SECONDS, f"http://127.0.0.1:{self.ports[3]}/ping"
        while "Ctrl-C" not in self.output.read_text(errors="replace") and not answers(ping):
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(self.output.read_text(errors="replace"))
            time.sleep(0.2)

    def before(self, words: Sequence[str]) -> subprocess.Popen[bytes] | None:
        """What must be there for a command: no draft, nothing restored, and for `down` an `up` that serves."""
        shutil.rmtree(self.restored, ignore_errors=True)
        (self.root / "conf" / f"{DRAFT}.yaml").unlink(missing_ok=True)
        if words[0] != "down":
            return None
        up = self.start(("up",))
        self._await_service(up)
        self.output.rename(self.root / "up.txt")  # it goes on writing there
        return up


def kill(folder: Folder, act: Act, seconds: float, chance: random.Random) -> bool:
    """Begin the command and kill it, or one of its processes, within ``seconds``; whether it was still there."""
    child, alive = folder.start(act.words), False
    with contextlib.suppress(psutil.NoSuchProcess):  # it ended while we looked
        time.sleep(chance.uniform(0.05, seconds))
        family = psutil.Process(child.pid).children(recursive=True)
        other = bool(family) and chance.random() < DESCENDANT
        victim = chance.choice(family) if other else psutil.Process(child.pid)
        alive = child.poll() is None
        if alive:
            victim.kill()
    if act.name in SERVERS and child.poll() is None:  # a part that was killed is started again
        time.sleep(2.0)
        child.terminate()
    child.wait(SECONDS)
    return alive


def judge(folder: Folder, act: Act, before: dict[str, int], champion: str | None) -> Wrong:
    """What is wrong after a kill: first what outlived it, then the same command again, then what the folder holds.

    ``champion``: the version that must be the champion after a rollback.
    """
    wrong = Wrong()
    if "Traceback" in folder.output.read_text(errors="replace"):
        wrong.add("tracebacks", folder.output.read_text(errors="replace")[-2000:])
    if act.name != "down":  # what that left running is there by right
        _orphans(folder, wrong)
    try:
        folder.whole(act.again)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        reason = str(error)
        if "Traceback" in reason or not any(text in reason for text in act.refusals):
            wrong.add("commands that fail afterwards", reason[-2000:])
    if act.name == "down":
        _orphans(folder, wrong)
    state(folder.root, folder.restored, PROJECTS, before, wrong)
    if act.name == "restore":
        restored(folder.restored, read_json(folder.root / "kept.json"), wrong)
    now = in_charge(folder.root, act.words[1])[0] if champion else None
    if now != champion:
        wrong.add("rollbacks to another version", f"{act.words[1]}: version {now} is the champion, not {champion}")
    return wrong


def _orphans(folder: Folder, wrong: Wrong) -> None:
    for text in [*orphans(folder.root), *orphans(folder.restored)]:
        wrong.add("processes that outlive it", text)


def champion_after(folder: Folder, act: Act) -> str | None:
    """The version that a rollback must make the champion, even if it is killed and repeated several times; None for other commands."""
    if act.name != "rollback":
        return None
    champion, previous, was_rolled_back = in_charge(folder.root, act.words[1])
    return champion if was_rolled_back or previous is None else previous


def main() -> None:
    """Kill until there are enough, or the time is over."""
    settings = options()
    samples = Samples("kills", fresh=settings.fresh)
    folder, deadline = Folder(FOLDER / "kills"), settings.deadline()
    if settings.fresh:
        shutil.rmtree(folder.root, ignore_errors=True)
    folder.make()
    while len(samples.of(KINDS[0])) < KILLS and time.monotonic() < deadline:
        _once(folder, samples, random.Random())
    kills = len(samples.of(KINDS[0]))
    totals = {kind: sum(samples.of(kind)) for kind in KINDS}
    print(f"{kills} of {KILLS} kills: " + ", ".join(f"{count:.0f} {kind}" for kind, count in totals.items()))
    if kills < KILLS:
        print("run it again to go on")
        return
    tell("kills", {f"{kills} kills: {kind}": Ratio(count, count, count, 0.0) for kind, count in totals.items()})


def _once(folder: Folder, samples: Samples, chance: random.Random) -> None:
    """One command, killed and judged; how long it takes whole is measured first, once for each."""
    commands = acts(chance.choice(PROJECTS))
    act = chance.choices(commands, [one.weight for one in commands])[0]
    if not samples.of(f"seconds of {act.name}"):
        folder.before(act.words)
        samples.add(f"seconds of {act.name}", folder.whole(act.words))
    up = folder.before(act.words)
    before, champion = counts(folder.root), champion_after(folder, act)
    if not kill(folder, act, 1.1 * samples.of(f"seconds of {act.name}")[0], chance):
        if up is not None:
            up.wait(SECONDS)
        return
    wrong = judge(folder, act, before, champion)
    if up is not None:
        up.wait(SECONDS)
    for kind in KINDS:
        samples.add(kind, wrong.count(kind))
    print(f"{len(samples.of(KINDS[0]))}: {act.name}: {wrong.summary()}", flush=True)
    if wrong.texts:
        with open(folder.root / "wrong.txt", "a", encoding="utf-8") as file:
            file.write(f"{act.name}\n" + "\n".join(wrong.texts) + "\n\n")


if __name__ == "__main__":
    main()
