"""The retrain flow: six verbs in the order of the data, honest states, artifacts that people read."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.logging.loggers import flow_run_logger
from prefect.states import State

from flows import naming, reporting
from flows.deployment import deployment_of
from flows.retrain import outcome, retrain
from headway.errors import ConfigError, DataError, TrainingError
from headway.files.atomic import read_json, write_json
from headway.models import model_configs
from headway.pipeline import stages
from headway.pipeline.incremental import UpToDate
from headway.pipeline.terminal import Terminal
from headway.pipeline.validation import Validation
from headway.project import load_project
from headway.run.directory import RunDirectory
from tests.flows.pretended import Pretended

pytestmark = pytest.mark.usefixtures("prefect_server")


def run(**parameters: Any) -> State[Any]:
    call: Any = retrain
    return call(return_state=True, **{"project": "flowers", **parameters})


def artifacts() -> dict[str, Any]:
    """The newest artifact of each key."""
    with get_client(sync_client=True) as client:
        result = client.read_artifacts(limit=200)
    return {str(one.key): one for one in sorted(result, key=lambda one: str(one.created))}


def test_every_parameter_of_the_form_has_a_sentence_and_its_constraints() -> None:
    properties = retrain.parameters.model_dump()["properties"]
    assert all(field["description"].endswith(".") for field in properties.values())
    assert properties["epochs"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 100_000}
    assert properties["learning_rate"]["anyOf"][0] == {"type": "number", "exclusiveMinimum": 0, "maximum": 1000}
    for name, limit in (("epochs", "100,000"), ("batch_size", "10,000,000"), ("seed", "2,147,483,647")):
        assert limit in properties[name]["description"], "the form itself does not show a range"
    assert properties["model"]["anyOf"][0] == {"type": "string", "enum": sorted(model_configs())}


def test_the_stages_run_in_order_and_the_reason_is_the_states_message(root: Path, pretended: Pretended) -> None:
    state = run()
    order = ["track", "validate", "prepare", "train", "evaluate", "register", "conclude"]
    assert (state.is_completed(), state.name, state.message) == (True, "Promoted", "promoted: the first model")
    assert (pretended.acts, pretended.concluded) == (order, None)
    assert Path(state.result()).parent == root / "data" / "runs"


def test_the_forms_values_are_put_over_the_projects_own(root: Path, pretended: Pretended) -> None:
    path = run(model="boosting", epochs=3, learning_rate=1e-5, settings=["split.test=0.3"]).result()
    project = read_json(Path(path) / "run.json")["project"]
    assert (project["model"]["name"], project["train"]["epochs"]) == ("boosting", 3)
    assert (project["train"]["learning_rate"], project["split"]["test"]) == (1e-5, 0.3)


def test_the_recommended_recipe_stands_over_what_the_form_was_filled_with(root: Path, pretended: Pretended) -> None:
    recipe = {"train": {"batch_size": 512, "learning_rate": 0.004, "precision": "fp32"}}
    (root / "conf" / "flowers.recipe.yaml").write_text(yaml.safe_dump(recipe))
    filled = deployment_of(retrain, load_project("flowers", root)).parameters
    path = run(**{**filled, "recipe": True, "seed": 7}).result()
    train = read_json(Path(path) / "run.json")["project"]["train"]
    assert {name: train[name] for name in recipe["train"]} == recipe["train"]
    assert train["seed"] == 7, "what was typed into the form counts"
    path = run(**{**filled, "batch_size": 64, "recipe": True}).result()
    assert read_json(Path(path) / "run.json")["project"]["train"]["batch_size"] == 64


def test_only_a_person_who_says_so_replaces_a_champion_that_cannot_be_compared(
    root: Path, pretended: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "replace_champion" not in read_json(Path(run().result()) / "run.json")
    assert "replace_champion" not in deployment_of(retrain, load_project("flowers", root)).parameters
    monkeypatch.setattr("flows.retrain.up_to_date", lambda *_: UpToDate("flowers", "3", 0.0, RunDirectory(root)))
    assert read_json(Path(run(replace_champion=True).result()) / "run.json")["replace_champion"] is True
    assert read_json(outcome("flowers", [], replace_champion=True) / "run.json")["replace_champion"] is True


def test_a_schedule_can_adopt_the_recommended_recipe(root: Path) -> None:
    assert deployment_of(retrain, load_project("flowers", root)).parameters["recipe"] is False
    settings = ["schedule={cron: 0 6 * * *, recipe: true}"]
    assert deployment_of(retrain, load_project("flowers", root, settings)).parameters["recipe"] is True


def test_a_value_out_of_range_never_starts(root: Path, pretended: Pretended) -> None:
    state = run(epochs=0)
    assert "greater than or equal to 1" in str(state.message)
    assert (state.is_failed(), pretended.acts) == (True, [])


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        ("validate", DataError("height must be at least 0, but 3 rows are less")),
        ("train", TrainingError("no room")),
    ],
)
def test_a_users_mistake_ends_failed_with_exactly_its_line(
    root: Path, pretended: Pretended, stage: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    pretended.failing[stage] = error
    state = run()
    assert (state.is_failed(), state.message) == (True, str(error))
    assert state.name == ("Refused" if isinstance(error, DataError) else "Failed")
    assert pretended.acts[-2:] == [stage, "conclude"]
    assert pretended.concluded is error
    assert "Traceback" not in caplog.text
    assert "NoneType" not in caplog.text
    with pytest.raises(type(error)):
        outcome("flowers", [])


def test_the_runners_process_logs_no_traceback_of_a_users_mistake(
    root: Path, pretended: Pretended, caplog: pytest.LogCaptureFixture
) -> None:
    """As Prefect's runner starts a flow: it wants the result, which raises the error again."""
    pretended.failing["validate"] = DataError("height must be at least 0, but 3 rows are less")
    with get_client(sync_client=True) as client:
        flow_run = client.create_flow_run(retrain, parameters={"project": "flowers"})
    with pytest.raises(DataError):
        run_flow(retrain, flow_run=flow_run, error_logger=flow_run_logger(flow_run, retrain))  # pyrefly: ignore
    assert "Finished in state Refused('height must be at least 0" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_misspelt_setting_ends_failed_before_anything_is_written(root: Path, pretended: Pretended) -> None:
    state = run(settings=["train.epoch=3"])
    assert state.message == "conf/flowers.yaml: train.epoch: no such setting; did you mean epochs?"
    assert not (root / "data").exists()
    with pytest.raises(ConfigError):
        outcome("flowers", ["train.epoch=3"])


def test_an_interruption_closes_the_run_as_killed(root: Path, pretended: Pretended) -> None:
    pretended.failing["train"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert pretended.acts[-1] == "conclude"
    assert isinstance(pretended.concluded, KeyboardInterrupt)


def test_validation_metrics_and_decision_become_artifacts(root: Path, pretended: Pretended) -> None:
    run()
    results = artifacts()
    assert "accepted" in results["flowers-validation"].data
    assert json.loads(results["flowers-metrics"].data)[0]["95 % interval"] == "0.8000–0.9500"
    assert "promoted: the first model" in results["flowers-decision"].data
    assert "Report: `headway report flowers flowers-2" in results["flowers-decision"].data
    assert results["flowers-training"].data == 100.0


def test_refused_data_is_an_artifact_too(root: Path, pretended: Pretended) -> None:
    pretended.failing["validate"] = DataError("height must be known, but 3 rows are not")
    run()
    text = artifacts()["flowers-validation"].data
    assert "refused" in text
    assert "- height must be known" in text
    assert "## Expectations" not in text, "none was judged"


def test_the_progress_artifact_moves_seldom(root: Path, pretended: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    moves = []
    monkeypatch.setattr(reporting, "update_progress_artifact", lambda **progress: moves.append(progress["progress"]))
    run()
    assert moves == [100.0]


def test_the_terminal_hears_what_the_log_hears(root: Path, pretended: Pretended) -> None:
    stream = io.StringIO()
    with reporting.shown_on(Terminal(stream)):
        run()
    ticks = [line.split()[:2] for line in stream.getvalue().splitlines()]
    assert ticks == [["✓", stage] for stage in ("validate", "prepare", "train", "evaluate", "register")]
    assert "prepare went well" in stream.getvalue()


def test_the_run_directory_names_its_prefect_run(root: Path, pretended: Pretended) -> None:
    report = read_json(Path(run().result()) / "flow.json")
    with get_client(sync_client=True) as client:
        findings = client.read_flow_run(report["flow_run_id"])
    assert findings.name.startswith("flowers · ")
    assert report["url"].endswith(f"/runs/flow-run/{findings.id}")


def test_keys_of_artifacts_are_what_prefect_allows() -> None:
    assert naming.artifact_key("credit_default", "metrics") == "credit-default-metrics"


def test_the_page_of_a_validation_has_every_expectation_the_broken_ones_first(
    root: Path, pretended: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = {
        "column": "height",
        "severity": "stop",
        "observed": None,
        "unexpected_count": 1,
        "unexpected_percent": 1.0,
    }
    holds = {**finding, "name": "a", "passed": True, "examples": [], "sentence": "height must be known"}
    broken = {**finding, "name": "b", "passed": False, "examples": [[7, -1.0]], "sentence": "height must be at least 0"}
    whole = pretended.validate

    def judged(run: RunDirectory, folder: Path, report: Any) -> Validation:
        write_json(run.path / "validation.json", {"expectations": {"passed": False, "results": [holds, broken]}})
        return whole(run, folder, report)

    monkeypatch.setattr(stages, "validate", judged)
    pretended.failing["validate"] = DataError("height must be at least 0, but 1 row is not")
    run()
    lines = str(artifacts()["flowers-validation"].data).splitlines()
    assert lines[-2:] == ["| broken | height must be at least 0 |", "| holds | height must be known |"]


def test_the_time_left_is_there_from_the_beginning_by_an_earlier_run(root: Path, pretended: Pretended) -> None:
    texts: list[str] = []
    pretended.on_stage = lambda: texts.append(str(artifacts()["flowers-progress"].description))
    first = Path(run().result())
    assert "the first run of flowers with this model, so the time left is not known yet" in texts[0]
    write_json(first / "stages.json", {"validate": 1, "prepare": 1, "train": 7, "evaluate": 1, "register": 0})
    texts.clear()
    run(force=True)
    assert [text.split("; ")[0] for text in texts] == [
        f"{stage}, stage {place} of 5"
        for place, stage in enumerate(("validate", "prepare", "train", "evaluate", "register"), 1)
    ]
    assert [text.split("; ")[1].split(",")[0] for text in texts] == [
        f"about {left} s left" for left in (10, 9, 8, 1, 0)
    ]
    assert artifacts()["flowers-progress"].data == 100.0


def test_what_is_up_to_date_is_completed_without_a_stage_unless_forced(
    root: Path, pretended: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = UpToDate("flowers", "3", 0.0, RunDirectory(root))
    monkeypatch.setattr("flows.retrain.up_to_date", lambda *_: result)
    state = run()
    assert (state.is_completed(), state.name, state.message) == (True, "Up to date", result.text)
    assert pretended.acts == []
    assert run(force=True).message != result.text
    assert pretended.acts[-1] == "conclude"
