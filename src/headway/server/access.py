"""Access to the web servers: Prefect's, MLflow's and the scoring server each run inside `Protected`.

    python -m headway.server.access MODULE:APP --host HOST --port PORT --ask app|all

A request is answered under three conditions: it names this server (`Host`; a foreign name that points here is refused); it comes
from a page of this server or from no page (`Origin`, `Sec-Fetch-Site`); its sender has access. With HEADWAY_AUTH the password decides
about access; without it, the server listens on this machine only and admits the user who started it. docs/security.md describes the
attacks that this prevents, and those that it does not.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hmac
import importlib
import inspect
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from headway.errors import ConfigError
from headway.server import peers

SETTING = "HEADWAY_HOSTS"
ASK = ("app", "all")
EVERYWHERE = {"0.0.0.0", "::"}
HEALTH = frozenset({"/health", "/ping", "/api/health", "/api/ready"})
"""Paths without a password: they only tell whether the server works."""

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_PRIVATE = {
    b"cross-origin-resource-policy": b"same-origin",  # no foreign page can embed what our servers send
    b"x-frame-options": b"SAMEORIGIN",  # nor show it in a frame
    # Prefect's newer pages ask amplitude.com for their settings also where PREFECT_SERVER_ANALYTICS_ENABLED is false (3.8).
    b"content-security-policy": b"connect-src 'self' ws: wss: data: blob:",
}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered: the status, and one line."""

    status: int
    text: str
    asks: bool = False
    """Whether to ask for a password."""


@dataclass(frozen=True)
class Rules:
    """The rules of a server. ``names``: the names that `Host` may have beside this machine's loopback addresses."""

    names: frozenset[str] = frozenset()
    proxy_names: frozenset[str] = frozenset()
    """Names of HEADWAY_HOSTS: their pages have access, too, because a proxy may use another name for the server."""
    addresses: bool = False
    """Whether `Host` may be any address: only a name can be made to point elsewhere."""
    password: str | None = None
    """`user:password`, where this server asks for it."""
    users: frozenset[int] | None = None
    """The users of this machine who need no password; None: the user is not checked."""

    def refusal(self, scope: Scope) -> Refusal | None:
        """Why this request is not answered; None where it is."""
        headers = _Headers(scope["headers"])
        return self._wrong_host(headers) or self._wrong_page(headers, scope) or self._wrong_user(headers, scope)

    def _wrong_host(self, headers: _Headers) -> Refusal | None:
        host = headers.one("host")
        name = _host_of(host)
        if name is not None and (self._is_ours(name) or name in self.names | self.proxy_names):
            return None
        fix = f"to allow another name, start the server with {SETTING}={name or 'NAME'}"
        return Refusal(403, f"Host must name this server, but is {host[:100]!r}; {fix}")

    def _is_ours(self, name: str) -> bool:
        bare = name.strip("[]")
        if is_loopback(bare):
            return True
        try:
            return self.addresses and not ipaddress.ip_address(bare).is_unspecified
        except ValueError:
            return False

    def _wrong_page(self, headers: _Headers, scope: Scope) -> Refusal | None:
        if headers.has("origin"):
            origin = headers.one("origin")
            if not self._is_own(origin, headers.one("host")):
                return Refusal(403, f"a request must come from a page of this server, but comes from {origin[:100]!r}")
        elif headers.one("sec-fetch-site") in ("cross-site", "same-site") and not _is_link(headers, scope):
            return Refusal(403, "a request must come from a page of this server, but comes from another")
        return None

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
            hostname = parts.hostname or ""
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or "@" in parts.netloc:
            return False
        return _plain(parts.netloc) == _plain(host) or hostname in self.proxy_names

    def _wrong_user(self, headers: _Headers, scope: Scope) -> Refusal | None:
        if self.password is None and self.users is None:
            return None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and scope["path"] in HEALTH:
            return None
        if self.password is not None and _same(_credentials_of(headers.one("authorization")), self.password):
            return None
        if self.users is not None and _user(scope) in self.users:
            return None
        if self.password is not None:
            return Refusal(401, "user and password must be those of HEADWAY_AUTH, but are not", asks=True)
        fix = "start it with HEADWAY_AUTH=user:password to ask for a password instead"
        return Refusal(403, f"this server is for the user who started it, but another user sent this request; {fix}")


class _Headers:
    """A request's headers. One that occurs twice has no value, because two programs could read different ones."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def has(self, name: str) -> bool:
        return name in self._values

    def one(self, name: str) -> str:
        values = self._values.get(name, ())
        return values[0].strip() if len(values) == 1 else ""


def _host_of(authority: str) -> str | None:
    match = _AUTHORITY.fullmatch(authority.lower())
    return match[1] if match else None


def _plain(authority: str) -> str:
    """Host and port in one form: the ports that browsers leave out are left out."""
    return re.sub(r":(80|443)$", "", authority.lower())


def _is_link(headers: _Headers, scope: Scope) -> bool:
    """Whether the request follows a link to a page here. It opens a page of its own, and changes nothing."""
    mode = headers.one("sec-fetch-mode"), headers.one("sec-fetch-dest")
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and mode == ("navigate", "document")


def _credentials_of(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _same(text: str, password: str) -> bool:
    return hmac.compare_digest(text.encode(), password.encode())


def _user(scope: Scope) -> int | None:
    peer, here = scope.get("client"), scope.get("server")
    if not peer or not here or here[1] is None:
        return None
    return peers.user_of((peer[0], peer[1]), (here[0], here[1]))


class Protected:
    """An ASGI application behind the rules; `lifespan` messages pass."""

    def __init__(self, app: App, rules: Rules) -> None:
        self.app, self.rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self.rules.refusal(scope)
        if refusal is None:
            await self.app(scope, receive, _private(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(refusal, send)


def _private(send: Send) -> Send:
    async def sends(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            additions = [(name, value) for name, value in _PRIVATE.items() if name not in present]
            message = {**message, "headers": [*headers, *additions]}
        await send(message)

    return sends


async def _refuse(refusal: Refusal, send: Send) -> None:
    body = f"{refusal.text}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    headers += [(b"x-content-type-options", b"nosniff"), (b"connection", b"close"), *_PRIVATE.items()]
    if refusal.asks:
        headers.append((b"www-authenticate", b'Basic realm="headway", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def is_loopback(host: str) -> bool:
    """Whether a server that listens on ``host`` is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def named_hosts(environment: Mapping[str, str]) -> frozenset[str]:
    """The names of HEADWAY_HOSTS. Raises ConfigError for what is no name."""
    names = [name.strip().lower() for name in environment.get(SETTING, "").split(",") if name.strip()]
    for name in names:
        if not _NAME.fullmatch(name):
            rule = f"{SETTING} must be names of machines such as headway.example.com, with a comma between two"
            raise ConfigError(f"{rule}, but one is {name!r}")
    return frozenset(names)


def rules_of(host: str, ask: str, credentials: tuple[str, str] | None, environment: Mapping[str, str]) -> Rules:
    """The rules of a server that listens on ``host``. ``ask``: whether it asks for HEADWAY_AUTH, where that is set.

    app: no, because the application itself asks. all: it asks everybody, also the user who started it, because a proxy of that user passes
    on the requests of others.
    """
    outside = not is_loopback(host)
    names = {name.lower() for name in (host, socket.gethostname(), socket.getfqdn()) if outside} - EVERYWHERE
    password = ":".join(credentials) if credentials is not None and ask != "app" else None
    looks = credentials is None and not outside and peers.are_known()
    users = frozenset({os.geteuid(), 0}) if looks else None  # root can read our files anyway
    return Rules(frozenset(names), named_hosts(environment), outside, password, users)


def command(app: str, host: str, port: int, ask: str) -> list[str]:
    """What starts ``app`` (MODULE:NAME) behind the rules."""
    words = [app, "--host", host, "--port", str(port), "--ask", ask]
    return [sys.executable, "-m", "headway.server.access", *words]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until asked to end."""
    import uvicorn

    from headway.server.credentials import auth

    words = argparse.ArgumentParser(prog="python -m headway.server.access")
    words.add_argument("app")
    words.add_argument("--host", required=True)
    words.add_argument("--port", required=True, type=int)
    words.add_argument("--ask", required=True, choices=ASK)
    options = words.parse_args(arguments)
    os.umask(0o077)  # databases and whatever else a server writes are for its user alone
    rules = rules_of(options.host, options.ask, auth(), os.environ)
    module, _, name = options.app.partition(":")
    application = getattr(importlib.import_module(module), name)
    app = application() if inspect.isfunction(application) else application
    # With a proxy's X-Forwarded-For, the address would no longer be the connection's other end, whose user is checked.
    forwarded = rules.users is None
    uvicorn.run(
        Protected(app, rules),
        host=options.host,
        port=options.port,
        workers=1,
        lifespan="on",
        proxy_headers=forwarded,
        log_level="warning",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
