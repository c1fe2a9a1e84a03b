"""From where on newer rows count as drifted."""

from __future__ import annotations

from pydantic import Field

from headway.config import Config


class WatchConfig(Config):
    """The limits of `headway watch`. A difference that chance alone explains is never drift."""

    psi: float = Field(
        0.2,
        gt=0,
        le=10,
        description="Largest population stability index; below 0.1 is usually called stable, above 0.25 a shift.",
    )
    jensen_shannon: float = Field(0.2, gt=0, le=1, description="Largest Jensen-Shannon distance, 0 to 1 (base 2).")
    nulls: float = Field(0.05, ge=0, le=1, description="How far a column's share of missing values may move.")
    unseen: float = Field(0.02, ge=0, le=1, description="Largest share of categories that training never saw.")
    false_alarms: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="The largest share of watches that may report drift although nothing has changed.",
    )
