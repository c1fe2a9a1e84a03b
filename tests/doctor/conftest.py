"""The two folders of projects that this folder's tests damage, built once and put back before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.whole_project import WholeProject, build, build_others


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProject]:
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("MLFLOW_TRACKING_URI", "HEADWAY_DATABASE"):
            patch.delenv(variable, raising=False)
        yield build(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="session")
def built_others(tmp_path_factory: pytest.TempPathFactory, built: WholeProject) -> WholeProject:
    """Boosted trees and a text; after ``built``, which has prepared the environment."""
    return build_others(tmp_path_factory.mktemp("others"))


@pytest.fixture
def project(built: WholeProject) -> WholeProject:
    built.restore(built.kept)
    return built


@pytest.fixture
def killed(built: WholeProject) -> WholeProject:
    """The project in which two trainings were just killed."""
    built.restore(built.killed)
    return built
