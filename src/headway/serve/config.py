"""The limits of the scoring server."""

from __future__ import annotations

from pydantic import Field

from headway.config import Config


class ServeConfig(Config):
    """The limits of `headway serve`. A request beyond them is answered with one line, and the server continues."""

    body_megabytes: int = Field(
        16, ge=1, le=1024, description="The largest body of a request, in units of 1,000,000 bytes."
    )
    rows: int = Field(100_000, ge=1, le=10_000_000, description="The most rows of a request.")
    seconds: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds in which a request must arrive, and in which an idle connection must begin one.",
    )
    connections: int = Field(
        256, ge=1, le=10_000, description="Connections at the same time; a further one is answered with status 503."
    )

    @property
    def body_bytes(self) -> int:
        """The largest body."""
        return self.body_megabytes * 1_000_000
