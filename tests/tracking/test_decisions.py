from __future__ import annotations

import json
import time
from pathlib import Path

from headway import tracking
from headway.cli.overview import project
from headway.files.atomic import write_json
from headway.run.directory import RunDirectory
from headway.tracking import decisions
from headway.tracking.decisions import DecisionRecord, Kind
from tests.support.deciding import decide
from tests.tracking.test_registry import another, registered
from tests.tracking.tracked import PROJECT

MEASURED = {"metric": "auc", "difference": 0.01, "low": -0.002, "high": 0.022}


def tags(root: Path) -> dict[str, str]:
    model = tracking.open_store(root).get_registered_model("loans")
    return {key: value for key, value in model.tags.items() if key.startswith("decision.")}


def test_the_history_tells_every_one_of_ten_decisions_and_no_append_touches_an_earlier_one(
    run: RunDirectory, tmp_path: Path
) -> None:
    versions = [registered(run, tmp_path), *(registered(another(tmp_path), tmp_path) for _ in range(3))]
    steps: list[tuple[Kind, str, str | None, str | None]] = [
        ("first", versions[0], None, versions[0]),
        ("promotion", versions[1], versions[0], versions[1]),
        ("refusal", versions[2], versions[1], versions[1]),
        ("rollback", versions[0], versions[1], versions[0]),
        ("rollback", versions[1], versions[0], versions[1]),
        ("promotion", versions[3], versions[1], versions[3]),
        ("rollback", versions[1], versions[3], versions[1]),
        ("rollback", versions[3], versions[1], versions[3]),
        ("rollback", versions[2], versions[3], versions[2]),
        ("rollback", versions[0], versions[2], versions[0]),
    ]
    start = time.time()
    earlier: dict[str, str] = {}
    for n, (kind, version, _, _) in enumerate(steps):
        if kind == "rollback":
            tracking.rollback(tmp_path, "loans", version, f"why {n}")
        else:
            for _ in range(2):  # the second is a run that goes on after it was killed
                decision = {"promoted": kind != "refusal", "reason": f"why {n}", **MEASURED}
                decide(tmp_path, "loans", version, decision)
        now = tags(tmp_path)
        assert len(now) == n + 1
        assert earlier.items() <= now.items(), "earlier decisions are as they were written"
        earlier = now

    history = tracking.history(tmp_path, "loans")
    assert [(d.kind, d.version, d.before, d.after) for d in history] == steps
    assert [d.why for d in history] == [f"why {n}" for n in range(10)]
    assert [d.number for d in history] == list(range(1, 11))
    assert sorted(earlier) == [
        key for key, _ in sorted(earlier.items(), key=lambda item: json.loads(item[1])["number"])
    ]
    assert all(start - 1 <= d.when <= time.time() and d.who == decisions.current_user() for d in history)
    assert [d.metric for d in history] == ["auc" if step[0] != "rollback" else None for step in steps]
    assert (history[1].difference, history[1].low, history[1].high) == (0.01, -0.002, 0.022)
    runs = {row.version: row.run_id for row in tracking.versions(tmp_path, "loans")}
    assert all(d.run_id == runs[d.version] for d in history)

    description = tracking.open_store(tmp_path).get_registered_model("loans").description
    assert all(f"why {n} |" in description for n in range(10))
    assert "UTC" in description
    first = tracking.open_store(tmp_path).get_model_version("loans", versions[0]).description
    assert [text for text in (f"why {n}" for n in range(10)) if text in first] == [
        "why 0",
        "why 1",
        "why 3",
        "why 4",
        "why 9",
    ]


def test_show_prints_and_gives_as_json_every_decision(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    write_json(tmp_path / "conf" / "loans.yaml", PROJECT)  # JSON is YAML
    first, second = registered(run, tmp_path), registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "the first model"})
    decide(tmp_path, "loans", second, {"promoted": True, "reason": "better"})
    tracking.rollback(tmp_path, "loans", reason="complaints")
    overview = project("loans", tmp_path)
    assert [row["why"] for row in overview.decision_rows()] == ["complaints", "better", "the first model"]
    assert [row["champion"] for row in overview.decision_rows()] == ["2 → 1", "1 → 2", "none → 1"]
    assert "champion: version 1, since" in overview.lines[1]
    plain = json.loads(json.dumps(overview.to_json(), default=str))
    assert [DecisionRecord.from_json(d).kind for d in plain["decisions"]] == ["rollback", "promotion", "first"]
    assert all(d["when"].endswith("Z") for d in plain["decisions"])


def test_a_gate_that_goes_on_after_a_rollback_does_not_undo_it(run: RunDirectory, tmp_path: Path) -> None:
    first, second = registered(run, tmp_path), registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    decide(tmp_path, "loans", second, {"promoted": True, "reason": "better"})
    tracking.rollback(tmp_path, "loans", reason="complaints")
    decide(tmp_path, "loans", second, {"promoted": True, "reason": "better"})
    assert tracking.version_of(tmp_path, "loans").version == first
    assert len(tracking.history(tmp_path, "loans")) == 3


def test_an_alias_that_was_moved_in_mlflow_is_noted_with_the_next_decision(run: RunDirectory, tmp_path: Path) -> None:
    first, second = registered(run, tmp_path), registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "first"})
    tracking.open_store(tmp_path).set_registered_model_alias("loans", "champion", second)
    tracking.rollback(tmp_path, "loans", first, "by mistake")
    kinds = [(d.kind, d.before, d.after) for d in tracking.history(tmp_path, "loans")]
    assert kinds == [("first", None, first), ("outside", first, second), ("rollback", second, first)]


def test_what_people_wrote_into_the_description_stays_above_the_decisions(run: RunDirectory, tmp_path: Path) -> None:
    first = registered(run, tmp_path)
    client = tracking.open_store(tmp_path)
    client.update_registered_model("loans", "Ask Anna before you change this.")
    decide(tmp_path, "loans", first, {"promoted": True, "reason": "a | b"})
    second = str(client.create_model_version("loans", client.get_model_version("loans", first).source).version)
    for n in range(14):
        tracking.rollback(tmp_path, "loans", (second, first)[n % 2], f"{n}" + '"' * 6000)
    description = client.get_registered_model("loans").description
    assert description.startswith("Ask Anna before you change this.\n\n## Decisions")
    assert len(description) <= 5000
    client.set_registered_model_tag("loans", "decision.00001.edited", "spoilt by hand in MLflow's page")
    client.update_registered_model("loans", "y" * 4800)
    tracking.rollback(tmp_path, "loans", second)
    assert client.get_registered_model("loans").description == "y" * 4800, "people's own text is never cut"
    assert "earlier: `headway show loans --all`" in description
    assert len(tracking.history(tmp_path, "loans")) == 16
    assert all(len(value) <= 5000 for value in tags(tmp_path).values())


def test_a_model_from_before_the_history_has_one_first_champion(run: RunDirectory, tmp_path: Path) -> None:
    client = tracking.open_store(tmp_path)
    first, second = registered(run, tmp_path), registered(another(tmp_path), tmp_path)
    for version, decision, reason in ((first, "promoted", "AUC .8; better"), (second, "not promoted", "AUC .7; worse")):
        client.set_model_version_tag("loans", version, "decision", decision)
        client.set_model_version_tag("loans", version, "reason", f"{decision}: {reason}")
    assert [(d.kind, d.before, d.after, d.why) for d in tracking.history(tmp_path, "loans")] == [
        ("first", None, first, "AUC .8; better"),
        ("refusal", first, first, "AUC .7; worse"),
    ]


def test_a_model_from_before_the_history_keeps_what_its_versions_tell(run: RunDirectory, tmp_path: Path) -> None:
    first, second = registered(run, tmp_path), registered(another(tmp_path), tmp_path)
    client = tracking.open_store(tmp_path)
    for version, decision, reason in (
        (first, "restored", "restored in place of version 2: complaints"),
        (second, "rolled back", "rolled back to version 1: complaints"),
    ):
        client.set_model_version_tag("loans", version, "decision", decision)
        client.set_model_version_tag("loans", version, "reason", reason)
    client.set_registered_model_alias("loans", "champion", first)
    client.set_registered_model_alias("loans", "previous", second)
    assert [(d.kind, d.before, d.after, d.why) for d in tracking.history(tmp_path, "loans")] == [
        ("rollback", second, first, "complaints")
    ]
    third = registered(another(tmp_path), tmp_path)
    decide(tmp_path, "loans", third, {"promoted": True, "reason": "better"})
    assert [(d.number, d.kind, d.before, d.after) for d in tracking.history(tmp_path, "loans")] == [
        (1, "rollback", second, first),
        (2, "promotion", first, third),
    ]
