"""`headway up` tells of runs, as Prefect's server knows them."""

from __future__ import annotations

import contextlib
import time

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Failed

from headway.server import news, prefect_api
from headway.server.news import News


@flow(name="fine", flow_run_name="loans fine")
def fine() -> object:
    return Completed(message="up to date:\nnothing changed")


@flow(name="wrong", flow_run_name="loans wrong")
def wrong() -> object:
    return Failed(message="conf/loans.yaml must be YAML, but is not")


@pytest.fixture
def watcher(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> News:
    monkeypatch.setattr(news, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(prefect_api, "LOOK_TIMEOUT_SECONDS", 60.0)
    address = PREFECT_API_URL.value()
    assert address is not None
    return News(address.removesuffix("/api"))


def test_each_run_is_told_once_when_it_starts_and_once_when_it_ends(watcher: News) -> None:
    assert watcher.lines() == []
    during: list[str] = []

    @flow(name="in between", flow_run_name="loans between")
    def between() -> None:
        deadline = time.monotonic() + 60
        while not during and time.monotonic() < deadline:
            during.extend(watcher.lines())

    between()
    (start,) = during
    assert ": started, http" in start
    assert " UTC  loans between" in start
    (end,) = watcher.lines()
    assert end.endswith("loans between: completed")
    assert watcher.lines() == []


def test_the_end_of_a_run_says_how_and_why(watcher: News) -> None:
    fine()
    with contextlib.suppress(Exception):
        wrong()
    lines = watcher.lines()
    assert [line.partition("UTC  ")[2].partition(", http")[0] for line in lines] == [
        "loans fine: started",
        "loans fine: up to date: nothing changed",
        "loans wrong: started",
        "loans wrong: failed: conf/loans.yaml must be YAML, but is not",
    ]


def test_runs_of_before_are_not_told(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    fine()
    monkeypatch.setattr(news, "LOOK_SECONDS", 0.0)
    assert News(str(PREFECT_API_URL.value()).removesuffix("/api")).lines() == []


def test_a_server_that_does_not_answer_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "LOOK_SECONDS", 0.0)
    assert News("http://127.0.0.1:9").lines() == []


def test_a_run_that_waits_to_start_is_no_news_and_keeps_none_back(watcher: News) -> None:
    """Its start is not known yet: Prefect's filter gives it by the time at which it should start."""
    with get_client(sync_client=True) as client:
        client.create_flow_run(fine)
    fine()
    (start, end) = watcher.lines()
    assert "loans fine: started, http" in start
    assert end.endswith("loans fine: up to date: nothing changed")
