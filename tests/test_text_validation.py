"""What is found in documents before anything is trained on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.data.text import open_text
from headway.errors import DataError
from headway.pipeline.text_validation import examine, rules
from headway.pipeline.validation import Validation
from headway.text_project import TextProject


def found(root: Path, **data: object) -> Validation:
    settings = {"source": "texts", "test": 0.2, "validation": 0.2, **data}
    project = TextProject.parse({"name": "x", "task": "language", "data": settings}, "x")
    return examine(project, open_text(project.data, root))


def texts(root: Path, count: int = 60) -> Path:
    folder = root / "texts"
    folder.mkdir()
    for n in range(count):
        (folder / f"{n:03}.txt").write_text(f"document {n} " * 20)
    return folder


def test_good_documents_pass(tmp_path: Path) -> None:
    texts(tmp_path)
    told = found(tmp_path)
    assert told.passed
    assert told.warnings == ()
    assert told.summary.startswith("60 documents, ")
    assert [rule["passed"] for rule in rules(told)] == [True]


def test_copies_within_a_part_and_between_training_and_test_are_told(tmp_path: Path) -> None:
    folder = texts(tmp_path)
    for n in range(60):
        (folder / f"copy{n}.txt").write_text((folder / f"{n:03}.txt").read_text())
    told = found(tmp_path, max_overlap=1.0)
    assert told.passed
    copies, shared = told.warnings
    assert copies.startswith("documents should differ, but ")
    assert "(" in shared
    failed = found(tmp_path, max_overlap=0.0)
    assert not failed.passed
    assert failed.failures == (shared,)


def test_characters_that_only_the_test_holds_are_told(tmp_path: Path) -> None:
    text = "abcd " * 180 + "abc\u00e9 " * 20
    (tmp_path / "texts").write_text(text)
    (warning,) = found(tmp_path, split="position", tokenizer="characters", test=0.1).warnings
    assert warning.startswith("test characters should occur in training, but 20.0% do not, for example '\u00e9'")
    assert found(tmp_path, split="position", tokenizer="bpe", test=0.1).warnings == ()


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (texts(tmp_path) / "bad.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"bad.txt must be UTF-8 text, but byte 3 is not"):
        found(tmp_path)
