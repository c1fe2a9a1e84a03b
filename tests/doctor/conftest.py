"""The two folders of projects that this folder's tests damage, built once and put back before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.whole_project import WholeProject, build, build_others


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
def holder(built: WholeProject) -> WholeProject:
    """The project that a test is about; a module may say another."""
    return built


@pytest.fixture
def project(holder: WholeProject) -> WholeProject:
    """With all runs closed."""
    holder.restore(holder.kept)
    return holder


@pytest.fixture
def killed(holder: WholeProject) -> WholeProject:
    """With two trainings that were just killed."""
    holder.restore(holder.killed)
    return holder
