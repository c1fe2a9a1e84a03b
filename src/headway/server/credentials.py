"""User and password of the servers."""

from __future__ import annotations

import os

from headway.errors import ConfigError

PASSWORD_LENGTH = 12  # MLflow accepts no shorter one


def auth() -> tuple[str, str] | None:
    """User and password of both servers, from HEADWAY_AUTH; None without it. Raises ConfigError when it is no such pair."""
    text = os.environ.get("HEADWAY_AUTH", "")
    if not text:
        return None
    user, colon, password = text.partition(":")
    if not user or not colon or len(password) < PASSWORD_LENGTH or any(c.isspace() for c in text):
        fact = f"its password has {len(password)} characters" if user and colon else "it is not user:password"
        rule = (
            f"HEADWAY_AUTH must be user:password without spaces, the password of at least {PASSWORD_LENGTH} characters"
        )
        raise ConfigError(f"{rule}, but {fact}")
    return user, password
