"""Whether many files can be one table: the same columns, each of one type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath

import pyarrow as pa

from headway.columns.values import family
from headway.config import suggest
from headway.errors import ConfigError, DataError


def checked_schema(
    files: Sequence[str], schema_of: Callable[[str], pa.Schema], roles: Mapping[str, str]
) -> tuple[pa.Schema, dict[str, pa.DataType]]:
    """The schema of the first file, after the columns of every file are checked and before any row is read; and, of columns that are not
    of one width in all files, the type that holds the values of each.

    ``roles``: the columns that are read, each with its name in the project's YAML. Raises ConfigError where the first file lacks one of
    them, DataError for a file whose columns differ from the first one's.
    """
    first, *others = files
    schema = _distinct(schema_of(first), PurePath(first).name)
    _check_columns(schema, PurePath(first).name, roles)
    families = {column: _family(schema.field(column).type) for column in roles}
    types = {column: [schema.field(column).type] for column in roles}
    for file in others:
        name = PurePath(file).name
        other = _distinct(schema_of(file), name)
        _check_same(other, name, schema, PurePath(first).name, families)
        for column, kinds in () if other.equals(schema) else types.items():
            if (kind := other.field(column).type) not in kinds:
                kinds.append(kind)
    return schema, {column: _common(kinds) for column, kinds in types.items() if len(kinds) > 1}


def _common(kinds: Sequence[pa.DataType]) -> pa.DataType:
    """The type of a column that has these types in different files: whole numbers, doubles, moments or texts."""
    families = {_family(kind) for kind in kinds} - {"empty"}
    if families == {"a number"}:
        whole = all(pa.types.is_null(kind) or (pa.types.is_integer(kind) and kind != pa.uint64()) for kind in kinds)
        return pa.int64() if whole else pa.float64()
    if families == {"a date"}:
        return pa.timestamp("us")
    if families == {"a moment with a time zone"}:
        return pa.timestamp("us", "UTC")
    if families == {"text"} or len(families) > 1:
        return pa.string()
    return next(kind for kind in kinds if not pa.types.is_null(kind))


def _distinct(schema: pa.Schema, name: str) -> pa.Schema:
    names = schema.names
    if len(set(names)) < len(names):
        twice = sorted(column for column, count in Counter(names).items() if count > 1)
        raise DataError(f"{name}: column names must differ, but {', '.join(twice)} occurs more than once")
    return schema


def _check_columns(schema: pa.Schema, name: str, roles: Mapping[str, str]) -> None:
    have = set(schema.names)
    for column, role in roles.items():
        if column not in have:
            raise ConfigError(
                f"{role} must name a column of {name}, but {column} is none{suggest(column, schema.names)}"
            )


def _check_same(schema: pa.Schema, name: str, first: pa.Schema, before: str, families: Mapping[str, str]) -> None:
    if schema.equals(first):
        return
    have = set(schema.names)
    for column, old in families.items():
        if column not in have:
            raise DataError(
                f"{name}: all files must have the same columns, but it lacks {column}, which {before} has"
                f"{suggest(column, [c for c in schema.names if c not in set(first.names)])}"
            )
        new = _family(schema.field(column).type)
        if old != new and "empty" not in (old, new):
            raise DataError(
                f"{name}: a column must have one type in all files, but {column} is {new} here and {old} in {before}"
            )


def _family(kind: pa.DataType) -> str:
    """As `family`; moments without a zone are another one than those with one: it is unknown by how many hours they differ."""
    zoned = pa.types.is_timestamp(kind) and kind.tz is not None
    return "a moment with a time zone" if zoned else family(kind)
