"""One `headway up` in a folder, and only itself is stopped: whatever numbers processes have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from headway.errors import ConfigError
from headway.files import locks
from headway.files.atomic import write_json
from headway.files.database import PARTS
from headway.server import owner, temporary
from headway.server.local import Servers, running, write_servers
from headway.server.status import down

UP = """
import sys, time
from pathlib import Path
from headway.server.owner import owning
only = sys.argv[2] or None
with owning(Path(sys.argv[1]), (only,) if only else ("prefect", "mlflow"), only):
    print("serving", flush=True)
    time.sleep(600)
"""


@contextmanager
def process(*words: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", *words], stdout=subprocess.PIPE, text=True) as one:
        try:
            yield one
        finally:
            one.kill()


@contextmanager
def serving(root: Path, only: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder as `headway up` does."""
    with process(UP, str(root), only) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "serving\n"
        yield one


def test_a_second_up_is_refused_and_leaves_the_record_of_the_first(root: Path) -> None:
    with serving(root) as first:
        write_servers(root, Servers(first.pid, "http://127.0.0.1:1", "http://127.0.0.1:2"))
        for only, parts in ((None, tuple(PARTS)), ("mlflow", ("mlflow",))):
            text = rf"once for a folder, but it runs already \(process {first.pid}\)"
            with pytest.raises(ConfigError, match=text), owner.owning(root, parts, only):
                raise AssertionError("two serve")
        assert running(root) == Servers(first.pid, "http://127.0.0.1:1", "http://127.0.0.1:2")
    assert (owner.owner(root), running(root)) == (None, None)


def test_parts_are_served_apart_each_once(root: Path) -> None:
    with serving(root, "prefect"), serving(root, "mlflow") as second:
        with pytest.raises(ConfigError, match=rf"process {second.pid}"), owner.owning(root, ("mlflow",), "mlflow"):
            raise AssertionError("two serve MLflow")
        with pytest.raises(ConfigError, match="it runs already"), owner.owning(root, tuple(PARTS), None):
            raise AssertionError("two serve all")
        assert running(root) is None


def test_down_stops_each_process_that_serves_a_part(root: Path) -> None:
    with serving(root, "prefect") as first, serving(root, "mlflow") as second:
        assert [one.pid for one in owner.owners(root)] == [first.pid, second.pid]
        assert owner.owner(root, ("mlflow",)) == owner.owners(root)[1]
        assert down(root) == [first.pid, second.pid]
        assert (first.wait(10), second.wait(10)) != (0, 0)
    assert owner.owner(root) is None


def test_one_part_that_is_served_leaves_the_other_to_another_process(root: Path) -> None:
    with serving(root, "mlflow") as one:
        assert owner.owner(root, ("prefect",)) is None
        holder = owner.owner(root)
        assert holder is not None
        assert holder.pid == one.pid


def test_a_container_that_hides_the_boots_name_still_knows_who_serves(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text

    def hidden(path: Path, *arguments: str) -> str:
        if path.name == "boot_id":
            raise FileNotFoundError(path)
        return read(path, *arguments)

    monkeypatch.setattr(Path, "read_text", hidden)
    own = owner.start_of(os.getpid())
    assert own is not None
    assert own.startswith(":")
    assert owner.start_of(2**22 + 1) is None, "no process has this number"


def test_down_stops_up_and_waits_until_it_has_gone(root: Path) -> None:
    with serving(root) as one:
        assert down(root) == [one.pid]
        assert one.wait(10) != 0
    assert down(root) == []


def test_a_process_that_got_the_number_of_a_dead_up_is_left_alone(root: Path) -> None:
    """After a restart of a container the numbers begin anew, so that any program may have it, also one that is called headway."""
    with process("import time; time.sleep(600)", "headway up") as other:
        write_servers(root, Servers(other.pid, "http://127.0.0.1:1", "http://127.0.0.1:2"))
        write_json(owner.lock_file(root), asdict(owner.Owner(other.pid, owner.start_of(other.pid) or "", "here")))
        write_json(root / ".prefect" / "temporary.json", {"pid": other.pid, "address": "http://127.0.0.1:1/api"})
        assert (running(root), down(root), temporary.keeper(root / ".prefect")) == (None, [], None)
        with owner.owning(root, tuple(PARTS), None):  # and the next one starts
            pass
        assert other.poll() is None


def test_up_in_another_container_is_refused_to_be_stopped_from_here(root: Path) -> None:
    """The lock is held, but by a process that has its number in another container: here, somebody else has it."""
    with serving(root) as one, process("import time; time.sleep(600)") as other:
        for pid, start in ((other.pid, "its own start"), (10**7, "no process here")):
            owner.lock_file(root).write_text(json.dumps(asdict(owner.Owner(pid, start, "box7"))))
            assert running(root) is None
            with pytest.raises(ConfigError, match="must run on this machine to be stopped from here, but runs on box7"):
                down(root)
        assert (one.poll(), other.poll()) == (None, None)


def test_looking_at_a_lock_never_refuses_whoever_takes_it(tmp_path: Path) -> None:
    looking = locks.take(tmp_path / "lock", shared=True)
    code = "import sys; from pathlib import Path; from headway.files import locks; print(locks.take(Path(sys.argv[1]), seconds=20))"
    with process(code, str(tmp_path / "lock")) as taker:
        assert looking is not None
        time.sleep(0.3)
        os.close(looking)
        assert taker.communicate(timeout=20)[0].strip() not in ("", "None")


def test_looking_refuses_nobody_who_wants_to_be_alone_and_another_holder_does(tmp_path: Path) -> None:
    """`headway status` and `gc` look at a run's lock while its training begins."""
    busy = ConfigError("busy")
    looking = locks.take(tmp_path / "lock", shared=True)
    assert looking is not None
    threading.Timer(0.1, os.close, [looking]).start()
    with (
        locks.hold(tmp_path / "lock", busy),
        pytest.raises(ConfigError, match="busy"),
        locks.hold(tmp_path / "lock", busy),
    ):
        raise AssertionError("two hold it")


def test_a_working_folder_of_a_killed_process_goes_and_one_in_use_stays(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom headway.files.locks import working_folder\n"
        "with working_folder(Path(sys.argv[1]), 'x') as folder:\n"
        "    (folder / 'half').write_text('')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    assert locks.is_left(left)
    with locks.working_folder(tmp_path, "y") as other:
        assert not locks.is_left(other)
        with locks.working_folder(tmp_path, "x"):
            assert not left.exists()
            assert other.is_dir()
    assert list(tmp_path.iterdir()) == []
