"""Verdicts from streamed metrics against Great Expectations' own pandas engine."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from headway.data.chunks import Chunk
from headway.data.config import Expectation
from headway.errors import ConfigError, DataError
from headway.quality import ruling
from headway.quality.judge import Judgement, _Judge, check, judge
from headway.quality.page import Entry, page
from headway.run.report import Silent, tell


@dataclass
class Rows:
    """A table in memory, handed out a few rows at a time."""

    table: pa.Table

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.table.column_names)

    def count(self) -> int:
        return self.table.num_rows

    def chunks(self, columns: Sequence[str] | None = None, rows: int = 7) -> Iterator[Chunk]:
        start = 0
        for batch in self.table.select(list(columns or self.columns)).to_batches(max_chunksize=min(rows, 7)):
            yield Chunk(0, start, batch)
            start += batch.num_rows


FRAME = pd.DataFrame(
    {
        "a": [1.0, 2, 3, 4, 5, 6, 7, 8, 9, np.nan, 2, 30, -4, 5.5, 2, 11, 12.25, 13, 14, 15],
        "b": [0.0, 2, 5, 3, 5, 6, 1, 8, np.nan, np.nan, 2, 3, 4, 5, 1, 1, 1, 1, 1, 1],
        "s": [
            "x",
            "yy",
            "zzz",
            None,
            "x",
            "x",
            "yy",
            "a1",
            "b2",
            "c3",
            "é",
            "x",
            "",
            "x",
            "q",
            "r",
            "s",
            "t",
            "u",
            "v",
        ],
        "u": [f"id{i}" for i in range(20)],
        "n": np.full(20, np.nan),
    }
)
TABLE = Rows(pa.Table.from_pandas(FRAME, preserve_index=False))

CASES: list[dict[str, Any]] = [
    *({"expect": "table_row_count_to_be_between", "min_value": low, "max_value": 30} for low in (20, 21)),
    *({"expect": "table_row_count_to_equal", "value": n} for n in (20, 21)),
    *({"expect": "column_to_exist", "column": c} for c in ("a", "zz")),
    *({"expect": "table_columns_to_match_set", "column_set": list(c)} for c in ("unabs", "abs")),
    {"expect": "table_columns_to_match_set", "column_set": ["a"], "exact_match": False},
    *({"expect": "table_columns_to_match_ordered_list", "column_list": list(c)} for c in ("absun", "basun")),
    *({"expect": "column_values_to_be_between", "column": "a", "min_value": -4, "max_value": m} for m in (30, 29)),
    *(
        {"expect": "column_values_to_be_between", "column": "a", "min_value": 0, "max_value": 29, "mostly": m}
        for m in (0.89, 0.9)
    ),
    {"expect": "column_values_to_be_between", "column": "a", "min_value": -4, "strict_min": True},
    {"expect": "column_values_to_be_between", "column": "n", "min_value": 0},
    *({"expect": "column_values_to_not_be_null", "column": c} for c in ("u", "a", "n")),
    *({"expect": "column_values_to_not_be_null", "column": "b", "mostly": m} for m in (0.9, 0.91)),
    *({"expect": "column_values_to_be_null", "column": c} for c in ("n", "a")),
    {"expect": "column_values_to_be_null", "column": "b", "mostly": 0.1},
    *(
        {"expect": "column_values_to_be_in_set", "column": "b", "value_set": s}
        for s in ([0, 1, 2, 3, 4, 5, 6, 8], [0, 1, 2])
    ),
    {"expect": "column_values_to_be_in_set", "column": "s", "value_set": ["x", "yy"], "mostly": 0.3},
    *({"expect": "column_values_to_not_be_in_set", "column": "s", "value_set": [v]} for v in ("nope", "x")),
    *({"expect": "column_values_to_match_regex", "column": "u", "regex": r} for r in (r"^id\d+$", r"^id(?!7)\d$")),
    {"expect": "column_values_to_match_regex", "column": "s", "regex": r"\d", "mostly": 0.1},
    *({"expect": "column_value_lengths_to_be_between", "column": "s", "max_value": m} for m in (3, 2)),
    {"expect": "column_value_lengths_to_be_between", "column": "s", "min_value": 1, "max_value": 1, "mostly": 0.5},
    *({"expect": "column_values_to_be_unique", "column": c} for c in ("u", "a", "s", "n")),
    {"expect": "column_values_to_be_unique", "column": "a", "mostly": 0.8},
    *({"expect": "column_min_to_be_between", "column": "a", "min_value": v} for v in (-4, -3)),
    *({"expect": "column_max_to_be_between", "column": "a", "max_value": v} for v in (30, 29)),
    {"expect": "column_max_to_be_between", "column": "a", "max_value": 30, "strict_max": True},
    *({"expect": "column_mean_to_be_between", "column": "a", "min_value": 0, "max_value": v} for v in (9, 7)),
    *({"expect": "column_median_to_be_between", "column": "b", "min_value": 1, "max_value": v} for v in (2, 1.9)),
    *({"expect": "column_stdev_to_be_between", "column": "a", "min_value": 7, "max_value": v} for v in (8, 7.05)),
    *({"expect": "column_sum_to_be_between", "column": "b", "min_value": v} for v in (50, 51)),
    *({"expect": "column_unique_value_count_to_be_between", "column": "s", "max_value": v} for v in (14, 13)),
    *({"expect": "column_proportion_of_unique_values_to_be_between", "column": "u", "min_value": v} for v in (1, 0)),
    {"expect": "column_proportion_of_unique_values_to_be_between", "column": "s", "min_value": 0.9},
    *(
        {"expect": f"column_distinct_values_to_{how}_set", "column": "b", "value_set": s}
        for how in ("be_in", "contain", "equal")
        for s in ([0, 1, 2, 3, 4, 5, 6, 8], [0, 1], [0, 1, 2, 3, 4, 5, 6, 8, 99])
    ),
    *({"expect": "column_most_common_value_to_be_in_set", "column": "s", "value_set": [v]} for v in ("x", "yy")),
    *(
        {"expect": "column_most_common_value_to_be_in_set", "column": "u", "value_set": ["id3"], "ties_okay": t}
        for t in (True, False)
    ),
    *(
        {
            "expect": "column_quantile_values_to_be_between",
            "column": "a",
            "quantile_ranges": {"quantiles": [0.1, 0.5, 0.9], "value_ranges": [[None, 3], [5, m], [9, None]]},
        }
        for m in (7, 5.5)
    ),
    *(
        {"expect": "column_pair_values_a_to_be_greater_than_b", "column_A": "a", "column_B": "b", "or_equal": t}
        for t in (True, False)
    ),
    *(
        {"expect": "column_pair_values_a_to_be_greater_than_b", "column_A": "a", "column_B": "b", "mostly": m}
        for m in (0.5, 0.9)
    ),
    {
        "expect": "column_pair_values_a_to_be_greater_than_b",
        "column_A": "a",
        "column_B": "b",
        "ignore_row_if": "either_value_is_missing",
    },
    *({"expect": "column_pair_values_to_be_equal", "column_A": "a", "column_B": c} for c in ("a", "b")),
    {"expect": "column_pair_values_to_be_equal", "column_A": "a", "column_B": "b", "mostly": 0.2},
    {"expect": "column_pair_values_to_be_equal", "column_A": "a", "column_B": "a", "ignore_row_if": "neither"},
]


@pytest.fixture(scope="module")
def own() -> Iterator[Any]:
    """Great Expectations on the whole frame, by its own engine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        batch = context.data_sources.add_pandas("p").add_dataframe_asset("f").add_batch_definition_whole_dataframe("b")
        yield batch.get_batch({"dataframe": FRAME.copy()})


def _own(batch: Any, case: dict[str, Any]) -> Any:
    import great_expectations.expectations as known

    cls = getattr(known, "Expect" + "".join(w.capitalize() for w in case["expect"].split("_")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return batch.validate(cls(**{k: v for k, v in case.items() if k != "expect"}))


@pytest.mark.filterwarnings("ignore")
def test_every_verdict_and_count_is_what_great_expectations_finds_by_itself(own: Any) -> None:
    verdict = judge([Expectation.model_validate(case) for case in CASES], TABLE)
    verdicts: dict[str, set[bool]] = {}
    for case, result in zip(CASES, verdict.results, strict=True):
        trusted = _own(own, case)
        assert not (trusted.exception_info or {}).get("raised_exception"), (case, trusted)
        assert result.passed == bool(trusted.success), (case, result, trusted)
        if result.unexpected_count is not None:
            assert result.unexpected_count == trusted.result["unexpected_count"], case
        elif isinstance(trusted.result.get("observed_value"), float):
            assert result.observed == pytest.approx(trusted.result["observed_value"]), case
        verdicts.setdefault(case["expect"], set()).add(result.passed)
    from headway.data.rules import RULES

    assert verdicts == {name: {True, False} for name in RULES}


@pytest.mark.filterwarnings("ignore")
def test_all_that_great_expectations_asks_for_is_foreseen() -> None:
    judgement = Judgement([Expectation.model_validate(case) for case in CASES], TABLE)
    for one in judgement._judges:
        assert judgement.metrics.lacking(one.requests) == [], one.stated


def test_what_was_not_foreseen_is_measured_in_a_second_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [Expectation.model_validate(case) for case in CASES]
    foreseen = judge(cases, TABLE)
    monkeypatch.setattr(_Judge, "forecast", lambda _: [])
    assert judge(cases, TABLE) == foreseen


def test_a_failure_is_one_sentence_with_the_rule_the_fact_and_a_row() -> None:
    frame = pa.table({"age": [20.0] * 16 + [130.0, 4.0]})
    rule = {"expect": "column_values_to_be_between", "column": "age", "min_value": 0, "max_value": 120}
    (result,) = judge([Expectation.model_validate(rule)], Rows(frame), "adult").results
    assert result.sentence == "adult: age must be between 0 and 120, but 1 of 18 rows is not (row 17: 130)"
    assert result.examples == ((17, 130.0),)
    assert result.unexpected_percent == pytest.approx(100 / 18)


def test_numbers_in_a_set_are_the_texts_of_a_categorical_column() -> None:
    codes = Rows(pa.table({"code": ["1", "2", "true"]}))
    stated = {"expect": "column_values_to_be_in_set", "column": "code", "value_set": [1, 2.0, True]}
    assert judge([Expectation.model_validate(stated)], codes).passed


def test_bounds_on_dates_may_be_written_as_text() -> None:
    days = Rows(pa.table({"day": pd.to_datetime(["2024-01-01", "2024-03-01"]).astype("datetime64[us]")}))
    stated = {"expect": "column_values_to_be_between", "column": "day", "max_value": "2024-02-01"}
    (result,) = judge([Expectation.model_validate(stated)], days).results
    assert result.unexpected_count == 1
    assert "2024-03-01" in result.sentence
    stated = {"expect": "column_max_to_be_between", "column": "day", "max_value": "2024-03-01"}
    assert judge([Expectation.model_validate(stated)], days).passed


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"expect": "column_values_to_be_betwen", "column": "a"}, "did you mean column_values_to_be_between?"),
        ({"expect": "column_values_to_be_between", "column": "a", "min": 3}, "did you mean min_value?"),
        ({"expect": "column_values_to_be_between", "column": "aa"}, "aa must be a column of the data"),
        ({"expect": "column_values_to_be_between"}, "column must be given"),
        ({"expect": "column_values_to_be_in_set", "column": "a"}, "value_set must be given"),
        ({"expect": "table_row_count_to_equal", "column": "a", "value": 3}, "the whole table"),
        ({"expect": "column_mean_to_be_between", "column": "s", "min_value": 3}, "s must be a number"),
        ({"expect": "column_values_to_be_between", "column": "a", "min_value": "low"}, "min_value must be a number"),
        ({"expect": "column_values_to_be_in_set", "column": "a", "value_set": 3}, "value_set must be a list"),
        ({"expect": "column_values_to_be_between", "column": "a"}, "min_value"),
        ({"expect": "column_values_to_match_regex", "column": "s", "regex": "("}, "regex must be"),
        ({"expect": "column_values_to_not_be_null", "column": "s", "mostly": 3}, "mostly"),
    ],
)
def test_a_wrongly_stated_expectation_says_what_is_wrong(stated: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=r"validation\.expectations\[0\]") as error:
        judge([Expectation.model_validate(stated)], TABLE)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_names_and_arguments_are_checked_before_any_row_is_read() -> None:
    check([Expectation.model_validate(case) for case in CASES if case.get("column") != "zz"], TABLE.columns)
    with pytest.raises(ConfigError, match="did you mean"):
        check([Expectation(expect="column_max_to_be_betwen", column="a")], TABLE.columns)


def test_the_page_needs_no_network_and_shows_failures_first() -> None:
    stated = [Expectation.model_validate(c) for c in CASES[:2]]
    results = judge(stated, TABLE, "<adult>").results
    html = page("<adult>", [Entry(r.passed, r.severity, r.sentence, r.name) for r in results])
    assert not re.search("https?:", html)
    assert "<script" not in html
    assert html.index(">failed<") < html.index(">passed<")
    assert "&lt;adult&gt;" in html


def test_without_expectations_great_expectations_is_not_imported() -> None:
    code = "import sys, headway.quality.judge as q; assert q.judge([], None).passed; assert 'great_expectations' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def _wide(columns: int) -> tuple[Rows, list[dict[str, Any]]]:
    """A table of many columns, and expectations on each: bounds that hold in some, nulls, sets of texts."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(20, columns))
    values[rng.random((20, columns)) < 0.1] = np.nan
    data = {f"x{i}": pa.array(values[:, i], from_pandas=True) for i in range(columns)}
    data |= {f"c{i}": pa.array(rng.choice(["a", "b", "c"], 20)) for i in range(columns // 10)}
    cases: list[dict[str, Any]] = []
    for i in range(columns):
        bound = round(float(rng.uniform(0.5, 4)), 2)
        cases.append({"expect": "column_values_to_not_be_null", "column": f"x{i}", "mostly": 0.8 + i % 3 / 10})
        between = {"min_value": -bound, "max_value": int(bound) + 1, "mostly": 0.95}
        cases.append({"expect": "column_values_to_be_between", "column": f"x{i}", **between})
    for i in range(columns // 10):
        some = ["a", "b", "c"][: 1 + i % 3]
        cases.append({"expect": "column_values_to_be_in_set", "column": f"c{i}", "value_set": some, "mostly": 0.6})
        cases.append({"expect": "column_max_to_be_between", "column": f"x{i}", "min_value": 0, "max_value": 2.5})
    return Rows(pa.table(data)), cases


@pytest.mark.filterwarnings("ignore")
def test_of_many_columns_every_verdict_and_count_is_what_great_expectations_finds_by_itself() -> None:
    import great_expectations as gx

    table, cases = _wide(60)
    results = judge([Expectation.model_validate(case) for case in cases], table).results
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("f").add_batch_definition_whole_dataframe("b")
    whole = batch.get_batch({"dataframe": table.table.to_pandas()})
    trusted = [_own(whole, case) for case in cases]
    assert [one.passed for one in results] == [bool(one.success) for one in trusted]
    counts = [one.result.get("unexpected_count") for one in trusted]
    assert [one.unexpected_count for one in results] == counts
    assert {one.passed for one in results} == {True, False}


def test_ten_times_the_columns_ask_great_expectations_for_as_many_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    build = ruling._build
    monkeypatch.setattr(ruling, "_build", lambda name, *rest: built.append(name) or build(name, *rest))

    def objects(columns: int) -> list[str]:
        built.clear()
        table, cases = _wide(columns)
        assert len(judge([Expectation.model_validate(case) for case in cases], table).results) == len(cases)
        return sorted(built)

    assert objects(600) == objects(60)


def test_bounds_that_great_expectations_reads_in_its_own_way_are_not_shared() -> None:
    """It reads a moment as its day, lengths as whole numbers, and refuses an empty text."""
    days = {"min_value": dt.datetime(2024, 1, 1, 12), "max_value": dt.datetime(2024, 3, 1)}
    assert ruling.varying_arguments("column_values_to_be_between", days) == {}
    assert ruling.varying_arguments("column_values_to_be_between", {"min_value": "", "max_value": True}) == {}
    assert ruling.varying_arguments("column_value_lengths_to_be_between", {"min_value": 2}) == {}
    assert ruling.varying_arguments("column_values_to_be_in_set", {"value_set": []}) == {}
    assert ruling.varying_arguments("column_values_to_be_between", {"min_value": 2, "mostly": 0.9}) == {"min_value": 2}


def test_a_page_of_many_checks_shows_every_failure_that_stops_and_counts_the_rest() -> None:
    holding = [Entry(True, "stop", f"x{i} holds", "rule") for i in range(1500)]
    html = page("wide", [*holding, Entry(False, "stop", "x7 is broken", "rule")])
    assert html.count('<tr><th scope="row">') == 1000
    assert "x7 is broken" in html
    assert "1,501 checks, 1 not passed" in html
    assert "and 501 that passed: validation.json has every one" in html
    broken = page("wide", [*holding[:10], *[Entry(False, "warn", "a warning", "rule")] * 1200])
    assert "and 200 that did not pass and 10 that passed" in broken
    assert "and 0" not in page("narrow", holding[:10])


def test_many_broken_rules_are_some_lines_and_how_many_more_there_are() -> None:
    failures = [f"x{i} is broken" for i in range(20_000)]
    with pytest.raises(DataError) as raised:
        tell(Silent(), [], failures, "")
    lines = str(raised.value).splitlines()
    assert lines == [*failures[:50], "and 19,950 more failures; validation.json has all"]
    with pytest.raises(DataError) as raised:
        tell(Silent(), [], failures[:50], "")
    assert str(raised.value).splitlines() == failures[:50]
