"""What a user can get wrong in a project's YAML, and the one line that each mistake earns."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.config import find_root, read_yaml
from headway.errors import ConfigError
from headway.files.atomic import write_atomically
from headway.project import load_project

GOOD = """
task: classification
data: {source: rows.csv, target: y, features: {a: numeric, b: categorical}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "good.yaml").write_text(GOOD)
    return tmp_path


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("model.widht=3", "conf/good.yaml: model.widht: no such setting; did you mean width?"),
        ("train.epochs=0", "conf/good.yaml: train.epochs must be at least 1, but is 0"),
        ("train.epochs=many", "conf/good.yaml: train.epochs must be a whole number, but is 'many'"),
        ("train.epochs=1.5", "conf/good.yaml: train.epochs must be a whole number, but is 1.5"),
        ("model.dropout=1", "conf/good.yaml: model.dropout must be less than 1, but is 1"),
        ("trian.epochs=3", "conf/good.yaml: trian: no such setting; did you mean train?"),
        (
            "data.features.a=number",
            "conf/good.yaml: data.features.a must be one of 'numeric', 'categorical', 'date' or 'text'",
        ),
        (
            "model.name=mpl",
            "conf/good.yaml: model.name must be one of 'bag', 'boosting', 'encoder', 'ensemble', 'gpt', 'linear', 'mlp', 'tabm', "
            "but is 'mpl'",
        ),
        ("task=clustering", "conf/good.yaml: task must be one of 'classification', 'language' or 'regression'"),
        ("data.source=null", "conf/good.yaml: data: exactly one of dataset and source must be given"),
        ("data.target=a", "conf/good.yaml: data: the target a must not be among the features"),
        ("train.loss=mse", "conf/good.yaml: train.loss must suit classification, but is mse"),
        (
            "model=gpt",
            "conf/good.yaml: model must be bag, boosting, encoder, ensemble, linear, mlp or tabm for classification, but is gpt",
        ),
        ("evaluate.reference=a", "conf/good.yaml: evaluate.reference must not be a feature, but a is one"),
        ("split.by=time", "conf/good.yaml: split: column must be given when rows are split by time"),
        ("train.class_weights={a: x}", "conf/good.yaml: train.class_weights.a must be a number, but is 'x'"),
        ("train.class_weights={a: -1}", "conf/good.yaml: train.class_weights.a must be more than 0, but is -1"),
        ("train.class_weights={a: .inf}", "conf/good.yaml: train.class_weights.a must be a finite number, but is inf"),
        (
            "train.class_weights=heavy",
            "conf/good.yaml: train.class_weights must be a mapping of names to values, 'none' or 'balanced', but is 'heavy'",
        ),
        ("train.cuda_graphs=maybe", "conf/good.yaml: train.cuda_graphs must be true, false or 'auto', but is 'maybe'"),
        ("train.batch_size=[1]", "conf/good.yaml: train.batch_size must be a whole number or 'auto', but is [1]"),
        ("model={name: mlp, width: a}", "conf/good.yaml: model.width must be a whole number, but is 'a'"),
        ("data.keys=[1]", "conf/good.yaml: data.keys[0] must be text, but is 1; write it in quotes: '1'"),
        (
            "data.features={2024: numeric}",
            "conf/good.yaml: data.features must have texts as names, but one is 2024; write it in quotes: '2024'",
        ),
        ("data.csv.delimiter=''", "conf/good.yaml: data.csv.delimiter must be a text that is not empty, but is ''"),
        ("train", "--set must be section.field=value, but is 'train'"),
        ("train.epochs={", "--set train.epochs: the value must be YAML, but is '{'"),
        ("task.x=1", "--set task.x: task must be a section, but is 'classification'"),
    ],
)
def test_each_mistake_is_one_line_with_the_rule_and_the_fact(root: Path, setting: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_project("good", root, [setting])
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("task: [", "must be YAML, but at line 2"),
        ("just words", "must hold a mapping of settings, but it holds str"),
        ("", "must hold a mapping of settings, but it holds NoneType"),
        ("task: classification", "data must be given, but is missing"),
    ],
)
def test_a_file_that_is_no_project_is_refused(root: Path, text: str, line: str) -> None:
    (root / "conf" / "bad.yaml").write_text(text + "\n")
    with pytest.raises(ConfigError, match=line):
        load_project("bad", root)


def test_an_unknown_project_suggests_the_one_meant(root: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"conf/goood.yaml must exist, but there is no such project; did you mean good\?"
    ):
        load_project("goood", root)


def test_a_projects_name_is_its_files_so_that_no_two_share_a_model(root: Path, tmp_path: Path) -> None:
    (root / "conf" / "other.yaml").write_text(f"name: good\n{GOOD}")
    with pytest.raises(ConfigError) as error:
        load_project("other", root)
    assert str(error.value) == "conf/other.yaml: name must be the file's, other, but is 'good'; leave it out"
    with pytest.raises(ConfigError, match="name must be the file's, good, but is 'other'"):
        load_project("good", root, ["name=other"])
    (root / "conf" / "good.yaml").write_text(f"name: good\n{GOOD}")
    assert load_project(str(root / "conf" / "good.yaml"), root).name == "good"
    (tmp_path / "elsewhere").mkdir()
    for twin in (tmp_path / "elsewhere" / "good.yaml", root / "conf" / "good.yml"):
        twin.write_text(GOOD)
        with pytest.raises(
            ConfigError, match=r"a project must be a file conf/NAME.yaml of its folder, but is .*good.y"
        ):
            load_project(str(twin), root)


def test_a_file_that_is_not_utf8_is_refused(root: Path) -> None:
    (root / "conf" / "latin.yaml").write_bytes(b"description: caf\xe9\n")
    with pytest.raises(ConfigError, match="must be UTF-8 text, but byte 16 is not"):
        read_yaml(root / "conf" / "latin.yaml")


def test_settings_lie_over_the_file_and_another_model_starts_from_its_defaults(root: Path) -> None:
    (root / "conf" / "good.yaml").write_text(GOOD + "model: {name: mlp, width: 7}\n")
    assert load_project("good", root, ["model.depth=1"]).model.model_dump()["width"] == 7
    boosted = load_project("good", root, {"model.name": "boosting", "model.trees": 5})
    assert boosted.model.model_dump()["trees"] == 5


def test_the_root_is_found_from_a_folder_inside_and_missed_with_one_line(root: Path, tmp_path: Path) -> None:
    (root / "data" / "deep").mkdir(parents=True)
    assert find_root(root / "data" / "deep") == root.resolve()
    with pytest.raises(ConfigError, match="a project folder must contain conf/"):
        find_root(Path("/"))


def test_an_interrupted_write_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    write_atomically(path, "old")

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_yes_and_no_are_texts_and_also_true_and_false_where_a_setting_is(
    root: Path,
) -> None:
    text = (
        "task: classification\ndata: {source: x.csv, target: y, positive: Yes, features: {on: numeric, No: text}, csv: {strip: yes}}\n"
        "train: {class_weights: {Yes: 2, no: 1, True: 3, 5.0: 4}, nesterov: no}\n"
        "validation: {expectations: [{expect: column_values_to_be_in_set, column: y, value_set: [Yes, off]}]}\n"
    )
    (root / "conf" / "words.yaml").write_text(text)
    project = load_project("words", root)
    assert (project.data.positive, list(project.data.features)) == ("Yes", ["on", "No"])
    assert (project.data.csv.strip, project.train.nesterov) == (True, False)
    assert project.train.class_weights == {"Yes": 2, "no": 1, "true": 3, "5": 4}
    assert project.validation.expectations[0].model_extra == {"value_set": ["Yes", "off"]}
    assert load_project("words", root, ["data.positive=1.0"]).data.positive == "1"
