"""Values that are kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from headway.errors import DamagedError
from headway.files.records import Record
from headway.tracking.record import Ending, Opening, Tracking


@dataclass(frozen=True)
class Inner(Record):
    low: float | None
    pair: tuple[float, int] = (0.5, 1)


@dataclass(frozen=True)
class Outer(Record):
    kind: Literal["a", "b"]
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: Mapping[str, Inner] = field(default_factory=dict)


VALUE = Outer("a", Inner(1.5), (Inner(None), Inner(2.0, (0.1, 3))), {"x": Inner(-1.0)})


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    VALUE.write(tmp_path / "value.json")
    assert Outer.read(tmp_path / "value.json") == VALUE


def test_keys_of_a_later_version_are_passed_over_and_what_an_earlier_one_lacks_has_its_default() -> None:
    assert Outer.from_json({"kind": "b", "later": 1, "inner": {"low": 2, "more": {}}}) == Outer("b", Inner(2.0))


@pytest.mark.parametrize(
    ("values", "fact"),
    [
        ({}, "kind is missing"),
        ({"kind": "c"}, "kind is 'c'"),
        ({"kind": "a", "inner": {"low": "much"}}, "inner.low is 'much'"),
        ({"kind": "a", "many": [{"low": 1}, {}]}, "many.1.low is missing"),
        ([], "it is '[]'"),
    ],
)
def test_values_of_another_form_are_refused_in_one_line_that_names_the_file_and_the_place(
    values: Any, fact: str
) -> None:
    with pytest.raises(DamagedError) as error:
        Outer.from_json(values, "data/value.json")
    assert str(error.value) == f"data/value.json must be whole, but {fact}; headway doctor finds what else"


def test_a_run_that_ends_again_with_the_clock_set_back_ends_later_and_keeps_when_each_value_was_first_told() -> None:
    opened = Tracking(None, "key", Opening("mlp", {}, "", 4e9), None)
    killed = opened.with_end("KILLED", {"test/auc": 0.9, "timing/train": 1.0}, "its process was killed")
    again = killed.with_end("FINISHED", {"test/auc": 0.9, "timing/train": 2.0}, None)
    first, last = killed.ending, again.ending
    assert isinstance(first, Ending)
    assert isinstance(last, Ending)
    assert 4e9 < first.time < last.time
    assert again.results == {"test/auc": (0.9, first.time), "timing/train": (2.0, last.time)}
    assert Tracking.from_json(again.to_json()) == again
