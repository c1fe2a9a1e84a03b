"""What other processes take of the cores, read from the kernel's own counters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headway.machine import cores
from headway.machine.cores import Use, Watch, spin_briefly

ROOT = Path(__file__).parents[2]
TICK = 1 / os.sysconf("SC_CLK_TCK")


def stat(*busy_and_idle: tuple[int, int]) -> str:
    """/proc/stat with one line a core: user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice."""
    lines = ["cpu  9 9 9 9 9 9 9 9 9 9"]
    for core, (busy, idle) in enumerate(busy_and_idle):
        lines.append(f"cpu{core} {busy - 6} 1 2 {idle} 50 1 1 1 0 0")
    return "\n".join([*lines, "intr 1 2 3", "procs_running 4"])


def test_what_others_use_is_what_is_busy_without_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ours = iter([10.0, 12.0]), iter([3.0, 3.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("time.process_time", lambda: next(ours))
    (tmp_path / "stat").write_text(stat((100, 1000), (300, 1000), (0, 0)))
    watch = Watch(tmp_path / "stat", {0, 1})
    two_seconds = round(2 / TICK)
    (tmp_path / "stat").write_text(stat((100 + two_seconds, 1000), (300 + two_seconds // 2, 1000), (10**6, 0)))
    use = watch.look()
    assert use is not None
    assert (use.cores, use.seconds) == (2, 2.0)
    assert use.ours == pytest.approx(0.25)
    assert use.others == pytest.approx(1.25)
    assert use.idle == pytest.approx(0.5)
    assert not use.contended
    assert Use(1.0, 2, ours=0.4, others=1.6).contended
    assert not Use(1.0, 2, ours=2.0, others=0.0).contended


def test_a_system_that_does_not_say_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Watch(tmp_path / "none").look() is None
    monkeypatch.setattr(cores.Watch, "look", lambda _: None)
    assert cores.free_cores(0.0) == len(cores.allowed_cores())


def test_what_the_user_says_on_waiting_stays() -> None:
    plain = {"GOMP_SPINCOUNT": "7"}
    spin_briefly(plain)
    assert plain == {"GOMP_SPINCOUNT": "7", "KMP_BLOCKTIME": "1"}
    active = {"OMP_WAIT_POLICY": "ACTIVE"}
    spin_briefly(active)
    assert active == {"OMP_WAIT_POLICY": "ACTIVE"}


def test_flows_that_prefect_starts_wait_with_a_short_spin_before_any_library_is_loaded() -> None:
    code = (
        "import flows, os, sys; print(os.environ['GOMP_SPINCOUNT'], {'torch', 'sklearn', 'numpy'} & set(sys.modules))"
    )
    environment = {
        name: value for name, value in os.environ.items() if name not in (*cores.SHORT_SPIN, "OMP_WAIT_POLICY")
    }
    words = [sys.executable, "-c", code]
    outcome = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, cwd=ROOT)
    assert outcome.stdout.split(maxsplit=1) == [cores.SHORT_SPIN["GOMP_SPINCOUNT"], "set()\n"]
