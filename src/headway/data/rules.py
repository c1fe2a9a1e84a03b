"""The expectations that a project may state: their arguments, the columns they suit, and how they read in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ANY = ("a number", "text", "a date")
NUMBER = ("a number",)
ORDERED = ("a number", "a date")
TEXT = ("text",)


@dataclass(frozen=True)
class Rule:
    """``about``: families of columns it suits, none for rules on the table. ``counts``: the metric that counts its violations."""

    words: str
    arguments: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    has_column: bool = True
    counts: str = "-"
    in_column_type: tuple[str, ...] = ()
    """Arguments whose values are of the column's type."""


_BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")
_ENDS = ("min_value", "max_value")
_PAIR = ("column_A", "column_B")


def _rows(
    words: str,
    metric: str,
    arguments: tuple[str, ...] = (),
    needs: tuple[str, ...] = (),
    about: tuple[str, ...] = ANY,
    in_column_type: tuple[str, ...] = (),
) -> Rule:
    return Rule(
        words, (*arguments, "mostly"), needs, about, counts=f"column_values.{metric}.", in_column_type=in_column_type
    )


def _whole(words: str, about: tuple[str, ...] = NUMBER, in_column_type: tuple[str, ...] = ()) -> Rule:
    return Rule(words, _BOUNDS, about=about, in_column_type=in_column_type)


def _set(words: str, *more: str) -> Rule:
    return Rule(words, ("value_set", *more), ("value_set",), ANY, in_column_type=("value_set",))


def _pair(words: str, metric: str, *more: str) -> Rule:
    arguments = (*_PAIR, "mostly", "ignore_row_if", *more)
    return Rule(words, arguments, _PAIR, ANY, has_column=False, counts=f"column_pair_values.{metric}.")


def _table(words: str, *arguments: str, needs: tuple[str, ...] = ()) -> Rule:
    return Rule(words, arguments, needs, has_column=False)


RULES: dict[str, Rule] = {
    "table_row_count_to_be_between": _table("the number of rows must be {range}", *_ENDS, "strict_min", "strict_max"),
    "table_row_count_to_equal": _table("the number of rows must be {value}", "value", needs=("value",)),
    "column_to_exist": Rule("{column} must be a column", ("column_index",)),
    "table_columns_to_match_set": _table(
        "the columns must be {column_set}", "column_set", "exact_match", needs=("column_set",)
    ),
    "table_columns_to_match_ordered_list": _table(
        "the columns must be, in order, {column_list}", "column_list", needs=("column_list",)
    ),
    "column_values_to_be_between": _rows("{column} must be {range}", "between", _BOUNDS, in_column_type=_ENDS),
    "column_values_to_not_be_null": _rows("{column} must be given", "nonnull"),
    "column_values_to_be_null": _rows("{column} must be missing", "null"),
    "column_values_to_be_in_set": _rows(
        "{column} must be one of {value_set}", "in_set", ("value_set",), ("value_set",), in_column_type=("value_set",)
    ),
    "column_values_to_not_be_in_set": _rows(
        "{column} must be none of {value_set}",
        "not_in_set",
        ("value_set",),
        ("value_set",),
        in_column_type=("value_set",),
    ),
    "column_values_to_match_regex": _rows("{column} must match {regex}", "match_regex", ("regex",), ("regex",), TEXT),
    "column_value_lengths_to_be_between": _rows(
        "{column} must have {range} characters", "value_length.between", _BOUNDS, about=TEXT
    ),
    "column_values_to_be_unique": _rows("{column} must differ in every row", "unique"),
    "column_min_to_be_between": _whole("the least {column} must be {range}", ORDERED, _ENDS),
    "column_max_to_be_between": _whole("the greatest {column} must be {range}", ORDERED, _ENDS),
    "column_mean_to_be_between": _whole("the mean of {column} must be {range}"),
    "column_median_to_be_between": _whole("the median of {column} must be {range}"),
    "column_stdev_to_be_between": _whole("the standard deviation of {column} must be {range}"),
    "column_sum_to_be_between": _whole("the sum of {column} must be {range}"),
    "column_unique_value_count_to_be_between": _whole("the number of different {column} values must be {range}", ANY),
    "column_proportion_of_unique_values_to_be_between": _whole(
        "the share of different {column} values must be {range}", ANY
    ),
    "column_distinct_values_to_be_in_set": _set("every value of {column} must be one of {value_set}"),
    "column_distinct_values_to_contain_set": _set("{column} must have each of the values {value_set}"),
    "column_distinct_values_to_equal_set": _set("the values of {column} must be exactly {value_set}"),
    "column_most_common_value_to_be_in_set": _set(
        "the most common value of {column} must be one of {value_set}", "ties_okay"
    ),
    "column_quantile_values_to_be_between": Rule(
        "the quantiles of {column} must be {quantile_ranges}",
        ("quantile_ranges", "allow_relative_error"),
        ("quantile_ranges",),
        NUMBER,
    ),
    "column_pair_values_a_to_be_greater_than_b": _pair(
        "{column_A} must be greater than {or_equal}{column_B}", "a_greater_than_b", "or_equal"
    ),
    "column_pair_values_to_be_equal": _pair("{column_A} must equal {column_B}", "equal"),
}


def sentence(
    name: str,
    column: str | None,
    arguments: Mapping[str, Any],
    success: bool,
    result: Any,
    count: int | None,
    rows: int,
    examples: Sequence[tuple[int, Any]],
) -> str:
    """The rule, then the fact: `age must be between 0 and 120, but 3 of 48,842 rows are not (row 17: 130)`."""
    fields = {k: plain_value(v) for k, v in arguments.items()} | {"column": column, "range": _range(arguments)}
    fields["or_equal"] = "or equal to " if arguments.get("or_equal") else ""
    if "quantile_ranges" in arguments:
        fields["quantile_ranges"] = _quantile_ranges(arguments["quantile_ranges"])
    rule = RULES[name].words.format_map(fields)
    if arguments.get("mostly", 1) < 1:
        rule += f" in at least {100 * arguments['mostly']:g} % of the rows"
    if count is None:
        joint = "it is" if success else "but is"
        return f"{rule}, {joint} {plain_value(_inner(result))}{_mistaken(name, success)}"
    if count == 0:
        return f"{rule}; all {rows:,} rows meet it"
    examples_text = ", ".join(f"row {row}: {plain_value(value)}" for row, value in examples[:3])
    verb = "is" if count == 1 else "are"
    joint = "and" if success else "but"
    return f"{rule}, {joint} {count:,} of {rows:,} rows {verb} not ({examples_text})"


def _mistaken(name: str, success: bool) -> str:
    return " that differ" if "distinct_values_to" in name and not success else ""


def _inner(value: Any) -> Any:
    return value if not isinstance(value, list) or len(value) != 1 else value[0]


def _quantile_ranges(ranges: Any) -> str:
    pairs = zip(ranges["quantiles"], ranges["value_ranges"], strict=True)
    return ", ".join(f"{_range({'min_value': r[0], 'max_value': r[1]})} at {q:g}" for q, r in pairs)


def _range(arguments: Mapping[str, Any]) -> str:
    low, high = arguments.get("min_value"), arguments.get("max_value")
    if low is not None and high is not None:
        return f"between {plain_value(low)} and {plain_value(high)}"
    if low is not None:
        return f"{'more than' if arguments.get('strict_min') else 'at least'} {plain_value(low)}"
    return f"{'less than' if arguments.get('strict_max') else 'at most'} {plain_value(high)}"


def plain_value(value: Any) -> str:
    """A value as people write it: short, numbers with thousands marked."""
    if isinstance(value, (list, tuple, set)):
        items = [plain_value(v) for v in list(value)[:10]]
        return (", ".join(items) or "nothing") + (f" and {len(value) - 10} more" if len(value) > 10 else "")
    if value is None:
        return "missing"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)[:60]
    return f"{value:,}" if isinstance(value, int) else f"{int(value):,}" if value.is_integer() else f"{value:,.6g}"
