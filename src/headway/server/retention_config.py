"""How long the files of retrainings are kept."""

from __future__ import annotations

from pydantic import Field

from headway.config import Config


class RetentionConfig(Config):
    """The limits of `headway gc`. Files that a registered version needs are always kept."""

    runs_days: int = Field(30, ge=0, description="Days that an unregistered run's model and predictions are kept.")
    checkpoints_days: int = Field(7, ge=0, description="Days that an unregistered run's checkpoints are kept.")
    prepared_days: int = Field(
        14, ge=0, description="Days that prepared data is kept after its last use, when no kept run needs it."
    )
    artifacts_days: int = Field(90, ge=0, description="Days that an unregistered run's files are kept in MLflow.")
    keep_last: int = Field(5, ge=0, description="The newest runs of the project that are kept whole at any age.")
