"""How columns become numbers: the `prepare` section of a project."""

from __future__ import annotations

import zoneinfo
from typing import Literal

from pydantic import Field, field_validator, model_validator

from headway.config import Config


class TokensConfig(Config):
    """How text becomes tokens: documents, or a text column for a model that takes them (`model.text=tokens`)."""

    tokenizer: Literal["bpe", "characters"] = Field(
        "bpe", description="bpe: byte-pair tokens; characters: one token per character, for documents only."
    )
    vocabulary: int = Field(
        2048,
        ge=257,
        le=1_000_000,
        description="The largest vocabulary of the byte-pair tokenizer, with the 256 bytes and the end token.",
    )
    most: int = Field(
        256,
        ge=1,
        le=65_536,
        description="Tokens of a text that are used, from its beginning; for text columns beside others.",
    )


class NgramsConfig(Config):
    """How a text column becomes weights of its words and of short runs of letters, for a model that takes them."""

    words: int = Field(4096, ge=0, le=1 << 20, description="Hashed features of words and pairs of words; 0: none.")
    characters: int = Field(
        4096, ge=0, le=1 << 20, description="Hashed features of letter 3-grams and 4-grams within words; 0: none."
    )
    most: int = Field(20_000, ge=1, le=1 << 20, description="Characters of a text that are used, from its beginning.")

    @model_validator(mode="after")
    def _has_features(self) -> NgramsConfig:
        if not self.words + self.characters:
            raise ValueError("words or characters must be at least 1, but both are 0")
        return self


class DateConfig(Config):
    """How a date column becomes calendar features."""

    zone: str = Field(
        "UTC",
        description="The time zone of the hour and the day, for example Europe/Berlin, with daylight saving. Times written without "
        "a zone are read as UTC; where they are local times already, leave this out.",
    )
    holidays: str | None = Field(
        None,
        description="Holidays of a country such as DE, or of a region such as DE-BY; needs the package holidays.",
    )
    trend: Literal["held", "free", "none"] = Field(
        "held",
        description="The days since 1970. held: they stop at the last training day; free: they continue, for a model that may "
        "extrapolate a trend; none: left out.",
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

    columns: dict[str, DateConfig] = Field({}, description="Settings of single date columns that differ.")

    def of(self, column: str) -> DateConfig:
        """The settings of one column: its own, and for missing ones, those of all columns."""
        own = self.columns.get(column, DateConfig())
        return DateConfig(**{**self.model_dump(exclude={"columns"}), **own.model_dump(include=own.model_fields_set)})


class PrepareConfig(Config):
    """How rows become numbers. Everything is fitted on the training rows alone."""

    impute: Literal["median", "mean"] = Field("median", description="The replacement of a missing number.")
    scale: Literal["standard", "quantile", "none"] = Field(
        "standard",
        description="standard: zero mean and unit variance; quantile: mapped to a normal distribution; none: as it is.",
    )
    bins: int = Field(48, ge=0, le=1024, description="Bins per numeric column for piecewise-linear encoding; 0: none.")
    bins_by: Literal["target", "quantile"] = Field(
        "target", description="Whether bin edges follow the target (a small tree per column) or only the column."
    )
    max_categories: int = Field(
        1000, ge=2, le=1_000_000, description="Codes per categorical column; rarer values share the unknown bucket."
    )
    min_count: int = Field(3, ge=1, description="Rows that a category must have in training to get a code of its own.")
    fitted_on: str | None = Field(
        None,
        description="The files that the preparation is fitted to, as a glob of their names, for example '2024-*'; left out: all. Then rows "
        "that were prepared before stay as they are when other files come, and only those of the new files are prepared.",
    )
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
