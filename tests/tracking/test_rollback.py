from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_registry import another, registered

from headway import tracking
from headway.base import ConfigError, DamagedError
from headway.run import RunDirectory


def rows(root: Path) -> dict[str, dict[str, object]]:
    return {row["version"]: row for row in tracking.versions(root, "loans")}


def test_the_previous_champion_is_back_with_the_reason_on_both(run: RunDirectory, tmp_path: Path) -> None:
    first = registered(run, tmp_path)
    tracking.promote(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    before = rows(tmp_path)
    for to, fault in (("", "previous champion"), ("99", "'99' is not one"), (first, "in charge already")):
        with pytest.raises(ConfigError, match=fault) as told:
            tracking.rollback(tmp_path, "loans", to)
        assert len(str(told.value).splitlines()) == 1
    assert rows(tmp_path) == before

    second = registered(another(tmp_path), tmp_path)
    tracking.promote(tmp_path, "loans", second, {"promoted": True, "reason": "better"})
    told = tracking.rollback(tmp_path, "loans", reason="complaints\nsince Monday")
    assert (told.version, told.before, told.again) == (first, second, True)
    assert tracking.version_of(tmp_path, "loans").version == first
    seen = rows(tmp_path)
    assert (seen[first]["aliases"], seen[second]["aliases"]) == (["champion"], ["previous"])
    for version in (first, second):
        assert str(seen[version]["reason"]).endswith("complaints since Monday")

    found = tracking.version_of(tmp_path, "loans", second)
    shutil.rmtree(found.bundle)
    with pytest.raises(DamagedError, match="is gone"):
        tracking.rollback(tmp_path, "loans", second)
    assert rows(tmp_path) == seen


def test_a_version_that_never_was_champion_is_not_champion_again(run: RunDirectory, tmp_path: Path) -> None:
    tracking.promote(tmp_path, "loans", registered(run, tmp_path), {"promoted": True, "reason": "first"})
    refused = registered(another(tmp_path), tmp_path)
    tracking.keep_challenger(tmp_path, "loans", refused, {"promoted": False, "reason": "worse"})
    done = tracking.rollback(tmp_path, "loans", refused)
    assert done.sentence() == "version 2 is champion, in place of version 1"
    assert tracking.rollback(tmp_path, "loans").sentence() == "version 1 is champion again, in place of version 2"
    assert rows(tmp_path)[refused]["decision"] == "rolled back"


def test_a_model_without_a_champion_cannot_be_rolled_back(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no champion"):
        tracking.rollback(tmp_path, "loans")
