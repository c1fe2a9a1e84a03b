"""The sides of `bench.validate`, each in a process of its own: `python -m bench.validate_sides SIDE TABLE`.

Each answers, for every expectation, whether it holds and how many rows break it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.apart import measured
from bench.many_rows import CATEGORIES, NUMBERS, TARGET

EXPECTATIONS: list[dict[str, Any]] = [
    *(
        {"expect": "column_values_to_be_between", "column": name, "min_value": -3e4, "max_value": 3e4}
        for name in NUMBERS
    ),
    *({"expect": "column_values_to_not_be_null", "column": name, "mostly": 0.9} for name in NUMBERS),
    *(
        {"expect": "column_values_to_be_in_set", "column": name, "value_set": [f"{name}-{i}" for i in range(count)]}
        for name, count in CATEGORIES.items()
        if count <= 300
    ),
    *(
        {"expect": "column_unique_value_count_to_be_between", "column": name, "min_value": 2, "max_value": 20_000}
        for name, count in CATEGORIES.items()
        if count > 300
    ),
    {"expect": "column_values_to_be_in_set", "column": TARGET, "value_set": ["no", "yes"]},
    {"expect": "column_values_to_not_be_null", "column": TARGET},
]

Answers = list[tuple[bool, int | None]]


def ours(table: Path) -> Callable[[], Answers]:
    """All that `headway run` does to validate the rows; Great Expectations is imported within the clock."""
    from headway.data.opening import open_table
    from headway.pipeline.validation import examine
    from headway.project import Project
    from headway.run.report import Silent

    kinds = {**dict.fromkeys(NUMBERS, "numeric"), **dict.fromkeys(CATEGORIES, "categorical")}
    values = {
        "name": "many",
        "task": "classification",
        "data": {"source": str(table), "target": TARGET, "features": kinds},
        "validation": {"expectations": [{**one, "severity": "warn"} for one in EXPECTATIONS]},
    }
    project = Project.parse(values, "many.yaml")

    def work() -> Answers:
        data_table = open_table(project.data, project.task, table.parent)
        verdict = examine(project, data_table, Silent()).verdict
        return [(one.passed, one.unexpected_count) for one in verdict.results]

    return work


def judging(table: Path) -> Callable[[], Answers]:
    """The expectations alone; Great Expectations is imported outside the clock, as for its own engine."""
    from headway.data.config import DataConfig, Expectation
    from headway.data.opening import open_table
    from headway.quality.judge import judge
    from headway.quality.ruling import engine

    kinds = {**dict.fromkeys(NUMBERS, "numeric"), **dict.fromkeys(CATEGORIES, "categorical")}
    data = DataConfig.parse({"source": str(table), "target": TARGET, "features": kinds}, "data")
    engine()

    def work() -> Answers:
        data_table = open_table(data, "classification", table.parent)
        verdict = judge([Expectation.model_validate(one) for one in EXPECTATIONS], data_table)
        return [(one.passed, one.unexpected_count) for one in verdict.results]

    return work


def theirs(table: Path) -> Callable[[], Answers]:
    """Great Expectations' pandas engine, with reading the table."""
    import great_expectations as gx
    import great_expectations.expectations as classes
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # pyrefly: ignore
    batches = context.data_sources.add_pandas("p").add_dataframe_asset("f").add_batch_definition_whole_dataframe("b")

    def stated(one: dict[str, Any]) -> Any:
        kind = getattr(classes, "Expect" + "".join(word.capitalize() for word in one["expect"].split("_")))
        return kind(**{key: value for key, value in one.items() if key != "expect"})

    def work() -> Answers:
        suite = gx.ExpectationSuite(name="s", expectations=[stated(one) for one in EXPECTATIONS])
        result = batches.get_batch({"dataframe": pd.read_parquet(table)}).validate(suite)
        by_name = {
            (one.expectation_config.type, one.expectation_config.kwargs["column"]): one for one in result.results
        }
        results = [by_name["expect_" + one["expect"], one["column"]] for one in EXPECTATIONS]
        return [(bool(one.success), one.result.get("unexpected_count")) for one in results]

    return work


SIDES = {side.__name__: side for side in (ours, judging, theirs)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    measured(SIDES[sys.argv[1]](Path(sys.argv[2])))
