"""One file per type of column: how it is read, summarised, encoded, compared and recognised.

number      float64; filled, limited, scaled
category    text in its one spelling; codes
date        moments; parts of the calendar
calendar    the parts of a moment as numbers and waves; cycles: the parts, by the clocks of a zone
text        free text; tokens, or words: one 0/1 column for each of some words; or ngrams: hashed parts with weights
base        the interface of a column type
config      the `prepare` section of a project
recognition what `init` knows about a column of unknown type
summary     the summary of a column, from a stream; discrete, continuous: its two forms; moments: of blocks, merged
tokenizer   text to token numbers, and back
ragged      rows of different lengths as two arrays
values      Arrow columns of any source, and the one-line error for those that cannot be read
spelling    the one spelling of each value that is read as text
written     values that are not written plainly, such as $4,210.18, as `data.written` says
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from headway.columns.base import ColumnType, Encoding


@cache
def column_types() -> dict[str, ColumnType]:
    """Every type in this folder by name, in the order of their ranks: adding a type is adding its file."""
    types: list[ColumnType] = []
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            is_type = isinstance(value, type) and issubclass(value, ColumnType) and not inspect.isabstract(value)
            if is_type and value.__module__ == module.name:
                types.append(value())
    return {one.name: one for one in sorted(types, key=lambda one: (one.rank, one.name))}


def column_type(kind: str) -> ColumnType:
    """The type of a name."""
    return column_types()[kind]


@cache
def groups() -> list[str]:
    """The lists of preparation.json that hold encodings, in order; types may share one."""
    return list(dict.fromkeys(encoding.group for one in column_types().values() for encoding in encodings_of(one)))


def encodings_of(kind: ColumnType) -> tuple[type[Encoding], ...]:
    """All that a type's columns may become; the first is what they become for most models."""
    return (kind.encoding, *kind.other_encodings)


def gives(kind: str, takes: Collection[str]) -> bool:
    """Whether a column of this type can become one of the further arrays that a model ``takes``."""
    return any(encoding.group in takes for encoding in column_type(kind).other_encodings)


def read_encoding(group: str, values: Mapping[str, Any]) -> Encoding:
    """What its to_json gave, from a list of preparation.json. Where types share the list, the values name theirs."""
    encodings = [
        (one.name, encoding)
        for one in column_types().values()
        for encoding in encodings_of(one)
        if encoding.group == group
    ]
    matches = [encoding for name, encoding in encodings if name == values.get("kind")]
    return (matches or [encoding for _, encoding in encodings])[0].from_json(values)


if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[tuple(column_types())]
    """The name of a type, as data.features gives it."""
