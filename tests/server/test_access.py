"""The rules of who may speak to a web server, each by itself."""

from __future__ import annotations

import asyncio
import base64
import os
import pwd
import socket
from pathlib import Path
from typing import Any

import pytest

from headway.errors import ConfigError
from headway.files.database import keep_private
from headway.server import peers, up
from headway.server.access import Protected, Rules, named_hosts, rules_of

SECRET = "team:a-password-of-a-team"


def status_of(rules: Rules, path: str = "/", method: str = "GET", **headers: str) -> int:
    """The status of a request; a header's name is written with _ for -."""
    pairs = [
        (name.replace("_", "-").encode(), value.encode()) for name, value in {"host": "127.0.0.1", **headers}.items()
    ]
    scope = {"type": "http", "method": method, "path": path, "headers": pairs, "client": None, "server": None}
    refusal = rules.refusal(scope)
    return 200 if refusal is None else refusal.status


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:4200", "LOCALHOST:4200", "[::1]:4200", "127.8.8.8"])
def test_this_machine_is_named_by_its_loopback_addresses(host: str) -> None:
    assert status_of(Rules(), host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "127.0.0.1.evil.example:4200",
        "localhost.",
        "user@127.0.0.1",
        "127.1",
        "0.0.0.0",
        "10.0.0.5",
        "[::]",
    ],
)
def test_any_other_name_is_refused(host: str) -> None:
    assert status_of(Rules(), host=host) == 403


def test_a_server_for_other_machines_goes_by_its_addresses_its_own_name_and_the_names_that_are_given() -> None:
    environment = {"HEADWAY_HOSTS": "headway.example.com, prefect"}
    rules = rules_of("0.0.0.0", "all", ("team", "a-password-of-a-team"), environment)
    login = basic(SECRET)
    for host in ("10.0.0.5:4200", "[fd00::5]:4200", socket.gethostname(), "Headway.example.com", "prefect:4200"):
        assert status_of(rules, host=host, authorization=login) == 200, host
    for host in ("evil.example", "x.headway.example.com", "0.0.0.0:4200"):
        assert status_of(rules, host=host, authorization=login) == 403, host


def test_a_page_behind_a_proxy_is_the_servers_own_by_its_given_name() -> None:
    rules = Rules(proxy_names=frozenset({"headway.example.com"}))
    assert status_of(rules, host="127.0.0.1:4200", origin="https://headway.example.com") == 200
    assert status_of(rules, host="127.0.0.1:4200", origin="https://headway.example.com.evil.example") == 403
    assert status_of(rules, host="headway.example.com", origin="https://headway.example.com:443") == 200


@pytest.mark.parametrize("text", ["https://headway.example.com", "*", "a b", "headway.example.com:443"])
def test_what_is_no_name_among_the_given_ones_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="HEADWAY_HOSTS must be names of machines"):
        named_hosts({"HEADWAY_HOSTS": text})


def test_a_link_from_elsewhere_opens_a_page_and_nothing_else_from_elsewhere_does() -> None:
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    assert status_of(Rules(), **link) == 200
    assert status_of(Rules(), method="POST", **link) == 403
    assert status_of(Rules(), **{**link, "sec_fetch_dest": "iframe"}) == 403
    assert status_of(Rules(), **{**link, "sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"}) == 403
    assert status_of(Rules(), sec_fetch_site="same-origin", sec_fetch_mode="cors") == 200


def test_the_password_is_asked_for_everywhere_but_where_the_server_says_that_it_works() -> None:
    rules = Rules(password=SECRET)
    assert status_of(rules) == 401
    for wrong in ("", "Basic", "Basic !", "Bearer x", basic("team:another-password"), basic(f"{SECRET} "), basic("")):
        assert status_of(rules, authorization=wrong) == 401, wrong
    assert status_of(rules, authorization=basic(SECRET)) == 200
    assert status_of(rules, path="/health") == 200
    assert status_of(rules, path="/health", method="POST") == 401
    assert status_of(rules, path="/health/../api") == 401
    assert status_of(rules, path="/health", host="evil.example") == 403


def test_a_browser_is_told_to_ask_for_the_password_and_that_no_other_page_may_show_the_answer() -> None:
    def answer(rules: Rules, **headers: str) -> dict[str, str]:
        sent: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def send(message: Any) -> None:
            sent.append(message)

        pairs = [(name.encode(), value.encode()) for name, value in {"host": "localhost", **headers}.items()]
        scope = {"type": "http", "method": "GET", "path": "/", "headers": pairs}
        asyncio.run(Protected(app, rules)(scope, None, send))  # type: ignore[arg-type]
        return {name.decode(): value.decode() for name, value in sent[0]["headers"]}

    assert answer(Rules(password=SECRET))["www-authenticate"].startswith("Basic")
    page = answer(Rules(password=SECRET), authorization=basic(SECRET))
    assert (page["cross-origin-resource-policy"], page["x-frame-options"]) == ("same-origin", "SAMEORIGIN")
    assert page["content-security-policy"].startswith("connect-src 'self' ")


def test_the_user_who_started_a_server_needs_no_password_for_it_where_none_is_set() -> None:
    rules = rules_of("127.0.0.1", "all", None, {})
    if not peers.are_known():
        assert rules.users is None
        return
    assert rules.users is not None
    assert os.geteuid() in rules.users
    assert status_of(rules) == 403  # no connection, hence nobody known


ACCOUNTS = """
root:x:0:0:root:/root:/bin/bash
postgres:x:101:104:service:/var/lib/postgresql:/bin/bash
web:x:1005:1005:service:/:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
ME = "me:x:20000:100::/home/me:/bin/bash"
ANNA = "anna:x:20001:100:Anna:/home/anna:/bin/bash"
BEN = "ben:x:20002:100::/home/ben:/usr/bin/zsh"


@pytest.mark.parametrize(
    ("people", "kernel_says", "password", "sentence"),
    [
        ([], True, "", None),
        ([ME], True, "", None),
        ([BEN, ANNA], True, "", "(anna, ben) are refused; HEADWAY_AUTH=user:password gives access by password"),
        ([BEN, ANNA], True, SECRET, None),
        ([], False, "", "can open these pages; set HEADWAY_AUTH=user:password to ask for a password"),
        ([ANNA], False, SECRET, None),
    ],
    ids=["nobody else", "only we", "others", "password", "others unknown", "others unknown, password"],
)
def test_up_says_what_holds_for_other_users_of_the_machine(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    people: list[str],
    kernel_says: bool,
    password: str,
    sentence: str | None,
) -> None:
    monkeypatch.setenv("HEADWAY_AUTH", password)
    monkeypatch.setattr(peers, "are_known", lambda: kernel_says)
    monkeypatch.setattr(peers.os, "geteuid", lambda: 20000)
    accounts = [line.split(":") for line in [*ACCOUNTS.split(), *people]]
    listed = [pwd.struct_passwd((a[0], a[1], int(a[2]), int(a[3]), *a[4:])) for a in accounts]
    monkeypatch.setattr(peers.pwd, "getpwall", lambda: listed)
    lines = [line for line in up._greeting(root, up.UpOptions(1, 2), None) if "other users" in line]
    assert lines == ([f"other users of this machine {sentence}"] if sentence else [])


@pytest.mark.skipif(
    not peers.are_known(), reason="skipped: asks the kernel who is connected, which this system does not say"
)
def test_the_kernel_says_who_is_connected_and_nothing_of_a_connection_that_is_closed() -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as listener:
            here = listener.getsockname()[:2]
            with socket.create_connection(here) as peer:
                address = peer.getsockname()[:2]
                assert peers.user_of(address, here) == os.geteuid()
                assert peers.user_of((address[0], 1), here) is None
            assert peers.user_of(address, here) is None  # the kernel now gives it to root
        assert peers.user_of(address, here) is None


def test_databases_of_before_become_their_users_alone_and_mlflows_own_users_go(tmp_path: Path) -> None:
    """An earlier password must open nothing."""
    names = ["mlruns/mlflow.db", "mlruns/mlflow.db-wal", ".prefect/prefect.db"]
    for name in [*names, ".prefect/mlflow-users.db", ".prefect/mlflow-auth.ini"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch(0o644)
    keep_private(tmp_path)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in names} == {0o600}
    assert not list((tmp_path / ".prefect").glob("mlflow*"))


@pytest.mark.parametrize(("ask", "password"), [("app", None), ("all", SECRET)])
def test_the_password_that_is_set_is_asked_of_the_user_who_started_a_server_too(ask: str, password: str | None) -> None:
    """Prefect asks by itself. A proxy that runs as this user passes on the requests of everybody."""
    user, _, word = SECRET.partition(":")
    rules = rules_of("127.0.0.1", ask, (user, word), {})
    assert rules.password == password
    assert rules.users is None
