from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from headway import tracking
from headway.errors import ConfigError, DamagedError
from headway.files import checksums
from headway.run.directory import RunDirectory
from tests.support.deciding import decide
from tests.tracking.tracked import PLAN, pretend_bundle, run_id_of

ROWS = pd.DataFrame({"age": [30, None, 50], "job": ["cook", None, 7], "more": [1, 2, 3]})


def registered(run: RunDirectory, root: Path) -> str:
    pretend_bundle(run)
    tracking.begin(run, root, {}, "mlp", "")
    return tracking.register(run, root, "loans", ROWS)


def run_tag(root: Path, run: RunDirectory) -> str:
    """What the list of runs says under `champion`."""
    return str(tracking.open_store(root).get_run(run_id_of(run)).data.tags["champion"])


def another(root: Path) -> RunDirectory:
    return RunDirectory.create(root, "loans", PLAN)


def test_aliases_follow_the_decisions(run: RunDirectory, tmp_path: Path) -> None:
    assert tracking.champion(tmp_path, "loans") is None
    first = registered(run, tmp_path)
    decision = {"promoted": True, "reason": "beats the trivial baseline", "metric": "auc", "difference": 0.1}
    comparison = {"low": 0.05, "high": 0.15, "value": 0.78571, "other": "the trivial baseline"}
    decide(tmp_path, "loans", first, {**decision, **comparison})
    tags = tracking.versions(tmp_path, "loans")[0].tags
    assert (tags["auc"], tags["against"]) == ("0.7857", "the trivial baseline")
    assert tags["difference"] == "+0.1000 [+0.0500, +0.1500]"
    assert run_tag(tmp_path, run) == "yes"
    champion = tracking.champion(tmp_path, "loans")
    assert champion is not None
    assert champion.version == first
    assert (champion.bundle / "bundle.json").read_bytes() == (run.bundle / "bundle.json").read_bytes()

    second = registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", second, {"promoted": False, "reason": "worse by 0.02"})
    third = registered(another(tmp_path), tmp_path)
    for _ in range(2):  # a promotion repeated after a crash changes nothing
        decide(tmp_path, "loans", third, {"promoted": True, "reason": "at least as good"})
    rows = {row.version: row for row in tracking.versions(tmp_path, "loans")}
    assert rows[first].aliases == ("previous",)
    assert rows[second].aliases == ("challenger",)
    assert rows[third].aliases == ("champion",)
    assert (rows[first].tags["decision"], rows[first].tags["reason"]) == ("replaced", f"replaced by version {third}")
    assert run_tag(tmp_path, run) == f"replaced by {third}"
    assert "difference" not in rows[first].tags, (
        "the gate's interval of an earlier decision is in the history, not among the tags"
    )
    assert rows[second].tags["decision"] == "not promoted"
    tracking.rollback(tmp_path, "loans", second, "by hand")
    rows = {row.version: row for row in tracking.versions(tmp_path, "loans")}
    assert (rows[second].aliases, rows[third].aliases) == (("champion",), ("previous",))


def test_a_run_is_registered_once(run: RunDirectory, tmp_path: Path) -> None:
    assert registered(run, tmp_path) == registered(run, tmp_path)
    assert len(tracking.versions(tmp_path, "loans")) == 1


def test_a_run_unknown_to_mlflow_cannot_be_registered(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="headway sync"):
        tracking.register(run, tmp_path, "loans", ROWS)


def test_a_bundle_that_was_damaged_since_is_not_registered(run: RunDirectory, tmp_path: Path) -> None:
    pretend_bundle(run)
    (run.bundle / "model.txt").write_text("trees")
    checksums.seal(run.bundle)
    (run.bundle / "model.txt").write_text("threes")
    tracking.begin(run, tmp_path, {}, "mlp", "")
    with pytest.raises(DamagedError, match=r"model\.txt must be what Headway wrote"):
        tracking.register(run, tmp_path, "loans", ROWS)
    assert tracking.versions(tmp_path, "loans") == []


def test_what_is_registered_holds_no_pickle_and_no_litter_and_its_exact_requirements(
    run: RunDirectory, tmp_path: Path
) -> None:
    import torch

    decide(tmp_path, "loans", registered(run, tmp_path), {"promoted": True, "reason": ""})
    champion_bundle = tracking.champion(tmp_path, "loans")
    assert champion_bundle is not None
    model = champion_bundle.bundle.parent.parent
    files = [path for path in model.rglob("*") if path.is_file()]
    assert (model / "code" / "headway" / "serve" / "pyfunc.py") in files
    assert {path.suffix for path in files} <= {".py", ".html", ".css", ".json", ".yaml", ".txt", ""}
    assert not [path for path in model.rglob("*") if path.name in ("__pycache__", "tests")]
    for path in files:
        assert path.read_bytes()[:1] != b"\x80", f"{path} begins as a pickle does"
    assert f"torch=={torch.__version__.partition('+')[0]}" in (model / "requirements.txt").read_text()


def test_registering_imports_no_torch_and_takes_seconds(run: RunDirectory, tmp_path: Path) -> None:
    pretend_bundle(run)
    code = (
        "import sys, pathlib, time, pandas as pd\nfrom headway import tracking\nfrom headway.run.directory import RunDirectory\n"
        "run, root = RunDirectory(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2])\n"
        "tracking.begin(run, root, {}, 'n', '')\n"
        "tracking.register(run, root, 'loans', pd.DataFrame({'age': [1, 2], 'job': ['a', None]}))\n"
        "assert not {'torch', 'mlflow.pytorch', 'headway.serve.bundle'} & set(sys.modules)\n"
    )
    began = time.monotonic()
    outcome = subprocess.run([sys.executable, "-c", code, str(run.path), str(tmp_path)], capture_output=True, text=True)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert time.monotonic() - began < 60
