"""How columns become numbers: the `prepare` section of a project."""

from __future__ import annotations

import zoneinfo
from typing import Literal

from pydantic import Field, field_validator, model_validator

from headway.config import Config


class TokensConfig(Config):
    """How text becomes tokens: documents, or a text column for a model that takes them (`model.text=tokens`)."""

    tokenizer: Literal["bpe", "characters"] = Field(
        "bpe", description="Byte-pair tokens; or, of documents, one token a character."
    )
    vocabulary: int = Field(
        2048,
        ge=257,
        le=1_000_000,
        description="Different byte-pair tokens at most; the 256 bytes and an end are among them.",
    )
    most: int = Field(256, ge=1, le=65_536, description="Of a text column: tokens that count, the first ones.")


class NgramsConfig(Config):
    """How a text column becomes weights of its words and of short runs of letters, for a model that takes them."""

    words: int = Field(
        4096, ge=0, le=1 << 20, description="Features that words and pairs of words are hashed to; 0: none of them."
    )
    characters: int = Field(
        4096, ge=0, le=1 << 20, description="Features that runs of 3 and 4 letters within words are hashed to; 0: none."
    )
    most: int = Field(20_000, ge=1, le=1 << 20, description="Characters of a text that count, the first ones.")

    @model_validator(mode="after")
    def _has_features(self) -> NgramsConfig:
        if not self.words + self.characters:
            raise ValueError("words or characters must be at least 1, but both are 0")
        return self


class DateConfig(Config):
    """What the calendar is of a column of dates."""

    zone: str = Field(
        "UTC",
        description="Whose clocks say the hour and the day, for example Europe/Berlin, daylight saving included. Moments that are "
        "written without a zone are read as UTC: where they are local times already, leave it out.",
    )
    holidays: str | None = Field(
        None,
        description="A country such as DE, or its region such as DE-BY, whose holidays count; of the package holidays.",
    )
    trend: Literal["held", "free", "none"] = Field(
        "held",
        description="The days since 1970. held: rows after the training's have its last day; free: they go on, as a model may that "
        "extrapolates a trend; none: left out.",
    )

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (KeyError, ValueError, OSError):  # KeyError: not found; OSError: the name of a folder such as Europe
            raise ValueError(f"must be an IANA name, but is {value!r}; write for example Europe/Berlin") from None
        return value


class DatesConfig(DateConfig):
    """The calendar of all columns of dates, and of those that differ."""

    columns: dict[str, DateConfig] = Field({}, description="Columns of dates whose settings differ.")

    def of(self, column: str) -> DateConfig:
        """The settings of one column: its own, and for missing ones, those of all columns."""
        own = self.columns.get(column, DateConfig())
        return DateConfig(**{**self.model_dump(exclude={"columns"}), **own.model_dump(include=own.model_fields_set)})


class PrepareConfig(Config):
    """How rows become numbers. Everything is fitted on the training rows alone."""

    impute: Literal["median", "mean"] = Field("median", description="What stands in for a missing number.")
    scale: Literal["standard", "quantile", "none"] = Field(
        "standard", description="standard: zero mean, unit variance; quantile: to a normal distribution; none."
    )
    bins: int = Field(48, ge=0, le=1024, description="Bins per numeric column for piecewise-linear encoding; 0: none.")
    bins_by: Literal["target", "quantile"] = Field(
        "target", description="Whether bin edges follow the target (a small tree per column) or only the column."
    )
    max_categories: int = Field(
        1000, ge=2, le=1_000_000, description="Codes per categorical column; rarer values share the unknown bucket."
    )
    min_count: int = Field(3, ge=1, description="Rows that a category must have in training to get a code of its own.")
    words: int = Field(64, ge=0, le=10_000, description="Words per text column whose presence becomes a feature.")
    tokens: TokensConfig = TokensConfig()
    ngrams: NgramsConfig = NgramsConfig()
    dates: DatesConfig = DatesConfig()

    def without_effect(self, documents: bool) -> list[tuple[str, object]]:
        """Settings without effect: for documents all but their tokens, for a table the kind of tokenizer."""
        settings = [(name, value) for name, value in self if name != "tokens"] if documents else []
        fields, default = type(self).model_fields, TokensConfig()
        rows = [(name, value) for name, value in settings if value != fields[name].default]
        name = "most" if documents else "tokenizer"
        value = getattr(self.tokens, name)
        return rows if value == getattr(default, name) else [*rows, (f"tokens.{name}", value)]
