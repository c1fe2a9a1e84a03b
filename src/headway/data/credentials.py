"""Addresses that hold a password, a key or a signature, refused before anything is written down.

An address of data is kept with each run: in run.json, in MLflow, in logs, in what Prefect shows. Secrets belong in the environment or
in a profile, which every file system reads by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from headway.errors import ConfigError

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.IGNORECASE)
_SECRET = re.compile(
    r"secret|passw|pwd|token$|signature|credentials?$|authorization|apikey|accesskey|accountkey|sharedkey|privatekey|^sig$|^sas|^key$|^auth$"
)
_HOST = re.compile(r"([^:\[\]]*|\[[^\]]*\])(:[0-9]*)?")
_BUCKETS = ("s3", "s3a", "s3n", "gs", "gcs")
_TOKENS = (*_BUCKETS, "http", "https")
"""Schemes in which a name without a password is a secret, too; in others it is a user's or a container's name."""
_WAYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS in the environment",
    "ab": "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET in the environment, or az login",
    "wa": "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET in the environment, or az login",
    "gc": "GOOGLE_APPLICATION_CREDENTIALS in the environment",
    "ht": "files on this machine, downloaded beforehand",
}


def refuse_credentials(value: Any, name: str = "", way: str = "") -> None:
    """Raises ConfigError, which does not repeat them, where a text anywhere in ``value`` is an address with credentials.

    ``name`` is the setting's; the keys of a mapping are added to it. ``way``: how they are given instead, where the scheme does not tell.
    """
    for place, text in _texts(value, name):
        for address in _ADDRESS.findall(text):
            kind = credentials_in(address)
            if kind is not None:
                scheme = address.partition("://")[0]
                fix = way or _WAYS.get(scheme[:2].lower(), "the environment or a profile of the storage")
                raise ConfigError(
                    f"{place} must hold no credentials, but its {scheme}:// address has {kind}; use {fix}"
                )


def credentials_in(address: str) -> str | None:
    """What is secret in an address, in words that do not repeat it; None where nothing is."""
    scheme, _, rest = address.partition("://")
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    user, at, host = place.partition("/")[0].rpartition("@")
    if ":" in user:
        return "a user and a password before the @"
    # In a password, one of / ? # ends the host by the rules of addresses, so that the rest of the password stands elsewhere.
    if not at and (not _HOST.fullmatch(host) or (":" in host and scheme.lower() in _BUCKETS)):
        return "a user and a password instead of a host"
    if user and user != "anonymous" and scheme.lower() in _TOKENS:
        return "a key before the @"
    return next((f"the parameter {name}" for name in _parameters(address) if _is_secret(name)), None)


def _parameters(address: str) -> list[str]:
    try:
        parts = urlsplit(address)
    except ValueError:  # a host in brackets that is none: opening it raises the error
        return []
    return [name for text in (parts.query, parts.fragment) for name, value in parse_qsl(text) if value]


def _is_secret(name: str) -> bool:
    return _SECRET.search(re.sub(r"[^a-z]", "", name.lower())) is not None


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield name, str(key)
            yield from _texts(one, f"{name}.{key}".lstrip("."))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one, name)
