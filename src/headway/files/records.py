"""Values that files, tags and answers hold as JSON: frozen dataclasses that write themselves and read themselves again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, TypeAdapter, ValidationError

from headway.errors import DamagedError
from headway.files.atomic import read_json, write_json


@dataclasses.dataclass(frozen=True)
class Record:
    """Each field is a key of the JSON: ``with_`` is `with`. Types are checked when it is read; keys without a field are passed over."""

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {field.name.rstrip("_"): plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, values: object, where: Path | str = "this JSON") -> Self:
        """What to_json gave. Raises DamagedError, which names ``where``, for values of another form."""
        try:
            return _reader(cls).validate_python(values)
        except ValidationError as error:
            raise DamagedError(f"{where} must be whole, but {_fact(error)}; headway doctor finds what else") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record that a file holds. Raises DamagedError where it is damaged or holds something else."""
        return cls.from_json(read_json(path), path)

    @classmethod
    def read_if_whole(cls, path: Path) -> Self | None:
        """As read; None where the file is gone or damaged, for what can be done without it."""
        try:
            return cls.read(path)
        except (OSError, DamagedError):
            return None

    def write(self, path: Path) -> None:
        """Write a file whole."""
        write_json(path, self.to_json())


def plain(value: Any) -> Any:
    """A value as JSON has it, with the records in it; what is plain stays as it is."""
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


@cache
def _reader(kind: type[Record]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _fact(error: ValidationError) -> str:
    """The first thing that is wrong."""
    problem = error.errors()[0]
    place = ".".join(str(part).rstrip("_") for part in problem["loc"]) or "it"
    if problem["type"] == "missing":
        return f"{place} is missing"
    return f"{place} is {str(problem['input'])[:40]!r}"
