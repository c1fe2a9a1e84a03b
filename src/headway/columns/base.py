"""The interface of a column type. A new type is one new file beside this one, with a class of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa

from headway.columns.ragged import Ragged
from headway.columns.summary import Summary

if TYPE_CHECKING:
    import pandas as pd

    from headway.columns.config import PrepareConfig
    from headway.columns.recognition import Guess, Specimen
    from headway.columns.values import BadValues, Place


@dataclass(frozen=True)
class Prepared:
    """One column of prepared rows. ``codes``: their number, None for a number. ``bins``: whether edges are fitted to it."""

    name: str
    codes: int | None = None
    bins: bool = False


@dataclass(frozen=True)
class Suggestion:
    """An expectation that `init` proposes, in Great Expectations' words; ``column``: None where it is about the whole table."""

    expect: str
    column: str | None
    arguments: Mapping[str, object]


@dataclass(frozen=True)
class Encoding(ABC):
    """A fitted encoding of one column, frozen: it turns canonical values into prepared columns. Has a JSON form."""

    column: str

    group: ClassVar[str]
    """The list of preparation.json that holds it; types may share one."""

    array: ClassVar[Literal["numeric", "categorical"]] = "numeric"
    """Which of the two prepared arrays its columns go to."""

    takes_codes: ClassVar[bool] = False
    """Whether `apply` takes codes of texts, too: see `headway.columns.codes`."""

    lenient: ClassVar[bool] = False
    """Whether the encoding itself reads NaN as null and respells unknown values: see `headway.data.canonical`."""

    @abstractmethod
    def kind_name(self) -> str:
        """The name of the column's type."""

    @abstractmethod
    def outputs(self) -> Sequence[Prepared]:
        """The prepared columns, in order."""

    @abstractmethod
    def apply(self, column: pa.Array, missing: tuple[str, ...] = (), strict: bool = False) -> Sequence[np.ndarray]:
        """One array (B,) for each prepared column. ``missing``: words that are null where they are no values.

        Raises BadValues on infinities where it is ``strict``; otherwise they count as missing.
        """

    def remark(self) -> str:
        """A remark on what the column becomes; empty where its name says it."""
        return ""

    @property
    def vocabulary(self) -> int | None:
        """How many different tokens `ragged` gives; None where the column becomes none."""
        return None

    @property
    def token_type(self) -> np.dtype[Any]:
        """How the numbers of tokens are kept. Only for an encoding with a vocabulary."""
        return np.dtype(np.int32)

    def ragged(self, column: pa.Array, missing: tuple[str, ...] = ()) -> Ragged:
        """The tokens of each row; 0 stands for none, be it padding or a document's end. Only for an encoding with a vocabulary."""
        raise AssertionError(f"{type(self).__name__} has no tokens")

    def unfit(self, column: pa.Array, where: str) -> BadValues | None:
        """The error for canonical values that a prediction cannot use; None where all can be used."""
        return None

    def respelled(self, column: pa.Array, holds_numbers: Callable[[], bool]) -> pa.Array:
        """Canonical values to predict from, in the spelling of training; ``holds_numbers``: whether they came as numbers."""
        return column

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What to_json gave: lists become tuples again."""
        fields: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in values.items()}
        return cls(**fields)


@dataclass(frozen=True)
class RaggedEncoding(Encoding):
    """One that gives tokens alone, and no column of the dense arrays."""

    def outputs(self) -> Sequence[Prepared]:
        return ()

    def apply(self, column: pa.Array, missing: tuple[str, ...] = (), strict: bool = False) -> Sequence[np.ndarray]:
        return ()


class Fitter(ABC):
    """Fits an encoding, block by block of the training rows. ``block`` is most of the work, ``add`` is done in the rows' order."""

    takes_codes: ClassVar[bool] = False
    """Whether `block` takes codes of texts, too."""

    @abstractmethod
    def block(self, column: pa.Array, labels: pa.Array) -> Any:
        """What canonical values come to, with the class of each row as text; one class for all where the target is a number.

        Called by any thread, of several at a time: it must leave the fitter as it is.
        """

    @abstractmethod
    def add(self, partial: Any) -> None:
        """Add what ``block`` returned. Called by one thread, in the rows' order."""

    def update(self, column: pa.Array, labels: pa.Array) -> None:
        """Add canonical values and their classes."""
        self.add(self.block(column, labels))

    def to_json(self) -> dict[str, object] | None:
        """What was added so far, as plain values; None where that is too much to keep."""
        return None

    def take(self, values: Mapping[str, Any]) -> None:
        """Go on from what `to_json` gave, before anything is added."""
        raise AssertionError(f"{type(self).__name__} keeps nothing")

    @abstractmethod
    def finish(self) -> Encoding | None:
        """The encoding; None where there is nothing to learn from the column."""


class ColumnType(ABC):
    """One type of column."""

    name: ClassVar[str]
    """Its name in data.features."""

    rank: ClassVar[int] = 9
    """Its place in the list of types, and of its encodings in prepared rows. Equal ones are in the order of their names."""

    encoding: ClassVar[type[Encoding]]

    other_encodings: ClassVar[tuple[type[Encoding], ...]] = ()
    """Other encodings of its columns, where the model takes them: see `fitter_for`."""

    summary_class: ClassVar[type[Summary]]

    any_text: ClassVar[bool] = False
    """Whether any text may be a value, so that a word such as NA is null only if it is no value."""

    can_leak: ClassVar[bool] = True
    """Whether the column is checked for how well it alone predicts the target."""

    adds_up: ClassVar[bool] = False
    """Whether columns of the type may add up to the target."""

    recurs: ClassVar[bool] = False
    """Whether values should recur: where most differ, the column is likely an id."""

    linear_suits: ClassVar[bool] = False
    """Whether `init` proposes the linear model for a table of such columns alone."""

    is_time: ClassVar[bool] = False
    """Whether its values are moments, by which rows could be split."""

    turn: ClassVar[int] = 0
    """The order in which `init` tries the types: the lowest first."""

    mlflow_type: ClassVar[Literal["double", "datetime", "string"]] = "string"
    """Its name in a model's signature."""

    @abstractmethod
    def canonical(self, column: pa.Array, place: Place, date_format: str | None, look: bool) -> pa.Array:
        """Values of any Arrow type as float64 (NaN as null), as timestamp[us] in UTC without a zone, or as string in its one spelling.

        Where it need not ``look``, NaN and other spellings may stay. Raises BadValues on values that it cannot read, DataError on a
        whole column.
        """

    def summary(self, name: str) -> Summary:
        """An empty summary of column ``name``."""
        return self.summary_class(name, self.name)

    def line(self, values: pd.Series) -> np.ndarray | None:
        """Canonical values as numbers on a line, NaN where they are missing; None where only equality matters."""
        return None

    def recognise(self, specimen: Specimen) -> Guess | None:
        """The guess for a column of unknown type; None where it is not this type."""
        return None

    def drafted(self, values: pd.Series, date_format: str | None) -> pd.Series:
        """Values as a file's format gives them, in a type of pandas that `line` takes; what cannot be read is missing."""
        return values.astype("string")

    def doubt(self, summary: Summary) -> str | None:
        """Why a column is likely of another type, as the end of "NAME should be ..."; None where there is no sign of it."""
        return None

    def expectations(self, summary: Summary) -> list[Suggestion]:
        """Expectations for later values from the present ones, except for missing values."""
        return []

    @abstractmethod
    def fitter(self, name: str, config: PrepareConfig, numbers: bool) -> Fitter:
        """The fitter for column ``name``; ``numbers``: whether the files hold it as numbers, not as texts of numbers."""

    def fitter_for(self, takes: Collection[str], name: str, config: PrepareConfig, numbers: bool) -> Fitter:
        """The fitter for a model that ``takes`` these further arrays."""
        return self.fitter(name, config, numbers)
