"""What `headway init` makes of a table."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.columns import Kind
from headway.columns.category import ordered
from headway.columns.number import widened
from headway.data.opening import open_table
from headway.draft.drafting import draft
from headway.draft.layout import Choices
from headway.draft.model import propose_model
from headway.draft.plan import Plan
from headway.errors import ConfigError, DataError, HeadwayError
from headway.pipeline import stages
from headway.project import load_project
from headway.quality.judge import judge
from headway.run.report import Silent

DATASETS = Path(os.environ.get("HEADWAY_DATASETS", "/nowhere"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    return tmp_path


def _frame(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "customer_id": np.arange(n) + 1000,
            "age": rng.integers(18, 90, n),
            "income": rng.normal(100, 20, n).round(2),
            "plan": rng.choice(["basic: 1", "pro", "Überall"], n),
            "rooms": rng.integers(1, 5, n),
            "member": rng.choice([True, False], n),
            "since": pd.date_range("2020-01-01", periods=n).strftime("%Y-%m-%d"),
            "note": [f"the customer said {i} things and {i % 7} more" for i in range(n)],
            "nothing": [None] * n,
            "same": ["x"] * n,
            "churned": rng.choice(["yes", "no"], n, p=[0.7, 0.3]),
        }
    )


def _write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        with pa.ipc.new_file(str(path), table.schema) as file:
            file.write_table(table)
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl", "arrow"])
def test_a_draft_of_each_format_loads_and_has_the_roles_that_a_person_would_give(root: Path, ending: str) -> None:
    _write(_frame(), root / f"customers.{ending}")
    result = draft(f"customers.{ending}", "churned", None, root)
    project = load_project("customers", root)
    assert result.path == root / "conf" / "customers.yaml"
    assert (project.task, project.data.positive, project.data.keys) == ("classification", "yes", ("customer_id",))
    assert project.data.source == f"customers.{ending}"
    assert project.data.features == {
        "age": "numeric",
        "income": "numeric",
        "plan": "categorical",
        "rooms": "numeric",
        "member": "categorical",
        "since": "date",
        "note": "text",
    }
    assert project.data.ignore == {"nothing": "missing in every row", "same": "always x"}
    assert "# by: time" in result.text
    for column in _frame().columns.drop("churned"):
        assert sum(line.startswith(f"{column}: ") for line in result.decisions) == 1


def test_the_drafted_expectations_hold_on_the_rows_they_were_drafted_from(root: Path) -> None:
    """Also on numbers so small that a bound is 2e-07, and so large that it is 2e+19."""
    frame = _frame()
    frame["tiny"], frame["huge"] = frame.income / frame.income.max() * 8e-6 + 1e-6, frame.income * 1e17
    _write(frame, root / "customers.csv")
    draft("customers.csv", "churned", None, root)
    project = load_project("customers", root)
    verdict = judge(project.validation.expectations, open_table(project.data, project.task, root))
    assert verdict.results
    assert not verdict.failures


@pytest.mark.skipif(not DATASETS.exists(), reason="the data sets are not here")
def test_the_counts_that_add_up_to_the_rentals_are_left_out(root: Path) -> None:
    result = draft(str(DATASETS / "bike_sharing" / "hour.csv"), "cnt", "bikes", root)
    data = load_project("bikes", root).data
    assert set(data.ignore) == {"casual", "registered"}
    assert data.keys == ("instant",)
    assert any("casual + registered = cnt" in line for line in result.decisions)


@pytest.mark.skipif(not DATASETS.exists(), reason="the data sets are not here")
def test_defaults_on_credit_are_the_event_and_grades_are_numbers(root: Path) -> None:
    draft(str(DATASETS / "credit_default_uci" / "UCI_Credit_Card.csv"), "Y", "credit", root)
    data = load_project("credit", root).data
    assert (data.positive, data.keys) == ("1", ("ID",))
    assert [data.features[f"X{i}"] for i in (1, 2, 3, 4, 5)] == ["numeric", "categorical", *["numeric"] * 3]


def test_a_column_that_tells_the_target_is_left_out_with_the_reason(root: Path) -> None:
    frame = _frame()
    frame["reason"] = np.where(frame.churned == "yes", "left", "stayed")
    _write(frame, root / "customers.csv")
    draft("customers.csv", "churned", None, root)
    assert (
        load_project("customers", root).data.ignore["reason"]
        == "leak: each of its values stands for one class of churned"
    )


def test_without_a_telling_name_the_rarer_class_is_the_event(root: Path) -> None:
    _write(_frame().assign(churned=["red", *["blue"] * 3] * 100), root / "customers.csv")
    draft("customers.csv", "churned", None, root)
    assert load_project("customers", root).data.positive == "red"


def test_dates_that_only_one_order_explains_get_their_format_and_others_are_left_out(root: Path) -> None:
    frame = _frame().assign(since=pd.date_range("2020-01-01", periods=400).strftime("%d/%m/%Y"))
    _write(frame, root / "customers.csv")
    draft("customers.csv", "churned", None, root)
    assert load_project("customers", root).data.date_format == "%d/%m/%Y"
    _write(frame.assign(since=["03/04/2024", "05/06/2024"] * 200), root / "others.csv")
    draft("others.csv", "churned", None, root)
    assert "state data.date_format" in load_project("others", root).data.ignore["since"]


def test_the_zone_that_a_file_has_for_its_moments_says_their_hours(root: Path) -> None:
    moments = pd.Series(pd.date_range("2024-01-01", periods=400, freq="h"))
    frame = _frame().drop(columns="since").assign(seen=moments.dt.tz_localize("Europe/Berlin", ambiguous=False))
    frame.to_parquet(root / "visits.parquet")
    draft("visits.parquet", "churned", None, root)
    project = load_project("visits", root)
    assert project.prepare.dates.of("seen").zone == "Europe/Berlin"
    text = frame.assign(seen=moments.dt.strftime("%Y-%m-%dT%H:%M:%S+02:00"))
    text.to_csv(root / "texts.csv", index=False)
    decisions = draft("texts.csv", "churned", None, root).decisions
    assert [line for line in decisions if line.startswith("seen: date") and "state prepare.dates.zone" in line]
    assert load_project("texts", root).prepare.dates.of("seen").zone == "UTC"
    with pytest.raises(
        ConfigError, match=r"prepare\.dates\.columns must name .* dates, but sen is none; did you mean seen"
    ):
        load_project("texts", root, ["prepare.dates.columns={sen: {zone: UTC}}"])


@pytest.mark.parametrize("numbers", [0, 1])
def test_a_table_of_texts_alone_gets_the_linear_model_of_their_words(root: Path, numbers: int) -> None:
    rng = np.random.default_rng(0)
    notes = [f"please {rng.choice(['cancel', 'renew'])} my order number {i} now" for i in range(200)]
    frame = pd.DataFrame({"note": notes, "intent": [note.split()[1] for note in notes]})
    if numbers:
        frame["amount"] = rng.normal(size=200).round(3)
    draft(str(_write(frame, root / "orders.csv")), "intent", "orders", root)
    project = load_project("orders", root)
    assert project.data.features["note"] == "text"
    assert project.model.name == ("ensemble" if numbers else "linear")
    assert project.evaluate.baselines == (("trivial", "linear", "boosting") if numbers else ("trivial",))


@pytest.mark.parametrize(("classes", "model"), [(3, "ensemble"), (50, "ensemble"), (51, "mlp")])
def test_a_table_gets_trees_and_a_linear_model_unless_it_has_very_many_classes(
    root: Path, classes: int, model: str
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"amount": rng.normal(size=600).round(3), "kind": rng.choice(["x", "y"], 600)})
    frame["label"] = [f"c{number % classes}" for number in range(600)]
    result = draft(str(_write(frame, root / "goods.csv")), "label", "goods", root)
    assert load_project("goods", root).model.name == model
    assert [line.split(",")[0] for line in result.decisions if line.startswith("model")] == [f"model: {model}"]


def test_another_model_is_one_setting_of_init_away(root: Path) -> None:
    choices = Choices(settings=("model=tabm",))
    result = draft(str(_write(_frame(), root / "customers.csv")), "churned", None, root, choices)
    assert load_project("customers", root).model.name == "tabm"
    assert "ensemble" not in result.text + " ".join(result.decisions)


def test_many_classes_get_a_model_whose_time_does_not_grow_with_them_and_that_reads_a_text_well() -> None:
    kinds: dict[str, Kind] = {"x": "numeric", "note": "text"}
    for classes, columns, model in ((12, kinds, "ensemble"), (77, kinds, "linear"), (77, {"x": kinds["x"]}, "mlp")):
        plan = Plan("n", "rows.csv", "y", "classification", features=dict(columns))
        propose_model(plan, classes)
        assert plan.model == model


def test_semicolons_are_noticed(root: Path) -> None:
    _frame().to_csv(root / "customers.csv", index=False, sep=";")
    draft("customers.csv", "churned", None, root)
    assert load_project("customers", root).data.csv.delimiter == ";"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("churnd", "did you mean churned?"),
        ("churned,same", "--target must be one column, but is 2: churned,same; draft a project for each"),
        ("same", "the target must vary, but same is x in every row"),
        ("nothing", "missing in every row"),
        ("note", "note has 400 different texts in 400 rows"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused_in_one_line(root: Path, target: str, reason: str) -> None:
    _write(_frame(), root / "customers.csv")
    with pytest.raises(HeadwayError) as error:
        draft("customers.csv", target, None, root)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)
    assert not list((root / "conf").iterdir())


def test_an_existing_project_is_never_overwritten(root: Path) -> None:
    _write(_frame(), root / "customers.csv")
    (root / "conf" / "customers.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="must not exist yet"):
        draft("customers.csv", "churned", None, root)
    assert (root / "conf" / "customers.yaml").read_text() == "mine"


def test_nothing_to_learn_from_is_said(root: Path) -> None:
    _write(_frame()[["customer_id", "same", "churned"]], root / "customers.csv")
    with pytest.raises(DataError, match="every other one is left out"):
        draft("customers.csv", "churned", None, root)


def test_bounds_are_wider_and_round() -> None:
    assert widened(17, 90) == (9, 98)
    assert widened(0, 1) == (0, 1.1)
    assert ordered(["10", "2", "-1", "b", "a"]) == ["-1", "2", "10", "a", "b"]


def test_a_table_that_repeats_itself_gets_a_project_that_runs_and_is_told_so(root: Path, datasets: Path) -> None:
    rows = (datasets / "sms_spam" / "SMSSpamCollection").read_text(encoding="utf-8")
    (root / "spam.tsv").write_text("label\ttext\n" + rows, encoding="utf-8")
    result = draft("spam.tsv", "label", None, root)
    assert any("rows occur more than once" in decision for decision in result.decisions)
    assert stages.check("spam", root, [], Silent()).passed is True
