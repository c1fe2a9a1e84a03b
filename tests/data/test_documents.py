"""Documents as rows of a table: files of text or a column of one, divided, looked at, nothing lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headway.data import texts as data_texts
from headway.data.config import SPLITS
from headway.data.documents import Documents
from headway.errors import ConfigError, DataError
from headway.pipeline.runs import documents_of, table_of
from headway.pipeline.validation import Examination, examine
from headway.project import Project, load_project
from headway.run.report import Silent


def project_of(data: Mapping[str, Any], **sections: Mapping[str, Any]) -> Project:
    values = {"name": "x", "task": "language", "data": data, "split": {"test": 0.2, "validation": 0.2}, **sections}
    return Project.parse(values, "x")


def documents(root: Path, data: Mapping[str, Any], **sections: Mapping[str, Any]) -> Documents:
    project = project_of(data, **sections)
    return documents_of(project, table_of(project, root))


def examined(root: Path, **sections: Mapping[str, Any]) -> Examination:
    project = project_of({"source": "texts"}, **sections)
    return examine(project, table_of(project, root), Silent())


def texts(root: Path, count: int = 60) -> Path:
    folder = root / "texts"
    folder.mkdir()
    for n in range(count):
        (folder / f"{n:03}.txt").write_text(f"document {n} " * 20)
    return folder


def texts_of(documents_read: Documents) -> dict[str, str]:
    return {document.text: split for split, document in documents_read.parts()}


def test_good_documents_pass(tmp_path: Path) -> None:
    texts(tmp_path)
    report = examined(tmp_path)
    assert (report.failures, report.warnings) == ([], [])
    assert report.summary == "60 documents, 0.0 MB of text"
    assert report.validation.bytes == sum(len(f"document {n} " * 20) for n in range(60))


def test_great_expectations_judges_the_length_of_documents(tmp_path: Path) -> None:
    texts(tmp_path)
    rule = {"expect": "column_value_lengths_to_be_between", "column": "text", "min_value": 230}
    reports = examined(tmp_path, validation={"expectations": [rule]})
    assert len(reports.failures) == 1
    assert "text" in reports.failures[0]
    held_to = examined(tmp_path, validation={"expectations": [{**rule, "min_value": 10}]})
    assert held_to.summary.endswith("its expectation holds")


def test_copies_within_a_part_and_between_training_and_test_are_told(tmp_path: Path) -> None:
    folder = texts(tmp_path)
    for n in range(60):
        (folder / f"copy{n}.txt").write_text((folder / f"{n:03}.txt").read_text())
    statement = examined(tmp_path, validation={"max_overlap": 1.0})
    assert statement.failures == []
    copies, shared = statement.warnings
    assert copies.startswith("documents should differ, but ")
    assert "(" in shared
    failed = examined(tmp_path, validation={"max_overlap": 0.0})
    assert failed.failures == [shared]
    assert shared in failed.page()


def test_characters_that_only_the_test_holds_are_told(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("abcd " * 180 + "abc\u00e9 " * 20)
    split = {"by": "position", "test": 0.1, "validation": 0.2}
    (warning,) = examined(tmp_path, split=split, prepare={"tokens": {"tokenizer": "characters"}}).warnings
    assert warning.startswith("test characters should occur in training, but 20.0% do not, for example '\u00e9'")
    assert examined(tmp_path, split=split).warnings == []


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"caf\xe9", "bad.txt must be UTF-8 text, but byte 3 is not"),
        (b"a\0b", "bad.txt must be UTF-8 text, but byte 1 is zero, as in a binary file; move it elsewhere, or name"),
        (b"too long " * 200, "bad.txt must be at most 1 GiB of text, but is longer; divide it into several files"),
    ],
)
def test_a_file_that_is_no_text_among_good_ones_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, line: str
) -> None:
    monkeypatch.setattr(data_texts, "MOST_BYTES", 1000)
    (texts(tmp_path) / "bad.txt").write_bytes(content)
    with pytest.raises(DataError, match=line):
        examined(tmp_path)


def test_documents_that_hold_nothing_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = texts(tmp_path)
    (folder / "empty.txt").write_text("")
    (folder / "blank.txt").write_text(" \n")
    report = examined(tmp_path)
    assert report.failures == []
    assert report.warnings == ["documents should hold text, but 2 hold none and are left out"]
    assert len(texts_of(documents(tmp_path, {"source": "texts"}))) == 60


def test_a_column_of_nothing_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"text": [None] * 9, "n": range(9)}).astype({"text": "string"}).to_parquet(tmp_path / "texts.parquet")
    project = project_of({"source": "texts.parquet", "ignore": {"n": "a number"}})
    report = examine(project, table_of(project, tmp_path), Silent())
    assert report.failures == ["text must hold values, but is missing in every row; move it to data.ignore"]


def test_documents_stay_whole_and_in_their_part_when_others_come(tmp_path: Path) -> None:
    path = texts(tmp_path)
    before = texts_of(documents(tmp_path, {"source": "texts"}))
    assert set(before.values()) == set(SPLITS)
    (path / "new.txt").write_text("more")
    after = texts_of(documents(tmp_path, {"source": "texts"}))
    assert {text: after[text] for text in before} == before


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_a_column_of_a_table_holds_documents_as_files_do(tmp_path: Path, form: str) -> None:
    texts(tmp_path)
    frame = pd.DataFrame(
        {"page": [f"{n:03}.txt" for n in range(60)], "body": [f"document {n} " * 20 for n in range(60)]}
    )
    path = tmp_path / f"pages.{form}"
    if form == "parquet":
        frame.to_parquet(path)
    elif form == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    documents_read = documents(tmp_path, {"source": path.name, "features": {"body": "text"}, "keys": ["page"]})
    files = documents(tmp_path, {"source": "texts"})
    assert texts_of(documents_read) == texts_of(files)
    assert [document.name for _, document in documents_read.each()] == [document.name for _, document in files.each()]


def test_a_glob_a_file_and_an_address_name_documents_alike(tmp_path: Path) -> None:
    texts(tmp_path)
    sources = ["texts", "texts/*.txt", (tmp_path / "texts").as_uri()]
    names = [[document.name for _, document in documents(tmp_path, {"source": s}).each()] for s in sources]
    assert names[0] == names[1] == names[2]
    assert names[0][0] == "000.txt"
    digests = {table_of(project_of({"source": s}), tmp_path).digest for s in sources[:2]}
    assert len(digests) == 1


def test_a_renamed_folder_of_documents_is_other_data(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for place in ("a", "b"):
        (tmp_path / "texts" / place).mkdir()
        (tmp_path / "texts" / place / "one.txt").write_text(place)
    before = table_of(project_of({"source": "texts"}), tmp_path).digest
    (tmp_path / "texts" / "b").rename(tmp_path / "texts" / "c")
    assert table_of(project_of({"source": "texts"}), tmp_path).digest != before


def test_by_position_the_end_is_the_test(tmp_path: Path) -> None:
    whole = "".join(chr(97 + i % 26) for i in range(1000))
    (tmp_path / "x.txt").write_text(whole)
    split = {"by": "position", "test": 0.1, "validation": 0.1}
    parts = {part: d.text for part, d in documents(tmp_path, {"source": "x.txt"}, split=split).parts()}
    assert [len(parts[s]) for s in SPLITS] == [810, 90, 100]
    assert parts["train"] + parts["validation"] + parts["test"] == whole


def test_so_many_bytes_are_read(tmp_path: Path) -> None:
    texts(tmp_path)
    documents_read = list(documents(tmp_path, {"source": "texts", "max_bytes": 10_001}).each())
    assert sum(len(document.text.encode()) for _, document in documents_read) == 10_001


def test_a_missing_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data.source must be a file, a folder or a glob, but there is no nowhere"):
        documents(tmp_path, {"source": "nowhere"})


def test_a_project_of_the_earlier_form_is_the_same_and_says_the_new_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "x.yaml").write_text(
        "task: language\ndata: {source: texts, tokenizer: characters, split: documents, test: 0.3, max_overlap: 0.1}\n"
    )
    (tmp_path / "conf" / "y.yaml").write_text(
        "task: language\ndata: {source: texts}\nsplit: {by: random, test: 0.3}\nprepare: {tokens: {tokenizer: characters}}\n"
        "validation: {max_overlap: 0.1}\n"
    )
    with caplog.at_level(logging.WARNING):
        earlier = load_project("x", tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        "conf/x.yaml: data.tokenizer is called prepare.tokens.tokenizer now",
        "conf/x.yaml: data.split is called split.by now, and documents is random",
        "conf/x.yaml: data.test is called split.test now",
        "conf/x.yaml: data.max_overlap is called validation.max_overlap now",
    ]
    caplog.clear()
    assert load_project("y", tmp_path).model_copy(update={"name": "x"}) == earlier
    assert not caplog.records


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"data": {"source": "t", "target": "y"}}, "data.target must be left out for language, but is y"),
        (
            {"data": {"source": "t", "features": {"n": "numeric"}}},
            "must be one column of kind text for language, but is n as numeric",
        ),
        ({"data": {"source": "t", "features": {"a": "text", "b": "text"}}}, "but is a as text, b as text"),
        ({"model": {"name": "mlp"}}, "model must be gpt for language, but is mlp"),
        ({"prepare": {"bins": 3}}, "prepare.bins must be left out for language, but is 3: it has no effect"),
        ({"evaluate": {"slices": ["a"]}}, "evaluate.slices and evaluate.reference must be left out for language"),
        (
            {"evaluate": {"baselines": ["linear"]}},
            "evaluate.baselines must be of unigram, ngram for language, but one is linear",
        ),
        ({"gate": {"metric": "auc"}}, "gate.metric must be bits_per_byte for language, but is auc"),
        (
            {"task": "regression", "data": {"source": "t", "target": ["y", "z"], "features": {"a": "numeric"}}},
            "data: target must be one column, but is y, z; predict each in a project of its own",
        ),
        (
            {
                "task": "regression",
                "data": {"source": "t", "target": "y", "features": {"a": "numeric"}},
                "model": {"name": "mlp", "text": "tokens"},
            },
            "data.features must have a column of type text, because mlp is set to use tokens, but it has none",
        ),
        ({"task": "regression"}, "data.target must name the column to predict for regression, but is missing"),
        (
            {
                "task": "regression",
                "data": {"source": "t", "target": "y", "features": {"a": "numeric"}},
                "model": {"name": "gpt"},
            },
            "for regression, but is gpt",
        ),
        (
            {"task": "regression", "data": {"source": "t", "target": "y", "features": {}}},
            "data.features must name at least one column to learn from, but is empty",
        ),
    ],
)
def test_what_a_task_cannot_have_is_one_line(sections: dict[str, Any], line: str) -> None:
    values = {"name": "x", "task": "language", "data": {"source": "t"}, **sections}
    with pytest.raises(ConfigError) as problem:
        Project.parse(values, "x")
    assert line in str(problem.value)
    assert "\n" not in str(problem.value)
