from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from headway import tracking
from headway.errors import ConfigError, DamagedError
from headway.run.directory import RunDirectory
from headway.tracking import lock
from tests.support.deciding import decide
from tests.tracking.test_registry import another, registered


def rows(root: Path) -> dict[str, tracking.VersionRow]:
    return {row.version: row for row in tracking.versions(root, "loans")}


def test_the_previous_champion_is_back_with_the_reason_on_both(run: RunDirectory, tmp_path: Path) -> None:
    first = registered(run, tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    before = rows(tmp_path)
    for to, fault in (("", "previous champion"), ("99", "'99' is not one"), (first, "is the champion")):
        with pytest.raises(ConfigError, match=fault) as refusal:
            tracking.rollback(tmp_path, "loans", to)
        assert len(str(refusal.value).splitlines()) == 1
    assert rows(tmp_path) == before

    second = registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", second, {"promoted": True, "reason": "better"})
    refusal = tracking.rollback(tmp_path, "loans", reason="complaints\nsince Monday")
    assert (refusal.version, refusal.before, refusal.again) == (first, second, True)
    assert tracking.version_of(tmp_path, "loans").version == first
    rows_after = rows(tmp_path)
    assert (rows_after[first].aliases, rows_after[second].aliases) == (("champion",), ("previous",))
    for version in (first, second):
        assert str(rows_after[version].tags["reason"]).endswith("complaints since Monday")

    bundle = tracking.version_of(tmp_path, "loans", second)
    shutil.rmtree(bundle.bundle)
    with pytest.raises(DamagedError, match="is missing"):
        tracking.rollback(tmp_path, "loans", second)
    assert rows(tmp_path) == rows_after


def test_where_the_previous_champion_is_damaged_the_newest_whole_one_is_named(
    run: RunDirectory, tmp_path: Path
) -> None:
    versions = [registered(run, tmp_path), *(registered(another(tmp_path), tmp_path) for _ in range(4))]
    for version in versions[:3]:
        decide(tmp_path, "loans", version, {"promoted": True, "reason": "better"})
    tracking.rollback(tmp_path, "loans", reason="complaints")  # from 3 to 2
    decide(tmp_path, "loans", "4", {"promoted": True, "reason": "better"})
    decide(tmp_path, "loans", "5", {"promoted": False, "reason": "worse"})
    shutil.rmtree(tracking.version_of(tmp_path, "loans", "2").bundle)
    before = rows(tmp_path)
    with pytest.raises(
        DamagedError,
        match=r"version 2 must be undamaged, .* or an earlier one: headway rollback loans --to 1$",
    ):
        tracking.rollback(tmp_path, "loans")
    assert rows(tmp_path) == before
    shutil.rmtree(tracking.version_of(tmp_path, "loans", "4").bundle)
    with pytest.raises(DamagedError, match=r"otherwise: headway rollback loans --to 1$"):
        tracking.version_of(tmp_path, "loans")
    result = [(one.version, one.bundle is not None) for one in tracking.earlier(tmp_path, "loans", "4")]
    assert result == [("2", False), ("1", True)], "3 was rolled back from, 5 was never champion"


def test_a_version_that_never_was_champion_is_not_champion_again(run: RunDirectory, tmp_path: Path) -> None:
    decide(tmp_path, "loans", registered(run, tmp_path), {"promoted": True, "reason": "first"})
    refused = registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", refused, {"promoted": False, "reason": "worse"})
    result = tracking.rollback(tmp_path, "loans", refused)
    assert result.sentence() == "version 2 is champion, in place of version 1"
    assert tracking.rollback(tmp_path, "loans", "1").sentence() == "version 1 is champion again, in place of version 2"
    assert rows(tmp_path)[refused].tags["decision"] == "rolled back"


def test_a_rollback_that_is_repeated_says_that_it_was_done_and_changes_nothing(
    run: RunDirectory, tmp_path: Path
) -> None:
    first, second = registered(run, tmp_path), registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    decide(tmp_path, "loans", second, {"promoted": True, "reason": "better"})
    tracking.rollback(tmp_path, "loans", reason="complaints")
    before, history = rows(tmp_path), tracking.history(tmp_path, "loans")
    for to in ("", first):
        result = tracking.rollback(tmp_path, "loans", to, "once more")
        assert result.since is not None
        assert result.sentence().startswith(
            f"version {first} is champion already, rolled back from version {second} on "
        )
        assert "(complaints); --to makes another version champion" in result.sentence()
    assert (rows(tmp_path), tracking.history(tmp_path, "loans")) == (before, history)
    assert tracking.rollback(tmp_path, "loans", second).version == second, "whoever names it gets the other one back"


def test_a_model_without_a_champion_cannot_be_rolled_back(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no champion"):
        tracking.rollback(tmp_path, "loans")


def test_a_rollback_says_that_it_waits_for_another_decision_and_gives_up(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decide(tmp_path, "loans", registered(run, tmp_path), {"promoted": True, "reason": "first"})
    refused = registered(another(tmp_path), tmp_path)
    monkeypatch.setattr(lock, "QUIET_SECONDS", 0.0)
    with monkeypatch.context() as patch, lock.hold(tmp_path, "loans"):
        patch.setattr(sys.modules["headway.tracking.rollback"], "PATIENCE_SECONDS", 0.2)
        with pytest.raises(ConfigError, match="only one process at a time may decide about loans") as error_info:
            tracking.rollback(tmp_path, "loans", refused)
    assert len(str(error_info.value).splitlines()) == 1
    assert capsys.readouterr().err == "headway: another process decides about loans; waiting\n"
    assert tracking.rollback(tmp_path, "loans", refused).version == refused
    assert capsys.readouterr().err == "", "nobody else decides"


def test_a_rollback_that_was_taken_back_bars_no_version(run: RunDirectory, tmp_path: Path) -> None:
    first, second = registered(run, tmp_path), registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    decide(tmp_path, "loans", second, {"promoted": True, "reason": "better"})

    def earlier(champion: str) -> list[str]:
        return [one.version for one in tracking.earlier(tmp_path, "loans", champion)]

    assert earlier(second) == [first]
    tracking.rollback(tmp_path, "loans", first)
    assert earlier(first) == []
    tracking.rollback(tmp_path, "loans", second)
    assert earlier(second) == [first]
    with pytest.raises(ConfigError, match=r"version 1 must be champion, but version 2 is now"):
        tracking.rollback(tmp_path, "loans", first, instead_of=first)
