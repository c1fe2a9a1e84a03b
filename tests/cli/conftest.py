"""A whole project for commands, built once: its folder has a name that is wider than a terminal."""

from __future__ import annotations

import pytest

from tests.support.whole_project import WholeProject, build

LONG = "a-folder-whose-name-is-so-long-that-no-table-of-eighty-columns-has-room-for-it"


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> WholeProject:
    return build(tmp_path_factory.mktemp("whole") / LONG)
