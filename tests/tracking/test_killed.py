"""Register, promote and roll back are killed at every write, twice, and repeated: nothing is wrong, lost or there twice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headway import tracking
from headway.evaluate.decision import Decision
from headway.run.directory import RunDirectory
from headway.tracking import intent
from headway.tracking.intent import Intent
from headway.tracking.record import Tracking
from tests.support.deciding import decide
from tests.tracking.test_registry import ROWS, another, registered
from tests.tracking.tracked import pretend_bundle

pytestmark = pytest.mark.slow

WRITES = (
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "log_outputs",
    "create_registered_model",
    "create_model_version",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_registered_model_tag",
    "delete_registered_model_tag",
    "update_registered_model",
    "set_model_version_tag",
    "delete_model_version_tag",
    "update_model_version",
)


class Death(BaseException):
    """A process ends here."""


class Killer:
    """Dies at the n-th write: before it, or after it with ``after``. Counts the writes of a block that survives."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.writes = 0

        # Each look at the store would make sure that its tables are there.
        monkeypatch.setattr("headway.tracking.store._make_database", lambda _: None)

    @contextlib.contextmanager
    def at(self, n: int, after: bool) -> Iterator[None]:
        from mlflow import MlflowClient

        self.writes = 0

        def dying(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **more: Any) -> Any:
                self.writes += 1
                number = self.writes  # a write may call others
                if number == n and not after:
                    raise Death
                result = real(*args, **more)
                if number == n:
                    raise Death
                return result

            return call

        with self._monkeypatch.context() as patched:
            for name in WRITES:
                patched.setattr(MlflowClient, name, dying(getattr(MlflowClient, name)))
            yield

    def dies(self, work: Callable[[], Any], n: int, after: bool = False) -> bool:
        """Whether the work dies at its n-th write; else it is done."""
        with self.at(n, after):
            try:
                work()
            except Death:
                return True
        return False


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    return Killer(monkeypatch)


def rounds(killer: Killer, begin: Callable[[], Callable[[], Any]], check: Callable[[], None]) -> int:
    """Each round kills once more late, then the repetition as well, and repeats to the end; the number of deaths.

    ``begin`` makes a new thing to do. One round more dies after the last write: all is done, and nobody was told.
    """
    deaths, n, last = 0, 1, False
    while True:
        work = begin()
        if not killer.dies(work, killer.writes if last else n, after=last):
            assert not last
            check()
            last = True
            continue
        deaths += 1
        deaths += killer.dies(work, 1 + n // 2)
        work()
        check()
        if last:
            return deaths
        n += 1


class Models:
    """A small registered model for each round: the second version beside or in place of the first."""

    def __init__(self, run: RunDirectory, root: Path, aliases: dict[str, str]) -> None:
        self._client = tracking.open_store(root)
        self._model = self._client.get_model_version("loans", registered(run, root))
        self._root, self._aliases, self._count = root, aliases, 0

    @property
    def name(self) -> str:
        return f"loans{self._count}"

    def begin(self, work: Callable[[str], Any]) -> Callable[[], Any]:
        self._count += 1
        name = self.name
        self._client.create_registered_model(name)
        for _ in range(2):
            self._client.create_model_version(name, self._model.source, self._model.run_id)
        for alias, version in self._aliases.items():
            self._client.set_registered_model_alias(name, alias, version)
        return lambda: work(name)

    def check(
        self, champion: str, previous: str, decisions: tuple[str, str], kind: str
    ) -> dict[str, tracking.VersionRow]:
        """The aliases, what both versions say, and that the decision was noted exactly once; the versions."""
        rows = {row.version: row for row in tracking.versions(self._root, self.name)}
        assert (rows[champion].aliases, rows[previous].aliases) == (("champion",), ("previous",))
        assert (rows[champion].tags["decision"], rows[previous].tags["decision"]) == decisions
        (record,) = tracking.history(self._root, self.name)
        assert (record.kind, record.number, record.before, record.after) == (kind, 1, previous, champion)
        model = self._client.get_registered_model(self.name)
        assert intent.TAG not in model.tags
        assert f"**{kind}** {previous} → {champion}" in model.description
        return rows


def test_a_promotion_killed_at_every_write_twice_is_done_exactly_once(
    run: RunDirectory, tmp_path: Path, killer: Killer
) -> None:
    models = Models(run, tmp_path, {"champion": "1", "challenger": "2"})
    decision = Decision(True, "promoted: so", "auc", 0.1, 0, 0.2)

    def check() -> None:
        rows = models.check("2", "1", ("promoted", "replaced"), "promotion")
        assert (rows["2"].tags["difference"], rows["2"].tags["reason"]) == ("+0.1000 [+0.0000, +0.2000]", "so")

    def promote(name: str) -> None:
        assert tracking.settle(tmp_path, name, "2", "1", decision, never).promoted

    assert rounds(killer, lambda: models.begin(promote), check) >= 25


def never(_: object) -> Decision:
    raise AssertionError("nothing changed meanwhile")


def test_a_rollback_killed_at_every_write_twice_never_puts_the_bad_version_back(
    run: RunDirectory, tmp_path: Path, killer: Killer
) -> None:
    models = Models(run, tmp_path, {"champion": "2", "previous": "1"})

    def check() -> None:
        rows = models.check("1", "2", ("made champion", "rolled back"), "rollback")
        assert rows["2"].tags["reason"] == "rolled back to version 1: complaints"

    def back(name: str) -> None:
        assert tracking.rollback(tmp_path, name, reason="complaints").version == "1"

    assert rounds(killer, lambda: models.begin(back), check) >= 20


def test_a_registration_killed_at_every_write_twice_makes_one_model_and_one_version(
    run: RunDirectory, tmp_path: Path, killer: Killer
) -> None:
    client, runs = tracking.open_store(tmp_path), [run]

    def begin() -> Callable[[], Any]:
        mine = runs[-1] if len(runs) == 1 and not (runs[0].path / "tracking.json").exists() else another(tmp_path)
        runs.append(mine)
        pretend_bundle(mine)
        tracking.begin(mine, tmp_path, {}, "mlp", "")
        return lambda: tracking.register(mine, tmp_path, "loans", ROWS)

    def check() -> None:
        state = Tracking.read(runs[-1].path / "tracking.json")
        (version,) = client.search_model_versions(f"run_id = '{state.run_id}'")
        (model,) = client.search_logged_models(
            [str(state.experiment_id)], filter_string=f"source_run_id = '{state.run_id}'"
        )
        assert (version.source, str(model.status)) == (model.artifact_location, "READY")
        outputs = client.get_run(state.run_id).outputs
        assert outputs is not None
        assert [one.model_id for one in outputs.model_outputs] == [model.model_id]
        version_there = tracking.version_of(tmp_path, "loans", str(version.version))
        assert (version_there.bundle / "bundle.json").read_bytes() == (runs[-1].bundle / "bundle.json").read_bytes()

    assert rounds(killer, begin, check) >= 8


def test_whoever_looks_next_finishes_what_a_killed_process_began(
    run: RunDirectory, tmp_path: Path, killer: Killer
) -> None:
    client = tracking.open_store(tmp_path)
    first, second = registered(run, tmp_path), registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    looks: tuple[Callable[[], Any], ...] = (
        lambda: tracking.champion(tmp_path, "loans"),
        lambda: tracking.version_of(tmp_path, "loans"),
        lambda: tracking.versions(tmp_path, "loans"),
        lambda: tracking.history(tmp_path, "loans"),
    )
    champion, other = first, second
    for look in looks:
        assert killer.dies(lambda: tracking.rollback(tmp_path, "loans", other, "so"), 2)  # noqa: B023
        look()
        assert intent.TAG not in client.get_registered_model("loans").tags
        champion, other = other, champion
        assert str(client.get_model_version_by_alias("loans", "champion").version) == champion


def test_what_cannot_be_finished_is_undone(run: RunDirectory, tmp_path: Path, killer: Killer) -> None:
    client = tracking.open_store(tmp_path)
    first, second, third = (
        registered(run, tmp_path),
        registered(another(tmp_path), tmp_path),
        registered(another(tmp_path), tmp_path),
    )
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    decide(tmp_path, "loans", second, {"promoted": True, "reason": "better"})
    assert killer.dies(lambda: decide(tmp_path, "loans", third, {"promoted": True, "reason": "best"}), 4)
    assert client.get_registered_model("loans").aliases["champion"] in (third, int(third))
    client.delete_model_version("loans", third)
    aliases = {row.version: list(row.aliases) for row in tracking.versions(tmp_path, "loans")}
    assert aliases == {first: ["previous"], second: ["champion"]}
    assert [one.version for one in tracking.history(tmp_path, "loans")] == [first, second]

    fourth = registered(another(tmp_path), tmp_path)
    assert killer.dies(lambda: tracking.rollback(tmp_path, "loans", first, "so"), 2)
    client.set_registered_model_alias("loans", "champion", fourth)  # by hand, in MLflow
    assert tracking.version_of(tmp_path, "loans").version == fourth, "a person's choice stands"


def test_an_intent_that_was_spoilt_by_hand_is_no_intent(run: RunDirectory, tmp_path: Path) -> None:
    first = registered(run, tmp_path)
    client = tracking.open_store(tmp_path)
    client.set_registered_model_tag("loans", intent.TAG, "not JSON")
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    assert tracking.version_of(tmp_path, "loans").version == first
    assert intent.intent_of(client.get_registered_model("loans")) is None


KILLED = """
import os, signal, sys
from pathlib import Path
from mlflow import MlflowClient
from headway import tracking
real, left = MlflowClient.set_registered_model_alias, [int(sys.argv[2])]
def alias(self, *args):
    real(self, *args)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
MlflowClient.set_registered_model_alias = alias
tracking.rollback(Path(sys.argv[1]), "loans", reason="complaints")
"""


def test_a_process_that_is_killed_in_a_rollback_leaves_no_lock_and_the_repetition_finishes_it(
    run: RunDirectory, tmp_path: Path
) -> None:
    first, second = registered(run, tmp_path), registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    decide(tmp_path, "loans", second, {"promoted": True, "reason": "better"})
    outcome = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "1"], check=False, env=dict(os.environ))
    assert outcome.returncode == -signal.SIGKILL
    decision = tracking.rollback(tmp_path, "loans", reason="complaints")
    assert (decision.version, decision.before) == (first, second)
    rows = {row.version: list(row.aliases) for row in tracking.versions(tmp_path, "loans")}
    assert rows == {first: ["champion"], second: ["previous"]}
    assert [one.kind for one in tracking.history(tmp_path, "loans")] == ["first", "promotion", "rollback"]


def test_an_intent_fits_into_what_every_database_keeps(run: RunDirectory, tmp_path: Path) -> None:
    first, second = registered(run, tmp_path), registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    intents: list[Intent] = []
    real = intent._finish

    def look(client: Any, name: str, own: Intent, check: intent.Check) -> None:
        intents.append(own)
        real(client, name, own, check)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(intent, "_finish", look)
        tracking.rollback(tmp_path, "loans", second, '"' * 20_000)
    assert len(intents[0].to_json()) <= 5000
