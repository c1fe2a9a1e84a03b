"""prefect.yaml: all flows of all projects for a work pool, as the runner has them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows.deployments import deployments
from flows.production import write
from headway.config import find_root
from headway.errors import ConfigError


def test_every_flow_of_every_project_is_in_the_file_with_its_form_and_schedule(root: Path) -> None:
    text = (root / "conf" / "flowers.yaml").read_text()
    (root / "conf" / "flowers.yaml").write_text(f"{text}\nschedule: {{cron: '30 6 * * *', timezone: Europe/Berlin}}\n")
    (root / "conf" / "broken.yaml").write_text("task: [")
    path, count, problems = write(root)
    plan = yaml.safe_load(path.read_text())
    assert len(problems) == 1
    assert "broken.yaml must be YAML" in problems[0]
    flows = [one["entrypoint"] for one in plan["deployments"]]
    assert count == len(flows) == 5
    assert {f"flows/{name}.py:{name}" for name in ("retrain", "effect", "score", "watch", "rollback")} == set(flows)
    here = find_root(Path(__file__).parent)
    assert all((here / one.partition(":")[0]).is_file() for one in flows), "Prefect loads a flow by its file"
    retrain = plan["deployments"][flows.index("flows/retrain.py:retrain")]
    assert retrain["schedules"] == [{"slug": "yaml", "cron": "30 6 * * *", "timezone": "Europe/Berlin"}]
    assert retrain["work_pool"] == {"name": "headway"}
    by_project, _ = deployments(root)
    (own,) = by_project.values()
    assert retrain["name"] == "retrain flowers"
    assert retrain["parameters"] == next(one.parameters for one in own if one.flow_name == "retrain")


def test_without_a_project_nothing_is_written(root: Path) -> None:
    (root / "conf" / "flowers.yaml").unlink()
    with pytest.raises(ConfigError, match="conf/ must hold a project"):
        write(root)
    assert not (root / "prefect.yaml").exists()


def test_the_projects_own_file_is_what_deploy_writes(tmp_path: Path) -> None:
    here = find_root(Path(__file__).parent)
    (tmp_path / "conf").symlink_to(here / "conf")
    path, _, problems = write(tmp_path)
    assert problems == []
    own = here / "prefect.yaml"
    assert yaml.safe_load(own.read_text()) == yaml.safe_load(path.read_text()), (
        "run headway deploy, and commit prefect.yaml"
    )
