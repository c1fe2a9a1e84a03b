"""The names of runs in Prefect: a person's own stay, what Prefect made up is replaced."""

from __future__ import annotations

import pytest
from prefect.utilities.names import generate_slug

from flows.naming import is_generated


@pytest.mark.parametrize(
    "name",
    ["phi5-ursae-majoris-reach", "omega-vega", "rho417-canis-minoris-a", "Handmade-Zebu", "Incredible-Sea-Ox"[:14]],
)
def test_what_the_pages_propose_is_recognised(name: str) -> None:
    assert is_generated(name)


def test_what_the_server_makes_up_is_recognised() -> None:
    assert all(is_generated(generate_slug(2)) for _ in range(500))


@pytest.mark.parametrize("name", ["adult · 2026-11-28 09:41 UTC", "With more epochs", "try-3", "AUC-of-May", "nightly"])
def test_a_persons_own_name_stays(name: str) -> None:
    assert not is_generated(name)
