"""When a project is retrained by itself."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator

from headway.config import Config


class ScheduleConfig(Config):
    """The wall-clock times of a retraining; they stay the same over daylight saving."""

    cron: str = Field(description="Minute, hour, day, month and weekday, for example 0 6 2 * *.")
    timezone: str = Field("UTC", description="The time zone of cron: an IANA name, for example Europe/Berlin.")
    recipe: bool = Field(
        False, description="Retrain with the recommended recipe of the project's effect study, as --recipe does."
    )

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, value: str) -> str:
        rule = f"schedule.cron must be five cron fields, but is {value!r}; write for example 0 6 2 * *"
        if len(value.split()) != 5:
            raise ValueError(rule)
        try:
            next(CronSim(value, datetime.now(UTC)))
        except (CronSimError, StopIteration):
            raise ValueError(rule) from None
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (KeyError, ValueError, OSError):  # KeyError: not found; OSError: the name of a folder such as Europe
            raise ValueError(
                f"schedule.timezone must be an IANA name, but is {value!r}; write for example UTC"
            ) from None
        return value
